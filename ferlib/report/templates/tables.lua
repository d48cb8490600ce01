-- How wide a table wants to be, and the text size and column widths with which it fits a page.

local TEXT_WIDTH, LANDSCAPE_WIDTH = 465, 700            -- points
local SIZES = { { 9, 6 }, { 8.5, 5 }, { 8, 4 }, { 7.5, 3 }, { 7, 2.5 }, { 6.5, 2 } }  -- text size, inset
local CHARACTER = 0.52                                  -- width in units of the text size
local READABLE, SHORTER = 8, 0.8                        -- text size; share of the height that pays for it
local COMFORTABLE = { 22, 14, 0 }                       -- characters at which a long text may wrap, if need be

local function longest_word(text)
  local longest = 0
  for word in text:gmatch('%S+') do longest = math.max(longest, utf8.len(word)) end
  return longest
end

local function each_cell(rows, visit)
  for _, row in ipairs(rows) do
    for column, cell in ipairs(row.cells) do visit(column, pandoc.utils.stringify(cell.contents), row) end
  end
end

local function body_rows(grid)
  local rows = pandoc.List {}
  for _, body in ipairs(grid.bodies) do rows:extend(body.body) end
  return rows
end

-- Characters that each column would like to have in a line, and those it has to have: headings wrap at
-- every blank, texts at a comfortable width.
local function columns_of(grid, width)
  local liked, needed = {}, {}
  local function measure(comfortable)
    return function(column, text)
      local length = utf8.len(text)
      liked[column] = math.max(liked[column] or 0, length)
      needed[column] = math.max(needed[column] or 0, longest_word(text), math.min(length, comfortable))
    end
  end
  each_cell(grid.head.rows, measure(0))
  each_cell(body_rows(grid), measure(width))
  return liked, needed
end

local function total(characters, size, inset)
  local sum = 0
  for _, count in ipairs(characters) do sum = sum + count * CHARACTER * size + 2 * inset end
  return sum
end

-- Height of the rows in points, if each text wraps in the width of its column.
local function height_of(grid, widths, size, inset)
  local sum = 0
  for _, row in ipairs(body_rows(grid)) do
    local lines = 1
    for column, cell in ipairs(row.cells) do
      local room = math.max(1, (widths[column] - 2 * inset) / (CHARACTER * size))
      lines = math.max(lines, math.ceil(utf8.len(pandoc.utils.stringify(cell.contents)) / room))
    end
    sum = sum + lines * size
  end
  return sum
end

-- The largest text that fits; a smaller one, down to READABLE, where that makes the table a good deal shorter.
local function fit_to(grid, liked, needed, available)
  local chosen
  for _, pair in ipairs(SIZES) do
    local size, inset = pair[1], pair[2]
    local wish, need = total(liked, size, inset), total(needed, size, inset)
    if need <= available and (not chosen or size >= READABLE) then
      local share, widths = math.min(1, (available - need) / math.max(wish - need, 1)), {}
      for column, count in ipairs(needed) do
        widths[column] = total({ count + share * (liked[column] - count) }, size, inset)
      end
      local height = height_of(grid, widths, size, inset)
      if not chosen or height < SHORTER * chosen.height then
        chosen = { size = size, inset = inset, height = height, widths = wish > available and widths or {} }
      end
    end
  end
  for column, width in ipairs(chosen and chosen.widths or {}) do
    grid.colspecs[column] = { grid.colspecs[column][1], width / available }
  end
  return chosen
end

-- Choose size, inset and page, and give columns that cannot have all they like a share of the width. A page of
-- its own is for tables whose very words are too wide: a small table would leave it empty.
local function fit(grid)
  for _, width in ipairs(COMFORTABLE) do
    local liked, needed = columns_of(grid, width)
    local fitted = fit_to(grid, liked, needed, TEXT_WIDTH)
    if fitted then return fitted end
  end
  local liked, needed = columns_of(grid, COMFORTABLE[1])
  local fitted = fit_to(grid, liked, needed, LANDSCAPE_WIDTH) or { size = SIZES[#SIZES][1], inset = SIZES[#SIZES][2] }
  fitted.landscape = true
  return fitted
end

return { fit = fit }
