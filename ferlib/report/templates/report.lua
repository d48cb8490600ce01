-- From the chapters' divs to numbered figures and tables, boxes, code and cross-references, for both writers.
-- Cross-references are resolved before citeproc sees them, the layout is made after it has set the citations.

local to_typst = FORMAT:match('typst') ~= nil
local stringify = pandoc.utils.stringify
local tables = dofile(pandoc.path.join { pandoc.path.directory(PANDOC_SCRIPT_FILE), 'tables.lua' })
local names = {}    -- label -> what a reference to it says, such as "Figure 3"
local numbers = {}  -- label of a figure or table -> its number

local function fail(message) error('ferlib: ' .. message .. ' :ferlib', 0) end

local function quoted(text)
  return '"' .. text:gsub('\\', '\\\\'):gsub('"', '\\"'):gsub('%s+', ' ') .. '"'
end

local function written(blocks)
  return (pandoc.write(pandoc.Pandoc(blocks), 'typst-citations-smart', { wrap_text = 'wrap-none' }):gsub('%s+$', ''))
end

local function walk_all(doc, filter)
  doc = doc:walk(filter)
  if doc.meta.abstract then doc.meta.abstract = doc.meta.abstract:walk(filter) end
  return doc
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

-- Sections of a chapter without a number have none either.
local function without_numbers(doc)
  local bare = false
  return doc:walk {
    traverse = 'topdown',
    Header = function(header)
      if header.level == 1 then bare = header.classes:includes('unnumbered') end
      if bare and not header.classes:includes('unnumbered') then
        header.classes:insert('unnumbered')
        return header
      end
    end,
  }
end

-- Tables come as HTML; a cell that is nothing but @key cites.
local function cited(str)
  local key = str.text:match('^@([%w_-]+)$')
  if key then return pandoc.Cite({ str }, { pandoc.Citation(key, 'AuthorInText') }) end
end

local function read_tables(doc)
  return doc:walk {
    Div = function(div)
      if not div.classes:includes('table') then return nil end
      div.content = div.content:walk {
        RawBlock = function(raw)
          if raw.format == 'html' then return pandoc.read(raw.text, 'html'):walk({ Str = cited }).blocks end
        end,
      }
      return div
    end,
  }
end

local function known_references(doc)
  local known = {}
  for _, reference in ipairs(pandoc.utils.references(doc)) do known[reference.id] = true end
  return known
end

-- An environment such as align without dollars around it, which Jupyter renders.
local function bare_formula(raw)
  if raw.format == 'tex' then return pandoc.Math('DisplayMath', raw.text) end
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
      if notebook then
        local label = 'sec-' .. notebook:gsub('_', '-')
        if not names[label] then fail('the link to ' .. link.target .. ' leads to no chapter') end
        link.target = '#' .. label
      end
      return link
    end,
    RawInline = bare_formula,
    RawBlock = function(raw) return bare_formula(raw) and pandoc.Para { bare_formula(raw) } end,
    Image = function(image)
      fail('the picture ' .. image.src .. ' stands in the text; show it through report.figure')
    end,
  }
  return walk_all(doc, filter)
end

-- A percent sign stays on the line of its number.
local function with_percent_signs(inlines)
  for position, inline in ipairs(inlines) do
    local before, after = inlines[position - 1], inlines[position + 1]
    if (inline.t == 'Space' or inline.t == 'SoftBreak') and before and after and before.t == 'Str' and after.t == 'Str'
      and before.text:match('%d$') and after.text:match('^%%') then
      inlines[position] = pandoc.Str('\u{a0}')
    end
  end
  return inlines
end

-- Formulas --------------------------------------------------------------------------------------------

-- In MathML this version of pandoc slants \mathbf, but leaves letters that are bold by themselves alone.
local function upright_bold(letters)
  return (letters:gsub('%a', function(letter)
    local first, code = letter:match('%l') and 0x1D41A - 97 or 0x1D400 - 65, letter:byte()
    return utf8.char(first + code)
  end))
end

local function formula(math)
  if not to_typst then
    math.text = math.text:gsub('\\mathbf%s*({%a+})', upright_bold)
    return math
  end
  local text = pandoc.write(pandoc.Pandoc { pandoc.Plain { math } }, 'typst'):gsub('%s+$', '')
  if not text:match('^%$') then fail('the formula ' .. math.text .. ' cannot be set; simplify its LaTeX') end
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

local function typst_caption(div)
  return 'number: ' .. numbers[div.identifier] .. ', caption: [' .. written { pandoc.Plain(caption_of(div)) } .. ']'
end

local function html_caption(div)
  local label = pandoc.Span({ pandoc.Str(names[div.identifier] .. '.') }, { class = 'number' })
  return pandoc.Plain(pandoc.Inlines { label, pandoc.Space() } .. caption_of(div))
end

local function html(text) return pandoc.RawBlock('html', text) end
local function typst(text) return pandoc.RawBlock('typst', text) end

-- What may stand elsewhere than where it is told of, see floats.py.
local function float(div, call)
  return typst('// float ' .. div.identifier .. '\n' .. call .. '\n// end')
end

local function figure(div)
  local width, alt = div.attributes.width, div.attributes.alt
  local across, down = div.attributes.inches:match('([%d.]+)x([%d.]+)')
  if to_typst then
    return float(div, '#picture(' .. quoted(div.identifier) .. ', width: ' .. width .. ', inches: (' .. across
      .. ', ' .. down .. '), alt: ' .. quoted(alt) .. ', ' .. typst_caption(div) .. ')')
  end
  local escaped = alt:gsub('&', '&amp;'):gsub('"', '&quot;'):gsub('<', '&lt;')
  local style = '--width:' .. width .. ';--natural:' .. math.floor(across * 110) .. 'px'
  return {
    html('<figure id="' .. div.identifier .. '">'),
    html('<img src="' .. div.identifier .. '.svg" alt="' .. escaped .. '" style="' .. style .. '">'),
    html('<figcaption>'), html_caption(div), html('</figcaption></figure>'),
  }
end

-- Pandoc gives the columns of a Markdown table with long lines the widths of its dashes.
local function without_widths(grid)
  for column, specification in ipairs(grid.colspecs) do grid.colspecs[column] = { specification[1] } end
  return grid
end

local function table_in(div)
  for _, block in ipairs(div.content) do
    if block.t == 'Table' then return without_widths(block) end
  end
  fail(div.identifier .. ' holds no table')
end

local function typst_table(div, grid)
  local fitted = tables.fit(grid)
  grid.classes:insert('typst:no-figure')
  local call = '#tabular(' .. quoted(div.identifier) .. ', size: ' .. fitted.size .. 'pt, inset: ' .. fitted.inset
    .. 'pt, ' .. typst_caption(div) .. ')[' .. written { grid } .. ']'
  return float(div, fitted.landscape and '#page(flipped: true)[' .. call .. ']' or call)
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

-- Lists of definitions become a grid of two columns, for which typst's own list has no layout.
local function definitions(list)
  local blocks = pandoc.Blocks { typst('#definitions(') }
  for _, item in ipairs(list.content) do
    local term, meanings = item[1], item[2]
    blocks:insert(typst('[' .. written { pandoc.Plain(term) } .. '], ['))
    for _, meaning in ipairs(meanings) do blocks:extend(meaning) end
    blocks:insert(typst('],'))
  end
  blocks:insert(typst(')'))
  return blocks
end

local function in_notebooks_alone()
  if to_typst then return {} end
end

local function boxed(name)
  return function(div)
    if not to_typst then return nil end
    local blocks = pandoc.Blocks { typst('#' .. name .. '[') }
    blocks:extend(pandoc.Blocks(div.content):walk { DefinitionList = definitions })
    blocks:insert(typst(']'))
    return blocks
  end
end

local layouts = {
  figure = figure,
  table = captioned_table,
  card = boxed('card'),
  facts = boxed('facts'),
  output = in_notebooks_alone,
  code = function(div)
    if to_typst then return {} end
    return { html('<details class="code"><summary>Code</summary>'), div.content[1], html('</details>') }
  end,
}

local function lay_out(div)
  for _, class in ipairs(div.classes) do
    if layouts[class] then return layouts[class](div) end
  end
end

-- A table without caption, such as a list of symbols, is set where it stands and not numbered.
local function plain_table(grid)
  if to_typst then grid.classes:insert('typst:no-figure') end
  return without_widths(grid)
end

local function is_float(block)
  return block.t == 'Div' and (block.classes:includes('figure') or block.classes:includes('table'))
end

-- A sentence may run on from one block to the next, as it does around a formula or into a list.
local function ends_sentence(block, following)
  if block.t == 'Header' or stringify(following):match('^%l') then return false end
  return block.t ~= 'Para' or stringify(block):match('[.?!][)\u{201d}\u{2019}]*%s*$') ~= nil
end

-- Mark the places between blocks where a figure or table may stand, and where chapters begin.
local function with_gaps(blocks)
  local marked, before = pandoc.Blocks {}, nil
  for _, block in ipairs(blocks) do
    if not is_float(block) then
      if before and ends_sentence(before, block) then marked:insert(typst('// gap')) end
      if block.t == 'Header' and block.level == 1 then marked:insert(typst('// chapter')) end
      before = block
    end
    marked:insert(block)
  end
  marked:insert(typst('// gap'))
  return marked
end

function Pandoc(doc)
  doc = read_tables(without_numbers(doc))
  name_everything(doc)
  doc = walk_all(doc, { Inlines = with_percent_signs })
  doc = pandoc.utils.citeproc(link_references(doc))
  doc = walk_all(doc, { Math = formula })
  if to_typst then doc.blocks = with_gaps(doc.blocks) end
  return doc:walk { Div = lay_out }:walk { Table = plain_table }
end
