"""Executed notebooks as people read them one by one: numbered as in the report, and with their sources."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pypandoc
from nbformat import NotebookNode, v4

from ferlib.labels import FerlibError
from ferlib.report.document import holds_prose

_REFERENCE = re.compile(r"@((?:fig|tbl)-[\w-]+)")
_CITATION = re.compile(r"\[(@[\w-]+(?:; @[\w-]+)*)\]")
_KEY = re.compile(r"(?<=[>\s])@([\w-]+)(?=[<\s])")  # of a source, in a table
_KINDS = {"fig": "Figure", "tbl": "Table"}
_NUMBERS = "# numbers for the texts: collapsed here, see the notebook's source"
_OF_THE_RUN = ("papermill", "execution", "ferlib")  # metadata: when it was made, and how long it took


def for_readers(notebooks: Sequence[NotebookNode]) -> None:
    """Make executed notebooks what people read, in place.

    Figures and tables get the numbers that they have in the report, references and citations become text
    and links. Sentences that code filled stand as text; of the calls that show figures and tables only their
    names are left, since captions stand below, of cells tagged ``numbers`` one line. What changes from run to
    run goes: times, log messages, papermill's cell of parameters. All chapters are given, in their order.
    """
    numbers = _numbers(notebooks)
    for notebook in notebooks:
        kept = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
        notebook.cells = kept
        for cell in kept:
            if cell.cell_type == "markdown":
                cell.source = _readable(cell.source, numbers)
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if not _is_elsewhere(output)]
                _tell(cell.outputs, numbers)
                if "numbers" in cell.metadata.get("tags", ()):
                    cell.source = _NUMBERS
        for told in (notebook, *kept, *(output for output, _ in _shown(kept))):
            for measured in _OF_THE_RUN:
                told.get("metadata", {}).pop(measured, None)
        calls = [cell for cell in kept if not holds_prose(cell) or cell.outputs or cell.source == _NUMBERS]
        notebook.cells = [
            _without_calls(cell) if holds_prose(cell) and cell.outputs else cell for cell in calls
        ]


def _is_elsewhere(output: NotebookNode) -> bool:
    """Say whether an output is a log message, or of the abstract, which stands at the report's beginning."""
    role = output.get("metadata", {}).get("ferlib", {}).get("role")
    return output.get("name") == "stderr" or role == "abstract"


def _without_calls(cell: NotebookNode) -> NotebookNode:
    """Return a cell whose code is collapsed as what it shows: Markdown, or figures under their names."""
    shown = [output.get("data", {}) for output in cell.outputs]
    if all(set(data) <= {"text/markdown", "text/plain"} for data in shown):
        text = "\n\n".join(data["text/markdown"] for data in shown if "text/markdown" in data)
        return v4.new_markdown_cell(text, id=cell.id, metadata=cell.metadata)
    names = re.findall(r'^    "(\w+)",$', cell.source, re.MULTILINE)
    cell.source = "# draws " + ", ".join(f'"{name}"' for name in names)
    return cell


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
    """Number the captions of a cell and make its sentences and tables readable."""
    name = ""
    for output in outputs:
        facts, data = output.get("metadata", {}).get("ferlib", {}), output.get("data", {})
        name = numbers.get(facts.get("label"), name)
        if "text/html" in data:
            data["text/html"] = _KEY.sub(lambda found: _source(found, html=True), data["text/html"])
            data["text/plain"] = _KEY.sub(_source, data["text/plain"])
        for kind in ("text/markdown", "text/plain") if "text/markdown" in data else ():
            text = data[kind]
            if facts.get("role") == "caption":
                text = re.sub(r"^\*\*\w+\.\*\*", f"**{name}.**", text)
            data[kind] = _readable(text, numbers)


def _readable(text: str, numbers: dict[str, str]) -> str:
    text = _REFERENCE.sub(lambda found: numbers.get(found[1], found[0]), text)
    return _CITATION.sub(
        lambda found: "(" + "; ".join(_link(key.strip(" @")) for key in found[1].split(";")) + ")", text
    )


def _link(key: str) -> str:
    if key not in _sources():
        raise FerlibError(f"a chapter cites {key!r}, which is not in references.bib")
    name, address = _sources()[key]
    return f"[{name}]({address})"


def _source(found: re.Match, *, html: bool = False) -> str:
    """Write what a key in a table stands for; what is no key stays."""
    name, address = _sources().get(found[1], (found[0], ""))
    return f'<a href="{address}">{name}</a>' if html and address else name


@cache
def _sources() -> dict[str, tuple[str, str]]:
    """Return names and addresses of the sources by their keys, such as "Holm 1979" and "https://doi.org/…"."""
    file = Path(__file__).parent / "templates" / "references.bib"
    found = json.loads(pypandoc.convert_file(str(file), "csljson", format="bibtex"))
    return {one["id"]: (_name(one), _address(one)) for one in found}


def _name(source: dict) -> str:
    names = [author.get("family") or author["literal"] for author in source["author"]]
    authors = " and ".join(names) if len(names) <= 2 else f"{names[0]} et al."
    return f"{authors} {source['issued']['date-parts'][0][0]}"


def _address(source: dict) -> str:
    return f"https://doi.org/{source['DOI']}" if "DOI" in source else source["URL"]
