"""Executed notebooks as chapters of Markdown, with figures apart and facts about how they were made."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from ferlib.labels import FerlibError

_FIELD = re.compile(r"\*\*(Question|Answer|Needs|Runtime)\*\*\s+(.*)", re.S)
"""What the first cell of a notebook states under its title; the last two are for those who run it."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")
_SIZE = re.compile(r'<svg\b[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"')
_SETUP_TAGS = {"parameters", "injected-parameters"}


@dataclass
class Chapter:
    """One executed notebook."""

    name: str  # of its file without suffix, such as 03_deep_cnn
    body: str = ""  # Markdown with the divs that report.lua knows
    pictures: dict[str, str] = field(default_factory=dict)  # file name to SVG
    abstract: str = ""  # its sentences on the title page: those that its runs carry, often none
    facts: dict = field(default_factory=dict)  # what display.provenance told, empty if it was not called
    parameters: str = ""  # code of the cell that papermill injected, often empty
    ended: str = ""  # time in ISO format, empty if papermill did not say
    warnings: list[str] = field(default_factory=list)  # first lines of those that cells wrote

    @property
    def is_introduction(self) -> bool:
        """Whether it stands before the first numbered chapter."""
        return self.name.startswith("00_")


def read_chapter(path: Path) -> Chapter:
    """Read one executed notebook.

    Raises:
        FerlibError: The title is missing, or a figure or table has no caption because it was not shown
            through :mod:`ferlib.report.display`.
    """
    notebook = nbformat.read(path, as_version=4)
    opening = re.match(r"# +(.+)", notebook.cells[0].source if notebook.cells else "")
    if not opening:
        raise FerlibError(f"{path.name}: the first cell must begin with the chapter's title, '# Title'")
    ended = notebook.metadata.get("papermill", {}).get("end_time") or ""
    chapter = Chapter(path.stem, ended=ended)
    tags = [set(cell.metadata.get("tags", [])) for cell in notebook.cells]
    setup_end = max((position for position, some in enumerate(tags) if some & _SETUP_TAGS), default=0)
    blocks = []
    for position, cell in enumerate(notebook.cells[1:], start=1):
        if cell.cell_type == "markdown":
            blocks.append(cell.source.strip("\n"))
        elif cell.cell_type == "code" and cell.source.strip():
            _read_code(chapter, cell, blocks, hidden=position <= setup_end)
    answers = [block for block in blocks if block.startswith("**Answer**")]
    card = _card(notebook.cells[0].source[opening.end() :], answers)
    label = "sec-" + re.sub(r"^\d+_", "", chapter.name).replace("_", "-")  # 03_deep_cnn is @sec-deep-cnn
    heading = f"# {opening[1].strip()} {{#{label}{' .unnumbered' if chapter.is_introduction else ''}}}"
    chapter.body = "\n\n".join([heading, *card, *(block for block in blocks if block not in answers)])
    return chapter


def literal(text: str) -> str:
    """Return Markdown that shows a text as it is: names may hold what else would be an instruction."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def fence(text: str, kind: str) -> str:
    """Return text as a fenced block of a kind, such as ``python``, that no backquotes in it can end."""
    marks = max("```", _more_backquotes(text))
    return f"{marks} {kind}\n{text}\n{marks}"


def span(text: str) -> str:
    """Return a line of code as Markdown that no backquotes in it can end."""
    marks = _more_backquotes(text)
    return f"{marks} {text} {marks}"


def _more_backquotes(text: str) -> str:
    return max(re.findall("`+", text), default="") + "`"


def as_terminal(text: str) -> str:
    """Return what a terminal would show in the end: no colours, no overwritten lines."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    text = _OVERWRITTEN.sub("", text).replace("\r", "")
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def _card(text: str, answers: list[str]) -> list[str]:
    """Set Question and Answer, which is said once runs are loaded, in a box; return the rest as it is."""
    paragraphs = [*text.strip().split("\n\n"), *answers]
    fields = [field for paragraph in paragraphs if (field := _FIELD.match(paragraph))]
    definitions = [
        f"{field[1]}\n:   {' '.join(field[2].split())}"
        for field in fields
        if field[1] in ("Question", "Answer")
    ]
    card = ["::: card\n" + "\n\n".join(definitions) + "\n:::"] if definitions else []
    return card + [paragraph for paragraph in paragraphs if not _FIELD.match(paragraph)]


def holds_prose(cell) -> bool:
    """Say whether a cell's code is collapsed because it holds prose, and its output alone is to be read."""
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def _read_code(chapter: Chapter, cell, blocks: list[str], *, hidden: bool) -> None:
    code = fence(cell.source.strip("\n"), "python")
    if "injected-parameters" in cell.metadata.get("tags", []):
        chapter.parameters = cell.source.removeprefix("# Parameters\n").strip()
    if not (hidden or holds_prose(cell)):
        blocks.append(f"::: code\n{code}\n:::")
    place = f"{chapter.name}, cell {cell.execution_count}"
    chapter.warnings += [f"{place}: {line}" for line in _warnings(cell)]
    if printed := as_terminal("".join(_streams(cell, "stdout"))):
        blocks.append(f"::: output\n{fence(printed, 'text')}\n:::")
    for output in cell.outputs:
        if output.output_type in ("display_data", "execute_result"):
            blocks += _read_output(chapter, output, place)


def _streams(cell, name: str) -> Iterator[str]:
    return (out.text for out in cell.outputs if out.output_type == "stream" and out.name == name)


def _warnings(cell) -> list[str]:
    lines = as_terminal("".join(_streams(cell, "stderr"))).split("\n")
    return [found[0] for line in lines if (found := re.search(r"\w*Warning: .*", line))]


def _read_output(chapter: Chapter, output, place: str) -> list[str]:
    facts, data = output.metadata.get("ferlib", {}), output.data
    match facts.get("role"):
        case "figure":
            return [_figure(chapter, facts, data["image/svg+xml"])]
        case "table":
            table = fence(data["text/html"], "{=html}")
            return [f"::: {{#{facts['label']} .table}}\n{facts['caption']}\n\n{table}\n:::"]
        case "prose":
            return [data["text/markdown"]]
        case "abstract":
            if facts["holds"]:
                chapter.abstract = f"{chapter.abstract} {data['text/markdown']}".strip()
        case "provenance":
            chapter.facts = facts
        case None if {"image/png", "image/svg+xml", "image/jpeg"} & set(data):
            raise FerlibError(f"{place}: a figure without caption; show it through report.figure")
        case None if "<table" in data.get("text/html", ""):
            raise FerlibError(f"{place}: a table without caption; show it through report.table")
        case None if "text/markdown" in data:
            return [data["text/markdown"]]
        case None if "text/plain" in data:
            return [f"::: output\n{fence(as_terminal(data['text/plain']), 'text')}\n:::"]
    return []


def _figure(chapter: Chapter, facts: dict, picture: str) -> str:
    chapter.pictures[f"{facts['label']}.svg"] = picture
    inches = "x".join(f"{float(points) / 72:.2f}" for points in _SIZE.search(picture).groups())
    alt = " ".join(facts["alt"].split()).replace("\\", "\\\\").replace('"', '\\"')
    attributes = f'width="{facts["width"]}" inches="{inches}" alt="{alt}"'
    return f"::: {{#{facts['label']} .figure {attributes}}}\n{facts['caption']}\n:::"
