"""Executed notebooks as chapters of Markdown, with figures apart and facts about how they were made."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from ferlib.labels import FerlibError

CARD = ("Question", "Answer", "Needs", "Runtime")
"""What the first cell of a notebook states under its title; the last two are for those who run it."""

LOG_LINES = 14
"""Lines of a printed log that are kept: half from its beginning, half from its end."""

_FIELD = re.compile(rf"^[ \t]*(?:[-*][ \t]+)?\*\*({'|'.join(CARD)})[.:]?\*\*[.:]?[ \t]*", re.M)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")
_ENVIRONMENT = re.compile(r"^\\begin\{(align|equation|gather)(\*?)\}(.*?)\\end\{\1\2\}", re.S | re.M)
_SIZE = re.compile(r'<svg\b[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"')
_SETUP_TAGS = {"parameters", "injected-parameters"}


@dataclass
class Chapter:
    """One executed notebook.

    Attributes:
        name: File name without suffix, such as ``03_deep_cnn``.
        title: Its heading, without a number.
        body: Markdown with the divs that ``report.lua`` knows.
        pictures: File name to SVG.
        abstract: Its sentences on the title page, Markdown: those that its runs carry, often none.
        facts: What :func:`ferlib.report.display.provenance` told, empty if it was not called.
        parameters: Code of the cell that papermill injected, often empty.
        ended: Time when it ended, ISO format; empty if papermill did not say.
        warnings: First lines of warnings that cells wrote, with their cells.
    """

    name: str
    title: str
    body: str = ""
    pictures: dict[str, str] = field(default_factory=dict)
    abstract: str = ""
    facts: dict = field(default_factory=dict)
    parameters: str = ""
    ended: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def is_introduction(self) -> bool:
        """Whether it stands before the first numbered chapter."""
        return self.name.startswith("00_")


def unfinished_cells(notebook: nbformat.NotebookNode) -> list[int]:
    """Return the positions (from 0) of code cells that failed or never ran to their end.

    Papermill calls a notebook completed when its kernel exits cleanly, even if a cell called
    ``sys.exit(0)``, so each cell's own status is looked at.

    Args:
        notebook: An executed notebook, format version 4.
    """
    return [
        position
        for position, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
        and cell.source.strip()
        and (
            cell.metadata.get("papermill", {}).get("status", "completed") != "completed"
            or cell.execution_count is None
            or any(output.output_type == "error" for output in cell.outputs)
        )
    ]


def read_chapter(path: Path) -> Chapter:
    """Read one executed notebook.

    Args:
        path: An executed notebook whose first cell begins with a first-level heading.

    Returns:
        The chapter.

    Raises:
        FerlibError: If a cell failed or did not run, the title is missing, or a figure or table has no
            caption because it was not shown through :mod:`ferlib.report.display`.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise FerlibError(f"{path} cannot be read as a notebook: {error}") from error
    if unfinished := unfinished_cells(notebook):
        raise FerlibError(f"{_place(path, notebook, unfinished[0])} {_reason(notebook.cells[unfinished[0]])}")
    opening = re.match(r"# +(?:\d+[.:]? +)?(.+)\n?", notebook.cells[0].source if notebook.cells else "")
    if not opening:
        raise FerlibError(f"{path.name}: the first cell must begin with the chapter's title, '# Title'")
    ended = notebook.metadata.get("papermill", {}).get("end_time") or ""
    chapter = Chapter(path.stem, opening[1].strip(), ended=ended)
    tags = [set(cell.metadata.get("tags", [])) for cell in notebook.cells]
    setup_end = max((position for position, some in enumerate(tags) if some & _SETUP_TAGS), default=0)
    blocks, problems = [], []
    for position, cell in enumerate(notebook.cells[1:], start=1):
        if cell.cell_type == "markdown":
            blocks.append(_markdown(cell.source))
        elif cell.cell_type == "code" and cell.source.strip():
            _read_code(chapter, cell, blocks, hidden=position <= setup_end)
            problems += [f"{_place(path, notebook, position)} {problem}" for problem in _uncaptioned(cell)]
    if problems:
        raise FerlibError("; ".join(problems))
    answers = [block for block in blocks if block.startswith("**Answer**")]
    card = _card(_with_answer(notebook.cells[0].source[opening.end() :], answers))
    label = "sec-" + re.sub(r"^\d+_", "", chapter.name).replace("_", "-")  # 03_deep_cnn is @sec-deep-cnn
    heading = f"# {chapter.title} {{#{label}{' .unnumbered' if chapter.is_introduction else ''}}}"
    chapter.body = "\n\n".join([heading, *card, *(block for block in blocks if block not in answers)])
    return chapter


def literal(text: str) -> str:
    """Return Markdown that shows a text as it is: names may hold what else would be an instruction."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def fence(text: str, kind: str) -> str:
    """Return text as a fenced block that no backquotes in it can end.

    Args:
        text: Code or output.
        kind: Class of the block, such as ``python``.
    """
    marks = max("```", _more_backquotes(text))
    return f"{marks} {kind}\n{text}\n{marks}"


def span(text: str) -> str:
    """Return a line of code as Markdown that no backquotes in it can end."""
    marks = _more_backquotes(text)
    return f"{marks} {text} {marks}"


def _more_backquotes(text: str) -> str:
    return max(re.findall("`+", text), default="") + "`"


def as_terminal(text: str) -> str:
    """Return what a terminal would show in the end: no colours, no overwritten lines.

    Args:
        text: Printed text with ANSI sequences and carriage returns.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    text = _OVERWRITTEN.sub("", text).replace("\r", "")
    while "\b" in text:
        text = re.sub(r"[^\b\n]?\x08", "", text)
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def clipped(text: str) -> str:
    """Return a log cut to :data:`LOG_LINES`, saying how much was left out.

    Args:
        text: Log of any length.
    """
    lines, half = text.split("\n"), LOG_LINES // 2
    if len(lines) <= LOG_LINES + 1:
        return text
    return "\n".join([*lines[:half], f"… ({len(lines) - 2 * half} lines left out) …", *lines[-half:]])


def _place(path: Path, notebook, position: int) -> str:
    first_line = notebook.cells[position].source.strip().split("\n")[0]
    return f"{path.name}, cell {position + 1} of {len(notebook.cells)} ({first_line}):"


def _reason(cell) -> str:
    for output in cell.outputs:
        if output.output_type == "error":
            return f"failed with {output.ename}: {as_terminal(output.evalue)}; mend it and execute again"
    return "did not run to its end; execute again"


def _card(text: str) -> list[str]:
    """Set Question and Answer as definitions in a box; return the rest as it is."""
    before, *pairs = _FIELD.split(text)
    if not pairs:
        return [_markdown(text)] if text.strip() else []
    pairs[-1], _, after = pairs[-1].partition("\n\n")
    definitions = "\n\n".join(
        f"{term}\n:   " + _markdown(meaning.strip()).replace("\n", "\n    ")
        for term, meaning in zip(pairs[::2], pairs[1::2], strict=True)
        if term in CARD[:2]
    )
    card = f"::: card\n{definitions}\n:::"
    return [block for block in (_markdown(before), card, _markdown(after)) if block.strip()]


def _with_answer(card: str, answers: list[str]) -> str:
    """Put the chapter's answer, which is said once its runs are loaded, under its question."""
    for answer in answers:
        flat = " ".join(answer.split())
        before, needs, after = card.partition("**Needs**")
        card = f"{before.rstrip()}\n\n{flat}\n\n{needs}{after}"
    return card


def _markdown(source: str) -> str:
    """Wrap bare equation environments, which Jupyter renders and Markdown does not know, in dollars."""

    def wrapped(match: re.Match) -> str:
        inner = {"align": "aligned", "gather": "gathered"}.get(match[1])
        body = f"\\begin{{{inner}}}{match[3]}\\end{{{inner}}}" if inner else match[3].strip()
        return f"$${body}$$"

    return _ENVIRONMENT.sub(wrapped, source).strip("\n")


def holds_prose(cell) -> bool:
    """Say whether a cell's code is collapsed because it holds prose, and its output alone is to be read."""
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def _read_code(chapter: Chapter, cell, blocks: list[str], *, hidden: bool) -> None:
    code = fence(cell.source.strip("\n"), "python")
    if "injected-parameters" in cell.metadata.get("tags", []):
        chapter.parameters = cell.source.removeprefix("# Parameters\n").strip()
    if not (hidden or holds_prose(cell)):
        blocks.append(f"::: code\n{code}\n:::")
    chapter.warnings += [f"{chapter.name}, cell {cell.execution_count}: {line}" for line in _warnings(cell)]
    if printed := as_terminal("".join(_streams(cell, "stdout"))):
        blocks.append(f"::: output\n{fence(clipped(printed), 'text')}\n:::")
    for output in cell.outputs:
        if output.output_type in ("display_data", "execute_result"):
            blocks += _read_output(chapter, output)


def _streams(cell, name: str) -> Iterator[str]:
    return (out.text for out in cell.outputs if out.output_type == "stream" and out.name == name)


def _warnings(cell) -> list[str]:
    lines = as_terminal("".join(_streams(cell, "stderr"))).split("\n")
    return [found[0] for line in lines if (found := re.search(r"\w*Warning: .*", line))]


def _read_output(chapter: Chapter, output) -> list[str]:
    facts, data = output.metadata.get("ferlib", {}), output.data
    match facts.get("role"):
        case "figure":
            return [_figure(chapter, facts, data["image/svg+xml"])]
        case "table":
            table = fence(data["text/html"], "{=html}")
            return [f"::: {{#{facts['label']} .table}}\n{facts['caption']}\n\n{table}\n:::"]
        case "prose":
            return [_markdown(data["text/markdown"])]
        case "abstract":
            if facts["holds"]:
                chapter.abstract = f"{chapter.abstract} {data['text/markdown']}".strip()
        case "provenance":
            chapter.facts = facts
        case "status":
            return []
        case None if "text/markdown" in data:
            return [_markdown(data["text/markdown"])]
        case None if "text/plain" in data:
            return [f"::: output\n{fence(clipped(as_terminal(data['text/plain'])), 'text')}\n:::"]
    return []


def _figure(chapter: Chapter, facts: dict, picture: str) -> str:
    chapter.pictures[f"{facts['label']}.svg"] = picture
    inches = "x".join(f"{float(points) / 72:.2f}" for points in _SIZE.search(picture).groups())
    alt = " ".join(facts["alt"].split()).replace("\\", "\\\\").replace('"', '\\"')
    attributes = f'width="{facts["width"]}" inches="{inches}" alt="{alt}"'
    return f"::: {{#{facts['label']} .figure {attributes}}}\n{facts['caption']}\n:::"


def _uncaptioned(cell) -> list[str]:
    """Return what is wrong with pictures and tables that were shown without the report's functions."""
    problems = []
    for output in cell.outputs:
        if output.output_type not in ("display_data", "execute_result") or output.metadata.get("ferlib"):
            continue
        if {"image/png", "image/svg+xml", "image/jpeg"} & set(output.data):
            problems.append("a figure without caption; show it through report.figure")
        elif "<table" in output.data.get("text/html", ""):
            problems.append("a table without caption; show it through report.table")
    return problems
