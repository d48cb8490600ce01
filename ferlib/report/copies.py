"""Executed notebooks as people read them one by one: numbered as in the report, and with their sources."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pypandoc
from nbformat import NotebookNode

_REFERENCE = re.compile(r"@((?:fig|tbl)-[\w-]+)")
_CITATION = re.compile(r"\[(@[\w-]+(?:; @[\w-]+)*)\]")
_KINDS = {"fig": "Figure", "tbl": "Table"}
_OF_THE_RUN = ("papermill", "execution", "ferlib")  # metadata: when it was made, and how long it took


def for_readers(notebooks: Sequence[NotebookNode]) -> None:
    """Make executed notebooks what people read, in place.

    Figures and tables get the numbers that they have in the report, references and citations become text
    and links. What changes from run to run goes: times, log messages, papermill's cell of parameters.

    Args:
        notebooks: All chapters in their order, as :func:`ferlib.report.pipeline.execute` left them.
    """
    numbers = _numbers(notebooks)
    for notebook in notebooks:
        kept = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
        notebook.cells = kept
        for cell in kept:
            if cell.cell_type == "markdown":
                cell.source = _readable(cell.source, numbers)
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
                _tell(cell.outputs, numbers)
        for told in (notebook, *kept, *(output for output, _ in _shown(kept))):
            for measured in _OF_THE_RUN:
                told.get("metadata", {}).pop(measured, None)


def _shown(cells: Sequence[NotebookNode]) -> Iterator[tuple[NotebookNode, dict]]:
    """Yield what code cells show, with what the report knows of it."""
    for cell in cells:
        for output in cell.get("outputs", ()):
            yield output, output.get("metadata", {}).get("ferlib", {})


def _numbers(notebooks: Sequence[NotebookNode]) -> dict[str, str]:
    """Return the names of figures and tables by label, such as "Figure 3", counted through all chapters."""
    labels = [facts["label"] for one in notebooks for _, facts in _shown(one.cells) if "label" in facts]
    return {
        label: f"{name} {number}"
        for kind, name in _KINDS.items()
        for number, label in enumerate((label for label in labels if label.startswith(kind)), 1)
    }


def _tell(outputs: Sequence[NotebookNode], numbers: dict[str, str]) -> None:
    """Number the captions of a cell and make its sentences readable."""
    name = ""
    for output in outputs:
        facts = output.get("metadata", {}).get("ferlib", {})
        name, data = numbers.get(facts.get("label"), name), output.get("data", {})
        for kind in {"text/markdown", "text/plain"} & set(data) if "text/markdown" in data else ():
            if facts.get("role") == "caption":
                data[kind] = re.sub(r"^\*\*\w+\.\*\*", f"**{name}.**", data[kind])
            data[kind] = _readable(data[kind], numbers)


def _readable(text: str, numbers: dict[str, str]) -> str:
    def linked(found: re.Match) -> str:
        return "(" + "; ".join(_sources()[key.strip(" @")] for key in found[1].split(";")) + ")"

    return _CITATION.sub(linked, _REFERENCE.sub(lambda found: numbers.get(found[1], found[0]), text))


@cache
def _sources() -> dict[str, str]:
    """Return links to the sources by their keys, such as "[Holm 1979](https://doi.org/…)"."""
    file = Path(__file__).parent / "templates" / "references.bib"
    links = {}
    for source in json.loads(pypandoc.convert_file(str(file), "csljson", format="bibtex")):
        names = [author.get("family") or author["literal"] for author in source["author"]]
        authors = " and ".join(names) if len(names) <= 2 else f"{names[0]} et al."
        address = f"https://doi.org/{source['DOI']}" if "DOI" in source else source["URL"]
        links[source["id"]] = f"[{authors} {source['issued']['date-parts'][0][0]}]({address})"
    return links
