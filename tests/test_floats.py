"""Figures and tables fill the pages: in order, after their first mention, between paragraphs, none wasted."""

import re

import pytest
from chapters import code, markdown, notebook, picture, table
from pdf import empty_shares, page_texts

from ferlib.report import floats, render

TEXT = "Some text between the figures, which ends with a full stop. "
MARKED = """start
// chapter
= One
// gap
See #link(<fig-b>)[Figure 2].
// float fig-a
#picture("fig-a")
// end
// gap
Then
// float fig-b
#picture("fig-b")
// end
// gap
// chapter
= Two
// float tbl-c
#page(flipped: true)[#tabular("tbl-c")]
// end
// gap
See #link(<tbl-c>)[Table 1].
// gap
the rest
// gap
of it
// chapter
= Three
// gap
end
"""


LATER = "// chapter\n// float fig-y\n#picture()\n// end\n// gap\nd"


def pages_of(rests: dict[int, list[float]]):
    """A query that gives each page's gaps, with the points that are left under them."""
    flat = [(page, rest) for page, under in rests.items() for rest in under]
    return [[gap, page, rest] for gap, (page, rest) in enumerate(flat)]


def test_floats_are_taken_out_and_come_back_where_they_are_put():
    document = floats.read(MARKED)
    assert [(float.name, float.earliest, float.latest) for float in document.floats] == [
        ("fig-a", 1, 2),  # gaps 0 to 2 are of its chapter
        ("fig-b", 2, 2),
        ("tbl-c", 4, 5),  # told of later than it stands
    ]
    assert "fig-a" not in "".join(document.texts).replace("<fig-a>", "")
    assert document.texts[-1].split() == ["of", "it", "=", "Three", "end"]
    source = document.source({"fig-a": (1, 1.0), "fig-b": (2, 0.9), "tbl-c": (4, 1.0)})
    told = re.findall(r"#gap\(\d\)|picture\(.*?\)|tabular", source)
    assert told == [
        "#gap(0)",
        'picture("fig-a")',
        "#gap(1)",
        'picture(scale: 0.900, "fig-b")',
        "#gap(2)",
        "#gap(3)",
        "tabular",
        "#gap(4)",
        "#gap(5)",
    ]
    assert document.measuring().count("measured") == 2  # a page of its own cannot be measured inside another


@pytest.mark.parametrize(
    ("heights", "rests", "expected"),
    [
        ((200, 160), {1: [500, 300]}, (0, 1.0)),
        ((200, 160), {1: [100], 2: [600]}, (1, 1.0)),  # not on this page
        ((200, 160), {1: [180], 2: [600]}, (0, 0.9)),  # smaller on this page
        ((200, 200), {1: [180], 2: [600]}, (1, 1.0)),  # a table cannot shrink
        ((500, 400), {1: [300, 200, 100], 2: [600]}, (2, 1.0)),  # its chapter ends near the foot of a page
        ((500, 400), {1: [390, 290, 190], 2: [600]}, (3, 1.0)),  # ... in the middle: the next one fills it
        ((900, 900), {1: [400, 300, 200], 2: [600]}, (2, 1.0)),  # taller than a page
    ],
)
def test_a_float_goes_to_the_first_gap_where_it_fits(heights, rests, expected):
    document = floats.read("a\n// float fig-x\n#picture()\n// end\n" + 3 * "// gap\nb\n" + LATER)
    around = [height - floats.AROUND for height in heights]
    answers = {"<height>": [["fig-x", *around], ["fig-y", 9, 9]], "<gap>": pages_of(rests)}
    asked = []

    def query(source, label):
        asked.append(source)
        return answers[label]

    placed = floats.placed(document, query)
    gap, scale = expected
    before = placed.split("#picture")[0]
    assert before.count("#gap") == gap
    assert ("scale: 0.900" in placed) == (scale == 0.9)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The PDF of a chapter of tall figures and tables, told of in its text; and what it holds, in pages."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "meta.yaml").write_text("{title: T, subtitle: S, authors: [A], course: C}")
    cells = []
    for i in range(8):
        kind = "tbl" if i % 4 == 3 else "fig"
        cells.append(markdown(f"## Part {i}\n\n@{kind}-{i} shows it. " + TEXT * 12 + "\n\n" + TEXT * 25))
        tall = picture(f"fig-{i}", f"Number {i}.", width="90%", size=(420, 300))
        rows = [["cell", "0.5"]] * 18
        cells.append(
            code(f"draw({i})", table(f"tbl-{i}", f"Number {i}.", rows=rows) if kind == "tbl" else tall)
        )
    path = notebook(folder / "01_dataset.ipynb", "Data", *cells)
    return render.render([path], folder, meta=folder / "meta.yaml")[1].read_bytes()


def test_no_page_is_more_than_a_fifth_empty(full):
    shares = empty_shares(full)
    assert len(shares) > 6
    assert max(shares[1:-1]) < 0.2, shares


def test_figures_stand_in_order_after_their_first_mention_and_between_sentences(full):
    text = " ".join(re.sub(r" A \d+ / \d+$", "", re.sub("^T Data ", "", page)) for page in page_texts(full))
    captions = list(re.finditer(r"(Figure|Table) (\d)\. Number (\d)\.", text))
    assert [int(caption[3]) for caption in captions] == list(range(8))
    for caption in captions:
        mention = re.search(rf"{caption[1]} {caption[2]} shows", text)
        assert mention.start() < caption.start()
        before = text[: caption.start()].rstrip()
        assert re.search(r"[.?!]$|cell 0\.5$", before), before[-80:]


def test_floats_do_not_part_a_heading_from_its_text_nor_a_sentence(tmp_path):
    (tmp_path / "meta.yaml").write_text("{title: T, subtitle: S, authors: [A], course: C}")
    cells = [code("a()", picture("fig-a", "One.")), markdown("## Parted\n\nIt is")]
    cells += [code("b()", picture("fig-b", "Two.")), markdown("one sentence. And:")]
    cells += [code("c()", picture("fig-c", "Three.")), markdown("- a list\n\nThe end.")]
    path = notebook(tmp_path / "01_dataset.ipynb", "Data", *cells)
    text = " ".join(page_texts(render.render([path], tmp_path, meta=tmp_path / "meta.yaml")[1].read_bytes()))
    assert "Parted It is one sentence. And: • a list" in text
