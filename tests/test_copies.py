"""Copies of executed chapters read like the report: numbered, cited, without what changes from run to run."""

import re

import nbformat
import pytest
from chapters import shown
from nbformat import v4

from ferlib.labels import FerlibError
from ferlib.report import copies


def said(markdown, **facts):
    return shown({"text/markdown": markdown, "text/plain": markdown}, facts)


def floating(label, caption):
    """What a figure or table of a chapter puts out."""
    data = {"text/html": "<table></table>", "text/plain": f"<{label}>"}
    kind = "Figure" if label.startswith("fig") else "Table"
    return [shown(data, {"role": "any", "label": label}), said(f"**{kind}.** {caption}", role="caption")]


def notebook(prose, *outputs):
    cell = v4.new_code_cell("pass", outputs=list(outputs), execution_count=1)
    cell.metadata = {"papermill": {"duration": 1.0}, "tags": ["evidence"]}
    injected = v4.new_code_cell("SEEDS = [0]", metadata={"tags": ["injected-parameters"]})
    cells = [injected, v4.new_markdown_cell(prose), cell]
    return v4.new_notebook(cells=cells, metadata={"papermill": {}, "title": "kept"})


def test_captions_have_the_numbers_of_the_report_and_references_name_them():
    first = notebook("See @fig-two, beyond @tbl-one.", *floating("fig-one", "A face."))
    outputs = [*floating("tbl-one", "As @fig-two says."), *floating("fig-two", "Another.")]
    second = notebook("As in @fig-one.", *outputs)
    copies.for_readers([first, second])
    assert first.cells[0].source == "See Figure 2, beyond Table 1."
    assert second.cells[0].source == "As in Figure 1."
    shown_in = [output["data"] for one in (first, second) for output in one.cells[-1].outputs]
    captions = ["**Figure 1.** A face.", "**Table 1.** As Figure 2 says.", "**Figure 2.** Another."]
    assert [data["text/markdown"] for data in shown_in if "text/markdown" in data] == captions


def test_citations_become_links_or_are_told():
    one = notebook(
        "Older [@holm1979].", said("**Finding.** Two [@goodfellow2013; @brocker2007].", role="prose")
    )
    copies.for_readers([one])
    assert re.fullmatch(r"Older \(\[Holm 1979\]\(https://\S+\)\)\.", one.cells[0].source)
    (data,) = [output["data"] for output in one.cells[-1].outputs]
    assert data["text/markdown"] == data["text/plain"]
    first = "([Goodfellow et al. 2015](https://doi.org/10.1016/j.neunet.2014.09.005); [Br"
    assert first in data["text/plain"] and " and Smith 2007](https://doi.org/" in data["text/plain"]
    with pytest.raises(FerlibError, match="cites 'typo2020', which is not in references.bib"):
        copies.for_readers([notebook("Older [@typo2020].")])


def test_code_output_and_tags_stay_and_what_belongs_to_the_run_goes():
    printed = v4.new_output("stream", name="stdout", text="see @fig-one [@holm1979]")
    drawn = shown({"image/svg+xml": "<svg/>", "text/plain": "@fig-one"})
    one = notebook("Text.", printed, drawn, v4.new_output("stream", name="stderr", text="noise"))
    copies.for_readers([one])
    (cell,) = one.cells[1:]
    assert cell.outputs == [printed, drawn] and cell.source == "pass"
    assert cell.metadata == {"tags": ["evidence"]} and one.metadata == {"title": "kept"}
    nbformat.validate(one)


def collapsed(source, *outputs):
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"jupyter": {"source_hidden": True}})


def test_filled_sentences_stand_as_text_and_figures_under_their_names():
    prose = collapsed('report.say("""{{n}} faces""")', said("7 faces"), said("See @fig-one."))
    source = 'report.figure(\n    draw(),\n    "one",\n    caption="""A."""\n)'
    figure = collapsed(source, *floating("fig-one", "A."))
    abstract = collapsed("report.conclude()", said("We train.", role="abstract"))
    numbers = collapsed("report.values(n=7)")
    numbers.metadata["tags"] = ["numbers"]
    one = v4.new_notebook(cells=[prose, figure, abstract, numbers])
    copies.for_readers([one])
    text, picture, line = one.cells
    assert line.source.startswith("# numbers for the texts")
    assert text.cell_type == "markdown" and text.source == "7 faces\n\nSee Figure 1." and text.id == prose.id
    assert picture.cell_type == "code" and picture.source == '# draws "one"' and len(picture.outputs) == 2
    nbformat.validate(one)


def test_keys_of_sources_in_tables_become_links():
    data = {"text/html": "<td>@tang2013</td><td>@nobody</td>", "text/plain": "  @tang2013  a@tang2013 \n"}
    one = notebook("Text.", shown(data))
    copies.for_readers([one])
    data = one.cells[-1].outputs[0]["data"]
    assert re.fullmatch(r'<td><a href="https://\S+">Tang 2013</a></td><td>@nobody</td>', data["text/html"])
    assert data["text/plain"] == "  Tang 2013  a@tang2013 \n"
