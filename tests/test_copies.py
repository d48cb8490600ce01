import re

import nbformat
import pytest
from nbformat import v4

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.report import copies


def shown(markdown, **facts):
    data = {"text/markdown": markdown, "text/plain": markdown}
    return v4.new_output("display_data", data, metadata={"ferlib": facts} if facts else {})


def floating(label, caption):
    """What a figure or table of a chapter puts out."""
    data, facts = (
        {"text/html": "<table></table>", "text/plain": f"<{label}>"},
        {"role": "any", "label": label},
    )
    kind = "Figure" if label.startswith("fig") else "Table"
    thing = v4.new_output("display_data", data, metadata={"ferlib": facts})
    return [thing, shown(f"**{kind}.** {caption}", role="caption")]


def notebook(prose, *outputs):
    cell = v4.new_code_cell("pass", outputs=list(outputs), execution_count=1)
    cell.metadata = {"papermill": {"duration": 1.0}, "tags": ["evidence"]}
    injected = v4.new_code_cell("SEEDS = [0]", metadata={"tags": ["injected-parameters"]})
    cells = [injected, v4.new_markdown_cell(prose), cell]
    return v4.new_notebook(cells=cells, metadata={"papermill": {}, "title": "kept"})


def test_captions_have_the_numbers_of_the_report_and_references_name_them():
    first = notebook("See @fig-two, beyond @tbl-one.", *floating("fig-one", "A face."))
    second = notebook(
        "As in @fig-one.", *floating("tbl-one", "As @fig-two says."), *floating("fig-two", "Another.")
    )
    copies.for_readers([first, second])
    assert first.cells[0].source == "See Figure 2, beyond Table 1."
    assert second.cells[0].source == "As in Figure 1."
    captions = [
        output["data"]["text/markdown"]
        for one in (first, second)
        for output in one.cells[-1].outputs
        if "text/markdown" in output["data"]
    ]
    assert captions[:2] == ["**Figure 1.** A face.", "**Table 1.** As Figure 2 says."]
    assert captions[2:] == ["**Figure 2.** Another."]


def test_a_citation_of_nothing_is_told():
    with pytest.raises(FerlibError, match="cites 'typo2020', which is not in references.bib"):
        copies.for_readers([notebook("Older [@typo2020].", shown("x", role="prose"))])


def test_citations_become_links():
    one = notebook(
        "Older [@holm1979].", shown("**Finding.** Two [@goodfellow2013; @brocker2007].", role="prose")
    )
    copies.for_readers([one])
    assert re.fullmatch(r"Older \(\[Holm 1979\]\(https://\S+\)\)\.", one.cells[0].source)
    (said,) = [output["data"] for output in one.cells[-1].outputs]
    assert said["text/markdown"] == said["text/plain"]
    assert (
        "([Goodfellow et al. 2015](https://doi.org/10.1016/j.neunet.2014.09.005); [Br" in said["text/plain"]
    )
    assert " and Smith 2007](https://doi.org/" in said["text/plain"]


def test_every_citation_of_the_chapters_has_its_source():
    for path in paths.notebooks().glob("*.ipynb"):
        chapter = nbformat.read(path, 4)
        for cell in chapter.cells:
            for citation in copies._CITATION.findall(cell.source):
                assert "](http" in copies._readable(f"[{citation}]", {})


@pytest.mark.parametrize("kept", ["printed", "drawn"])
def test_code_output_and_tags_stay_and_what_belongs_to_the_run_goes(kept):
    output = v4.new_output("stream", name="stdout", text="see @fig-one [@holm1979]")
    if kept == "drawn":
        output = v4.new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "@fig-one"})
    noise = v4.new_output("stream", name="stderr", text="noise")
    one = notebook("Text.", output, noise)
    copies.for_readers([one])
    (cell,) = one.cells[1:]
    assert cell.outputs == [output] and cell.source == "pass" and cell.metadata == {"tags": ["evidence"]}
    assert one.metadata == {"title": "kept"}
    nbformat.validate(one)


def collapsed(source, *outputs):
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"jupyter": {"source_hidden": True}})


def test_filled_sentences_stand_as_text_and_figures_under_their_names():
    prose = collapsed('report.say("""{{n}} faces""")', shown("7 faces"), shown("See @fig-one."))
    figure = collapsed(
        'report.figure(\n    draw(),\n    "one",\n    caption="""A."""\n)', *floating("fig-one", "A.")
    )
    abstract = collapsed("report.conclude()", shown("We train.", role="abstract"))
    one = v4.new_notebook(cells=[prose, figure, abstract])
    copies.for_readers([one])
    text, picture = one.cells
    assert text.cell_type == "markdown" and text.source == "7 faces\n\nSee Figure 1." and text.id == prose.id
    assert picture.cell_type == "code" and picture.source == '# "one"' and len(picture.outputs) == 2
    nbformat.validate(one)


def test_keys_of_sources_in_tables_become_links():
    table = v4.new_output(
        "display_data",
        {"text/html": "<td>@tang2013</td><td>@nobody</td>", "text/plain": "  @tang2013  a@tang2013 \n"},
    )
    one = v4.new_notebook(cells=[v4.new_code_cell("pass", outputs=[table])])
    copies.for_readers([one])
    data = one.cells[0].outputs[0]["data"]
    assert re.fullmatch(r'<td><a href="https://\S+">Tang 2013</a></td><td>@nobody</td>', data["text/html"])
    assert data["text/plain"] == "  Tang 2013  a@tang2013 \n"
