-- From the chapters' divs to numbered figures and tables, boxes, code and cross-references, for both writers.
-- Cross-references are resolved before citeproc sees them, the layout is made after it has set the citations.

local to_typst = FORMAT:match('typst') ~= nil
local stringify = pandoc.utils.stringify
local names = {}    -- label -> what a reference to it says, such as "Figure 3"
local numbers = {}  -- label of a figure or table -> its number
local TEXT_WIDTH, LANDSCAPE_WIDTH = 465, 700            -- points
local SIZES = { { 9, 6 }, { 8.5, 5 }, { 8, 4 }, { 7.5, 3 }, { 7, 2.5 }, { 6.5, 2 } }  -- text size, inset

local function fail(message) error('ferlib: ' .. message .. ' :ferlib', 0) end

local function quoted(text)
  return '"' .. text:gsub('\\', '\\\\'):gsub('"', '\\"'):gsub('%s+', ' ') .. '"'
end

local function written(blocks)
  return (pandoc.write(pandoc.Pandoc(blocks), 'typst', { wrap_text = 'wrap-none' }):gsub('%s+$', ''))
end

-- Cross-references ------------------------------------------------------------------------------------

local function name_everything(doc)
  local chapter, counts = 0, { figure = 0, table = 0 }
  local function name(label, text)
    if names[label] then fail('the label ' .. label .. ' is used twice; name figures and tables differently') end
    names[label] = text
  end
  doc:walk {
    traverse = 'topdown',
    Header = function(header)
      if header.level > 1 then return end
      local numbered = not header.classes:includes('unnumbered')
      if numbered then chapter = chapter + 1 end
      name(header.identifier, numbered and 'Chapter\u{a0}' .. chapter or stringify(header))
    end,
    Div = function(div)
      for kind, title in pairs { figure = 'Figure', table = 'Table' } do
        if div.classes:includes(kind) then
          counts[kind] = counts[kind] + 1
          numbers[div.identifier] = counts[kind]
          name(div.identifier, title .. '\u{a0}' .. counts[kind])
        end
      end
    end,
  }
end

local function known_references(doc)
  local known = {}
  for _, reference in ipairs(pandoc.utils.references(doc)) do known[reference.id] = true end
  return known
end

local function link_references(doc)
  -- pandoc.utils.references lists only the cited entries that the bibliography has.
  local known = known_references(doc)
  local filter = {
    Cite = function(cite)
      local links = pandoc.Inlines {}
      for position, citation in ipairs(cite.citations) do
        local id = citation.id
        if names[id] then
          if position > 1 then links:insert(pandoc.Str(', ')) end
          links:insert(pandoc.Link(names[id], '#' .. id))
        elseif id:match('^fig%-') or id:match('^tbl%-') or id:match('^sec%-') then
          fail('the text refers to @' .. id .. ', but no figure, table or chapter has that label')
        elseif not known[id] then
          fail('the text cites @' .. id .. ', which references.bib does not have')
        end
      end
      if #links > 0 then return links end
    end,
    Link = function(link)
      local notebook = link.target:match('^%.?/?%d*_?([%w_]+)%.ipynb$')
      if notebook then link.target = '#sec-' .. notebook:gsub('_', '-') end
      local anchor = link.target:match('^#(.*)')
      if notebook and not names[anchor] then fail('the link to ' .. notebook .. '.ipynb leads to no chapter') end
      return link
    end,
    Image = function(image)
      fail('the picture ' .. image.src .. ' stands in the text; show it through report.figure')
    end,
  }
  doc = doc:walk(filter)
  if doc.meta.abstract then
    doc.meta.abstract = pandoc.MetaBlocks(pandoc.Blocks(doc.meta.abstract):walk(filter))
  end
  return doc
end

-- Formulas --------------------------------------------------------------------------------------------

local function formula(math)
  local text = pandoc.write(pandoc.Pandoc { pandoc.Plain { math } }, 'typst'):gsub('%s+$', '')
  -- Names that typst has given up since this version of pandoc learnt them.
  text = text:gsub('(%a)%.circle', '%1.o'):gsub('%f[%a]sect%f[%A]', 'inter')
  local block = math.mathtype == 'DisplayMath' and 'true' or 'false'
  local alt = quoted(math.text:gsub('^%s+', ''):gsub('%s+$', ''))
  return pandoc.RawInline('typst', '#math.equation(block: ' .. block .. ', alt: ' .. alt .. ', ' .. text .. '.body)')
end

-- Layout ----------------------------------------------------------------------------------------------

local function caption_of(div)
  local first = div.content[1]
  if not first or not first.content then fail(div.identifier .. ' has no caption') end
  return first.content
end

local function first_sentence(inlines)
  for position, inline in ipairs(inlines) do
    local after = inlines[position + 2]
    if inline.t == 'Str' and inline.text:match('%a%a[.:;]$') and after and stringify(after):match('^%u') then
      return pandoc.Inlines { table.unpack(inlines, 1, position) }
    end
  end
  return inlines
end

local function typst_captions(div)
  local caption = caption_of(div)
  return 'number: ' .. numbers[div.identifier] .. ', short: [' .. written { pandoc.Plain(first_sentence(caption)) }
    .. '], caption: [' .. written { pandoc.Plain(caption) } .. ']'
end

local function html_caption(div)
  local label = pandoc.Span({ pandoc.Str(names[div.identifier] .. '.') }, { class = 'number' })
  return pandoc.Plain(pandoc.Inlines { label, pandoc.Space() } .. caption_of(div))
end

local function html(text) return pandoc.RawBlock('html', text) end
local function typst(text) return pandoc.RawBlock('typst', text) end

local function figure(div)
  local file, width = div.identifier .. '.png', div.attributes.width
  local across, down = div.attributes.inches:match('([%d.]+)x([%d.]+)')
  local alt = div.attributes.alt
  if to_typst then
    return typst('#picture(' .. quoted(file) .. ', width: ' .. width .. ', inches: (' .. across .. ', ' .. down
      .. '), alt: ' .. quoted(alt) .. ', ' .. typst_captions(div) .. ') <' .. div.identifier .. '>')
  end
  local escaped = alt:gsub('&', '&amp;'):gsub('"', '&quot;'):gsub('<', '&lt;')
  local style = '--width:' .. width .. ';--natural:' .. math.floor(across * 110) .. 'px'
  return {
    html('<figure id="' .. div.identifier .. '">'),
    html('<img src="' .. file .. '" alt="' .. escaped .. '" style="' .. style .. '">'),
    html('<figcaption>'), html_caption(div), html('</figcaption></figure>'),
  }
end

local function table_in(div)
  for _, block in ipairs(div.content) do
    if block.t == 'Table' then return block end
    if block.t == 'RawBlock' then return pandoc.read(block.text, 'html').blocks[1] end
  end
  fail(div.identifier .. ' holds no table')
end

local function longest_word(text)
  local longest = 0
  for word in text:gmatch('%S+') do longest = math.max(longest, utf8.len(word)) end
  return longest
end

-- Estimate widths from characters; long texts wrap, so they count as much as a comfortable column.
local function column_widths(grid)
  local widths = {}
  local function measure(rows, length)
    for _, row in ipairs(rows) do
      for column, cell in ipairs(row.cells) do
        widths[column] = math.max(widths[column] or 0, math.min(length(stringify(cell.contents)), 24))
      end
    end
  end
  measure(grid.head.rows, longest_word)
  for _, body in ipairs(grid.bodies) do measure(body.body, utf8.len) end
  return widths
end

local function fitted(grid)
  local widths = column_widths(grid)
  local function width_at(size, inset)
    local sum = 0
    for _, characters in ipairs(widths) do sum = sum + characters * 0.49 * size + 2 * inset end
    return sum
  end
  for _, available in ipairs { TEXT_WIDTH, LANDSCAPE_WIDTH } do
    for _, pair in ipairs(SIZES) do
      if width_at(pair[1], pair[2]) <= available then return pair[1], pair[2], available == LANDSCAPE_WIDTH end
    end
  end
  return SIZES[#SIZES][1], SIZES[#SIZES][2], true
end

local function typst_table(div, grid)
  local size, inset, landscape = fitted(grid)
  local rows = 0
  for _, body in ipairs(grid.bodies) do rows = rows + #body.body end
  grid.classes:insert('typst:no-figure')
  local call = '#tabular(size: ' .. size .. 'pt, inset: ' .. inset .. 'pt, rows: ' .. rows .. ', '
    .. typst_captions(div) .. ')[' .. written { grid } .. '] <' .. div.identifier .. '>'
  return typst(landscape and '#page(flipped: true)[' .. call .. ']' or call)
end

local function captioned_table(div)
  local grid = table_in(div)
  if to_typst then return typst_table(div, grid) end
  return {
    html('<figure id="' .. div.identifier .. '" class="table">'),
    html('<figcaption>'), html_caption(div), html('</figcaption>'),
    html('<div class="scroll" tabindex="0" role="region" aria-label="' .. names[div.identifier] .. '">'),
    grid, html('</div></figure>'),
  }
end

local function boxed(name)
  return function(div)
    if not to_typst then return nil end
    local blocks = pandoc.Blocks { typst('#' .. name .. '[') }
    blocks:extend(div.content)
    blocks:insert(typst(']'))
    return blocks
  end
end

local layouts = {
  figure = figure,
  table = captioned_table,
  card = boxed('card'),
  facts = boxed('facts'),
  output = boxed('output'),
  listing = boxed('listing'),
  code = function(div)
    if to_typst then return {} end
    return { html('<details class="code"><summary>Code</summary>'), div.content[1], html('</details>') }
  end,
  print = function(div) return to_typst and div.content or {} end,
}

local function lay_out(div)
  for _, class in ipairs(div.classes) do
    if layouts[class] then return layouts[class](div) end
  end
end

function Pandoc(doc)
  name_everything(doc)
  doc = pandoc.utils.citeproc(link_references(doc))
  if to_typst then
    doc = doc:walk { Math = formula }
    if doc.meta.abstract then
      doc.meta.abstract = pandoc.MetaBlocks(pandoc.Blocks(doc.meta.abstract):walk { Math = formula })
    end
  end
  return doc:walk { Div = lay_out }
end
