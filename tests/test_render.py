"""The two rendered files stand on their own, say where numbers come from, and are the same every time."""

import datetime
import re
import shutil
import subprocess
from collections import Counter

import pytest
import typst
import yaml
from bs4 import BeautifulSoup
from chapters import code, markdown, notebook, picture, printed, shown, table
from pdf import empty_shares, fonts, outside, page_texts, reader

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.report import render

AUTHORS = "[Ada Example, Bo Example]"
META = f"""
title: Faces & feelings
subtitle: A test
authors: {AUTHORS}
course: Course 101
keywords: [faces]
"""
WIDE = tuple(f"quantity_{i}" for i in range(12))


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    """Two chapters with one of everything."""
    folder = tmp_path_factory.mktemp("executed")
    abstract = shown(
        {"text/markdown": "We test it [@he2016]; see @tbl-wide."}, {"role": "abstract", "holds": True}
    )
    prose = shown(
        {"text/markdown": "As @fig-curve and @tbl-scores of @sec-shallow-cnn show."}, {"role": "prose"}
    )
    first = notebook(
        folder / "01_dataset.ipynb",
        "The data set",
        markdown(
            r"Data [@goodfellow2013], $\mathbf{w}\odot\hat{x}$, and [next](02_shallow_cnn.ipynb), 5 % of it."
            "\n\n\\begin{align}\na &= b\n\\end{align}"
        ),
        code("draw()", picture(), printed("step 1\rstep 2\n\x1b[32mdone\x1b[0m\n")),
    )
    second = notebook(
        folder / "02_shallow_cnn.ipynb",
        "Shallow networks",
        code("tabulate()", table(), prose, abstract),
        code("compare()", table("tbl-wide", "A wide table.", WIDE, [["1.5 %"] * 12] * 3)),
        code("again()", picture("fig-second", "Another figure.")),
        ended="2026-05-06T10:00:00",
        facts={"commit": "ffffffffff-dirty"},
    )
    return first, second


@pytest.fixture(scope="module")
def meta(tmp_path_factory):
    path = tmp_path_factory.mktemp("meta") / "meta.yaml"
    path.write_text(META)
    return path


@pytest.fixture(scope="module")
def report(chapters, meta, tmp_path_factory):
    """Bytes of the HTML and the PDF report."""
    html, pdf = render.render(chapters, tmp_path_factory.mktemp("out"), meta=meta)
    return html.read_bytes(), pdf.read_bytes()


@pytest.fixture(scope="module")
def html(report):
    return BeautifulSoup(report[0].decode(), "html.parser")


@pytest.fixture(scope="module")
def pages(report):
    return page_texts(report[1])


def words(element) -> str:
    return " ".join(element.get_text().split())


def test_figures_and_tables_are_numbered_across_chapters(html):
    captions = [words(caption) for caption in html.find_all("figcaption")]
    numbers = [caption.split(".")[0] for caption in captions]
    assert numbers == ["Figure 1", "Table 1", "Table 2", "Figure 2"]
    assert captions[1] == "Table 1. Scores of all. Happy is best."
    assert html.find(id="fig-curve").img["alt"] == 'A "line" & a <dot>'
    size = html.find(id="fig-curve").img["class"][0]
    assert f".{size} {{ --width:50%;--natural:220px }}" in html.style.string


def stand_on_their_own(html: BeautifulSoup, pdf: bytes) -> None:
    """Check that a report has all it shows inside, described, and that its references lead somewhere."""
    ids = {tag["id"] for tag in html.find_all(id=True)}
    assert {a["href"][1:] for a in html.find_all("a") if a["href"].startswith("#")} <= ids
    assert all(image["alt"] for image in html.find_all("img"))
    assert all(tag["src"].startswith("data:") for tag in html.find_all(src=True))
    assert all(tag["href"].startswith("data:") for tag in html.find_all("link"))
    assert reader(pdf).metadata.title == html.title.get_text()
    assert all({"/FontFile2", "/FontFile3"} & set(font) for font in fonts(pdf))


def test_references_lead_somewhere(html, report):
    stand_on_their_own(html, report[1])
    said = {a["href"]: words(a) for a in html.main.find_all("a") if a["href"].startswith("#")}
    assert said["#fig-curve"] == "Figure 1" and said["#tbl-scores"] == "Table 1"
    assert words(html.find("a", string=re.compile("next"))) == "next"
    assert html.find("a", string="next")["href"] == "#sec-shallow-cnn"
    assert "Goodfellow et al. 2015" in words(html.find(id="sec-dataset"))
    references = words(html.find(id="refs"))
    assert "10.1016/j.neunet.2014.09.005" in references and "10.1109/CVPR.2016.90" in references
    assert "Efron" not in references


def test_an_introduction_has_no_number_and_cells_of_tables_may_cite(meta, tmp_path):
    rows = [("@he2016", "76"), ("nobody@home", "75")]
    cells = [markdown("## Related work"), code("show()", table(columns=("who", "%"), rows=rows))]
    introduction = notebook(tmp_path / "00_introduction.ipynb", "Introduction", *cells)
    first = notebook(tmp_path / "01_dataset.ipynb", "Data", markdown("## Counts\n\nSee @sec-introduction."))
    html, pdf = render.render([introduction, first], tmp_path, meta=meta)
    html = BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser")
    headings = [words(heading) for heading in html.main.find_all(["h1", "h2"])]
    expected = ["Introduction", "Related work", "1 Data", "1.1 Counts"]
    assert [heading for heading in headings if heading in expected] == expected
    assert words(html.find("a", href="#sec-introduction", string="Introduction")) == "Introduction"
    assert words(html.find("td")) == "He et al. (2016)"
    assert html.find("td").a["href"] == "#ref-he2016"
    assert "nobody@home" in words(html.find("table"))
    assert "Heetal.(2016)" in re.sub(r"\s+", "", "".join(page_texts(pdf.read_bytes())))


def test_formulas_are_mathml_and_percent_signs_stay_with_their_numbers(html):
    formulas = html.find(id="sec-dataset").find_all("math")
    assert any("\U0001d430" in formula.get_text() for formula in formulas)  # an upright bold w
    assert html.find("mo", attrs={"stretchy": "false", "accent": "true"}).get_text() == "^"
    assert any(formula.find("mtable") for formula in formulas), "an environment without dollars"
    assert 'font-family: "STIX Two Math"' in html.style.get_text()
    assert "5\u00a0% of it" in html.find(id="sec-dataset").get_text()
    assert "1.5\u00a0%" in html.find(id="tbl-wide").get_text(), "also in tables"


def test_html_has_contents_skip_link_cards_folded_code_and_logs_as_a_terminal_shows_them(html):
    contents = "Faces & feelings 1 The data set 2 Shallow networks How this report was made"
    assert words(html.nav).startswith(contents)
    assert html.find("a", class_="skip")["href"] == "#main"
    assert words(html.find(class_="card")) == "Question What is it? Answer A test, see x2x^2."
    assert not html.find(class_="banner"), "a sound full report"
    assert words(html.find(id="sec-dataset").details.pre) == "draw()"
    assert words(html.find(class_="output")) == "step 2 done"
    assert "import ferlib" not in words(html.main)


def test_pdf_has_title_page_contents_captions_references_and_the_librarys_code(pages):
    for text in ("COURSE 101", "Faces & feelings", "Ada Example", "6 May 2026", "We test it", "Table 2"):
        assert text in pages[0]
    assert "1 The data set" in pages[1] and "Appendix: code" in pages[1]
    text = " ".join(pages)
    assert "quick profile" not in text
    assert text.count("Figure 1. The loss falls") == 1
    assert "Table 1. Scores of all. Happy is best." in text
    assert "As Figure 1 and Table 1 of Chapter 2 show." in text
    assert "10.1016/j.neunet.2014.09.005" in text.replace(" ", "")
    assert "def lean_cnn(" in text.partition("The small network")[2]
    assert "tabulate()" not in text, "cells of notebooks are for the notebooks' readers"
    for number, page in enumerate(pages[1:], start=2):
        assert f"{number} / {len(pages)}" in page
        assert page.startswith("Faces & feelings ")


def test_pdf_is_tagged_and_described_with_fonts_and_bookmarks_inside(report):
    pdf = report[1]
    assert b"/StructTreeRoot" in pdf
    assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf
    assert b'A \\"line\\" & a <dot>' in pdf or b'A "line" & a <dot>' in pdf
    said = reader(pdf).metadata
    assert (said.title, said.author) == ("Faces & feelings", "Ada Example, Bo Example")
    assert said["/Keywords"] == "faces"
    assert reader(pdf).viewer_preferences.display_doctitle.value, "not the name of the file"
    families = {font["/FontName"].split("+")[1].split("-")[0] for font in fonts(pdf)}
    assert {"SourceSansPro", "LibertinusSerif"} <= families
    chapters = [mark for mark in reader(pdf).outline if not isinstance(mark, list)]
    titles = ["1 The data set", "2 Shallow networks", "How this report was made", "References"]
    assert [mark.title for mark in chapters] == [*titles, "Appendix: code"]
    numbers = [reader(pdf).get_destination_page_number(mark) for mark in chapters]
    assert numbers == sorted(numbers)


def test_the_same_notebooks_give_the_same_bytes(chapters, meta, report, tmp_path):
    moved = [shutil.copy(path, tmp_path) for path in chapters]
    html, pdf = render.render(moved, tmp_path / "out", meta=meta)
    assert html.read_bytes() == report[0]
    assert pdf.read_bytes() == report[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.pdf"]


def test_demo_and_quick_warnings_are_on_every_page(tmp_path, meta):
    facts = {"is_demo": True, "profiles": ["quick"]}
    path = notebook(tmp_path / "01_dataset.ipynb", "Data", markdown("Text. " * 900), facts=facts)
    html, pdf = render.render([path], tmp_path, meta=meta)
    warning = "demo faces, not FER-2013 · quick profile: small-scale run"
    banner = BeautifulSoup(html.read_text(), "html.parser").find(class_="banner")
    assert words(banner) == warning
    texts = page_texts(pdf.read_bytes())
    assert len(texts) > 4
    assert all(text.startswith(warning) for text in texts)


def test_only_tables_that_fit_in_no_other_way_get_a_landscape_page(tmp_path, meta, report):
    landscape = b"/MediaBox[0 0 841."
    assert landscape not in report[1]
    wide = [f"a_long_quantity_{i}" for i in range(14)]
    long = ("network", "seeds", "images", "crowd %", "six of ten %", "label %", "leak-free %", "error %")
    tables = [table("tbl-wide", "Wide.", wide, [["0.123"] * 14] * 3)]
    tables += [table("tbl-long", "Long.", long, [["60.1 (57.7 to 67.7)"] * 8] * 3)]
    _, pdf = render.render(
        [notebook(tmp_path / "01_dataset.ipynb", "Data", code("wide()", *tables))], tmp_path, meta
    )
    assert pdf.read_bytes().count(landscape) == 1


@pytest.fixture(scope="module")
def committed():
    """The committed HTML report, read, and the bytes of the PDF."""
    folder = paths.root() / "reports"
    html = BeautifulSoup((folder / "report.html").read_text(encoding="utf-8"), "html.parser")
    return html, (folder / "report.pdf").read_bytes()


def test_the_committed_report_stands_on_its_own(committed):
    stand_on_their_own(*committed)
    assert len(reader(committed[1]).outline) > 6
    assert (paths.root() / "reports" / "report.html").stat().st_size < 5e6


def test_the_committed_pdf_is_short_and_full_and_tells_of_all_it_shows(committed):
    _, pdf = committed
    pages, shares = page_texts(pdf), empty_shares(pdf)
    assert len(pdf) < 4e6 and len(pages) <= 35
    assert max(shares[:-1]) < 0.2, shares
    text = " ".join(pages)
    assert "\ufffd" not in text, "a glyph is missing"
    for kind in ("Figure", "Table"):
        captions = set(re.findall(rf"{kind} (\d+)\. ", text))
        assert len(captions) > 10
        told = Counter(re.findall(rf"{kind} (\d+)", text))
        assert {number for number in captions if told[number] < 2} == set(), "told of beside the caption"


def test_the_committed_report_names_the_one_commit_that_it_can_be_made_from(committed):
    term = committed[0].find(id="sec-how-made").find("dt", string="Commit")
    commit = words(term.find_next_sibling("dd"))
    assert re.fullmatch("[0-9a-f]{10}", commit), "one for all chapters, with nothing uncommitted"
    git = ["git", "-C", str(paths.root())]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True)
    if shallow.stdout.strip() == "false":  # a copy without history cannot tell
        assert subprocess.run([*git, "merge-base", "--is-ancestor", commit, "HEAD"]).returncode == 0


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="only poppler says where words end")
def test_no_line_of_the_committed_pdf_leaves_its_page(tmp_path):
    assert outside(paths.root() / "reports" / "report.pdf", margin=25) == []
    page = '#set page(width: 100pt, height: 100pt, margin: 30pt)\n#box(width: 200pt)[#("a" * 40)]'
    wide = typst.compile(page.encode())
    (tmp_path / "wide.pdf").write_bytes(wide)
    assert outside(tmp_path / "wide.pdf", margin=25), "what runs off is noticed"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (markdown("See @fig-missing."), "refers to @fig-missing"),
        (markdown("As [@nobody1999] said."), "cites @nobody1999, which references.bib does not have"),
        (markdown("[there](09_nowhere.ipynb)"), "leads to no chapter"),
        (markdown("![x](picture.png)"), "picture picture.png stands in the text"),
        (code("a()", picture(), picture()), "fig-curve is used twice"),
        (markdown(r"$\frobnicate{x}$"), "formula .* cannot be set"),
        (markdown("Smile \U0001f642."), "cannot be set as PDF: .* not displayable|could not be displayed"),
    ],
)
def test_what_cannot_be_rendered_is_named_and_nothing_is_written(tmp_path, meta, cell, message):
    path = notebook(tmp_path / "01_dataset.ipynb", "Data", cell)
    with pytest.raises(FerlibError, match=message):
        render.render([path], tmp_path / "out", meta=meta)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: [", "cannot be read as YAML"),
        ("- list", "has no authors, course, subtitle, title"),
        (META + "colour: red", "unknown entry 'colour'"),
        (META + "date: soon", "date is 'soon', which is not a date"),
        (META.replace(AUTHORS, "Ada Example"), "authors is 'Ada Example', which is not a list"),
        (META + "date: 2025-13-45", "cannot be read as YAML .* month must be in 1..12; mend it"),
    ],
)
def test_a_wrong_title_page_is_refused(tmp_path, chapters, text, message):
    (tmp_path / "meta.yaml").write_text(text)
    with pytest.raises(FerlibError, match=message):
        render.render(chapters, tmp_path, meta=tmp_path / "meta.yaml")


def test_names_and_a_date_are_shown_as_they_are_and_obeyed_by_nobody(tmp_path):
    author, course = "<script>alert(1)</script> [A](https://x.org)", '#panic("b") $x$ *c* {{d}} `e` @f {.g}'
    data, path = "FER-2013 from <img src=x onerror=alert(2)>_a_.zip", "/tmp/`<b>`$y$"
    day = datetime.date(2025, 12, 24)
    title = {"title": author, "subtitle": course, "authors": [author], "course": course, "date": day}
    (tmp_path / "meta.yaml").write_text(yaml.safe_dump(title))
    chapter = notebook(
        tmp_path / "01_dataset.ipynb",
        "Data",
        markdown("Text."),
        facts={"data": data, "notes": [f"{course} once"]},
        parameters=f'DATA = "{path}"',
    )
    html, pdf = (
        file.read_bytes() for file in render.render([chapter], tmp_path, meta=tmp_path / "meta.yaml")
    )
    page = BeautifulSoup(html.decode(), "html.parser")
    assert len(page.find_all("script")) == 1 and not page.find_all("img") and not page.find_all("b")
    assert not page.find_all("a", href="https://x.org")
    byline, made = words(page.find(class_="byline")), words(page.find(id="sec-how-made"))
    assert (
        byline.startswith(author)
        and "24 December 2025" in byline
        and words(page.find(class_="course")) == course
    )
    assert data in made and course in made and path in made
    text = " ".join(page_texts(pdf))
    for shown_as_it_is in (author, data, "#panic("):
        assert shown_as_it_is in text
