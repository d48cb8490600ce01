"""Figures and tables fill the pages: in order, after their first mention, between paragraphs, none wasted."""

import re

import pytest
from chapters import code, markdown, notebook, picture, table
from pdf import empty_shares, page_texts

from ferlib.report import floats, render

TEXT = "Some text between the figures, which ends with a full stop. "
PAGE = 700
TEXT_ONLY = [100, 250, 400, 650, 200, 350, 500, 40, 300]  # points used at each gap of three pages


def planned(*floats_told, code="#picture()"):
    """Plan floats told of by their earliest gap, height and smallest height."""
    sized = [(floats.Float("x", code, earliest), *heights) for earliest, *heights in floats_told]
    return floats.plan(sized, TEXT_ONLY, 0, PAGE)


@pytest.mark.parametrize(
    ("floats_told", "expected"),
    [
        ([(0, 300, 300)], [(0, 1.0, 400)]),  # it fits where it is told of
        ([(2, 400, 400)], [(3, 1.0, 400)]),  # it does not: text comes first, until little of the page is left
        ([(2, 330, 264)], [(2, 0.9, 697)]),  # smaller it does
        ([(0, 200, 200), (0, 390, 390), (0, 100, 100)], [(0, 1.0, 300), (0, 1.0, 690), (0, 1.0, 100)]),
        ([(0, 300, 300), (4, 100, 100)], [(0, 1.0, 400), (4, 1.0, 600)]),  # 300 more than 200
        ([(8, 650, 650)], [(8, 1.0, 650)]),  # there is no text left to fill the page
    ],
)
def test_a_float_goes_where_pages_are_full_and_ways_short(floats_told, expected):
    places = planned(*floats_told)
    assert [(place.gap, place.scale, place.used) for place in places] == expected


@pytest.mark.parametrize(
    ("code", "gap", "broken", "used"), [("#tabular()", 1, True, 150), ("#picture()", 3, False, 600)]
)
def test_a_tall_table_breaks_where_enough_is_left_for_its_beginning(code, gap, broken, used):
    (place,) = planned((1, 600, 600), code=code)
    assert (place.gap, place.broken, place.used) == (gap, broken, used)


def test_where_typst_sets_otherwise_the_rest_is_planned_anew():
    """Typst that needs 200 points more than planned after the first float."""
    document = floats.read(
        "a\n" + "".join(f'// float fig-{n}\n#picture("{n}")\n// end\n// gap\nb\n' for n in range(3))
    )
    asked = []

    def query(source, label):
        if label == "<height>":
            return [[f"fig-{n}", 80, 80] for n in range(3)]
        asked.append(source)
        used, answers = 0, []
        for gap, before in enumerate(source.split("#gap")[:-1]):
            used += 100 + 100 * before.count("#picture") + 200 * ('"0"' in before)
            answers.append([gap, 1, PAGE - used, PAGE])
        return answers

    placed = floats.placed(document, query)
    assert re.findall(r'#picture\("\d"\)|#gap\(\d\)', placed) == [
        item for n in range(3) for item in (f'#picture("{n}")', f"#gap({n})")
    ]
    assert len(asked) == 4, "two plans, each looked at before and after"


def pdf_of(folder, *cells):
    """The PDF of one chapter."""
    (folder / "meta.yaml").write_text("{title: T, subtitle: S, authors: [A], course: C}")
    path = notebook(folder / "01_dataset.ipynb", "Data", *cells)
    return render.render([path], folder, meta=folder / "meta.yaml")[1].read_bytes()


def test_pages_are_full_and_figures_in_order_after_their_first_mention_between_sentences(tmp_path):
    """A chapter of tall figures and tables, told of in its text."""
    cells = []
    for i in range(8):
        kind = "tbl" if i % 4 == 3 else "fig"
        cells.append(markdown(f"## Part {i}\n\n@{kind}-{i} shows it. " + TEXT * 12 + "\n\n" + TEXT * 25))
        tall = picture(f"fig-{i}", f"Number {i}.", width="90%", size=(420, 300))
        long = table(f"tbl-{i}", f"Number {i}.", rows=[["cell", "0.5"]] * 18)
        cells.append(code(f"draw({i})", long if kind == "tbl" else tall))
    full = pdf_of(tmp_path, *cells)
    shares = empty_shares(full)
    assert len(shares) > 6
    assert max(shares[1:-1]) < 0.2, shares
    text = " ".join(
        re.sub(r" A \d+ / \d+$", "", re.sub("^T (Data|How this report was made) ", "", page))
        for page in page_texts(full)
    )
    captions = list(re.finditer(r"(Figure|Table) (\d)\. Number (\d)\.", text))
    assert [int(caption[3]) for caption in captions] == list(range(8))
    for caption in captions:
        mention = re.search(rf"{caption[1]} {caption[2]} shows", text)
        assert mention.start() < caption.start()
        before = text[: caption.start()].rstrip()
        assert re.search(r"[.?!]$|cell 0\.5$", before), before[-80:]


def test_floats_do_not_part_a_heading_from_its_text_nor_a_sentence(tmp_path):
    cells = [code("a()", picture("fig-a", "One.")), markdown("## Parted\n\nIt is")]
    cells += [code("b()", picture("fig-b", "Two.")), markdown("one sentence. And:")]
    cells += [
        code("c()", picture("fig-c", "Three.")),
        markdown("- a list\n\nThe end, as @fig-c shows.\n\nMore."),
    ]
    text = " ".join(page_texts(pdf_of(tmp_path, *cells)))
    assert "Parted It is one sentence. And: • a list" in text
    assert text.index("as Figure 3 shows") < text.index("Figure 3. Three."), "told of before it comes"
