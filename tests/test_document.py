"""Executed notebooks become chapters of Markdown, or the build stops and says where."""

import nbformat
import pytest
from chapters import code, markdown, notebook, picture, printed, shown, table

from ferlib.labels import FerlibError
from ferlib.report import document


@pytest.fixture
def read(tmp_path):
    """A function that reads the chapter made of some cells."""
    return lambda *cells, **options: document.read_chapter(
        notebook(tmp_path / "02_shallow_cnn.ipynb", "Shallow networks", *cells, **options)
    )


def test_the_first_cell_gives_title_and_box(read):
    body = read().body
    assert body.startswith("# Shallow networks {#sec-shallow-cnn}\n\n::: card\nQuestion\n:   What is it?")
    assert "Answer\n:   A test, see $x^2$.\n:::\n\nIntroduction." in body
    assert "Nothing." not in body, "who reads the report runs nothing"


def test_setup_is_hidden_and_parameters_are_kept(read):
    chapter = read(code("history = fit()"))
    assert "import ferlib" not in chapter.body and "PROFILE" not in chapter.body
    assert "::: code\n``` python\nhistory = fit()\n```\n:::" in chapter.body
    assert chapter.parameters == "PROFILE = 'full'"


def test_figures_tables_prose_and_facts_go_to_their_places(read):
    abstract = shown({"text/markdown": "In short."}, {"role": "abstract", "holds": True})
    more = shown({"text/markdown": "It works."}, {"role": "abstract", "holds": True})
    unknown = shown({"text/markdown": "> Who knows."}, {"role": "abstract", "holds": None})
    prose = shown({"text/markdown": "Happy is **best**."}, {"role": "prose"})
    caption = shown({"text/markdown": "**Figure.** The loss"}, {"role": "caption"})
    chapter = read(code("a()", picture(), caption), code("b()", table(), prose, abstract, unknown, more))
    assert list(chapter.pictures) == ["fig-curve.svg"]
    assert (
        '::: {#fig-curve .figure width="50%" inches="2.00x1.00" alt="A \\"line\\" & a <dot>"}' in chapter.body
    )
    assert "::: {#tbl-scores .table}\nScores of all. Happy is best.\n\n``` {=html}\n<table " in chapter.body
    assert "Happy is **best**." in chapter.body
    assert "**Figure.**" not in chapter.body and "In short." not in chapter.body
    assert chapter.abstract == "In short. It works."
    assert chapter.facts["commit"] == "0a1b2c3d4e" and chapter.ended[:10] == "2026-03-04"


def test_logs_are_cleaned_and_warnings_set_apart(read):
    log = "".join(f"\r\x1b[1m{step}/3\x1b[0m" for step in range(3)) + "\nline\n"
    stderr = "100%|####|\n/tmp/x.py:3: UserWarning: low memory\n  warnings.warn()\n"
    chapter = read(code("fit()", printed(log[:30]), printed(log[30:]), printed(stderr, "stderr")))
    assert "2/3\nline" in chapter.body
    assert not [gone for gone in ("1/3", "\x1b", "100%") if gone in chapter.body]
    assert chapter.warnings == ["02_shallow_cnn, cell 1: UserWarning: low memory"]


def test_backquotes_in_output_cannot_end_its_block(read):
    assert "```` text\n``` python\n````" in read(code("show()", printed("``` python"))).body


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"image/png": ""}, "a figure without caption"),
        ({"image/svg+xml": ""}, "a figure without caption"),
        ({"text/html": "<table></table>"}, "a table without caption"),
    ],
)
def test_figures_and_tables_without_captions_are_refused_with_their_cell(read, data, message):
    with pytest.raises(FerlibError, match=f"02_shallow_cnn, cell 7: {message}"):
        read(code("show()", shown(data), count=7))


def test_a_chapter_needs_a_title(tmp_path):
    path = tmp_path / "01_x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[markdown("No title")]), path)
    with pytest.raises(FerlibError, match="'# Title'"):
        document.read_chapter(path)


def test_prose_shows_without_its_code_and_the_answer_stands_in_the_box(read):
    answer = code('report.conclude("x")', shown({"text/markdown": "**Answer** It\n is."}, {"role": "prose"}))
    said = code('report.say("y")', shown({"text/markdown": "So *much*."}, {"role": "prose"}))
    status = code("load()", shown({"text/markdown": "*Three runs*"}, {"role": "status"}))
    for cell in (answer, said):
        cell.metadata["jupyter"] = {"source_hidden": True}
    card = "# Networks\n\n**Question** What?\n\n**Needs** Nothing.\n\n**Runtime** None."
    chapter = read(status, answer, said, card=card)
    assert "Question\n:   What?\n\nAnswer\n:   It is.\n:::" in chapter.body
    assert chapter.body.count("It is.") == 1
    assert "So *much*." in chapter.body and "load()" in chapter.body
    assert "Three runs" not in chapter.body and "report.say" not in chapter.body
