"""The chapters executed again, and what they show held against their executed copies."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from unittest import mock

import nbformat
import numpy as np
import pandas as pd

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.report import copies, pipeline
from ferlib.report.document import holds_prose

MEASURED = "tbl-latency"
"""The table of measured times, by its label; two reports differ in it, and in nothing else."""

_NUMBER = re.compile(r"(?<![\w.-])[-−+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
_MACHINE = re.compile(r"^- \*\*(?:Hardware|Versions|Commit):\*\* .*$", re.MULTILINE)
_TAG = re.compile(r"<[^>]+>")


def is_measured(cell) -> bool:
    """Say whether a notebook's cell shows the table of measured times."""
    return f'"{MEASURED.removeprefix("tbl-")}"' in cell.source


def chapters(dataset) -> pd.DataFrame:
    """Execute the chapters anew, from the record and in a scratch folder, and compare what they show.

    Pictures are not compared, nor measured times, nor what `ferlib.report.display.provenance` says of the
    machine. Chapters may rightly differ from copies that were made of another commit.

    Args:
        dataset: The :class:`ferlib.data.fer2013.Dataset` to read.

    Returns:
        One row a chapter: ``what``, ``figures`` (how many numbers it shows), ``difference`` (the largest
        between a number and that in the copy), ``of`` (where it is, and the first cell with other words) and
        ``same`` (bool). ``difference`` is missing where a chapter fails or has no copy.
    """
    sources, again, failed = pipeline.sources(), {}, {}
    with paths.scratch() as folder, _apart(folder, dataset):
        for number, path in enumerate(sources, 1):
            try:
                pipeline.execute(path, folder / path.name, f"[{number}/{len(sources)}]")
                again[path.name] = nbformat.read(folder / path.name, 4)
            except FerlibError as error:
                failed[path.name] = error
    copies.for_readers(list(again.values()))
    rows = []
    for path in sources:
        try:
            if path.name in failed:
                raise failed[path.name]
            copy = nbformat.read(paths.reports() / "notebooks" / path.name, 4)
            told = compare(again[path.name], copy)
        except (FerlibError, OSError, ValueError) as error:  # ValueError: it is damaged
            told = 0, np.nan, shorten(str(error), 150), False
        rows.append((f"chapter {path.stem}", *told))
    return pd.DataFrame(rows, columns=["what", "figures", "difference", "of", "same"])


@contextmanager
def _apart(folder: Path, dataset) -> Iterator[None]:
    """Let kernels write below a folder, find no runs but the record's, and no GPU, which would train anew.

    They compute as the chapters do, whatever network and backend the shell names.
    """
    settings = {f"FERLIB_{name}": str(folder / name.lower()) for name in ("REPORTS", "FIGS", "RUNS")}
    settings |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    settings["FERLIB_DATA"] = str(dataset.location or "demo")
    with mock.patch.dict(os.environ, settings):
        for chosen in ("FERLIB_WEIGHTS", "KERAS_BACKEND"):
            os.environ.pop(chosen, None)
        yield


@dataclass(frozen=True)
class _Shown:
    """What a cell shows; ``words`` has a zero byte in place of each number."""

    cell: int
    text: str = ""
    is_measured: bool = False

    @property
    def words(self) -> str:
        return _NUMBER.sub("\0", self.text)

    @property
    def numbers(self) -> list[re.Match]:
        return [] if self.is_measured else list(_NUMBER.finditer(self.text))


def compare(again, copy) -> tuple[int, float, str, bool]:
    """Compare what an executed notebook shows with what its copy does.

    Returns:
        How many numbers it shows, the largest difference of one among cells of the same words, where that is
        and which words differ first, and whether all is the same.
    """
    now, then = _shown(again), _shown(copy)
    figures, largest, where, words = 0, 0.0, "", ""
    for id in now | then:
        here = now.get(id) or _Shown(then[id].cell)
        there = then.get(id) or _Shown(here.cell)
        figures += len(here.numbers)
        if here.words != there.words:
            words = words or f"words of cell {here.cell}: {_first_difference(here.words, there.words)}"
            continue
        # Where another source makes a cell a measured one, it has no numbers to compare with.
        for one, other in zip(here.numbers, there.numbers, strict=False):
            if (apart := abs(_value(one) - _value(other))) > largest:
                told = here.text[max(0, one.start() - 30) : one.end()]
                largest, where = apart, f"cell {here.cell}: …{told} was {other[0]}"
    return figures, largest, "; ".join(filter(None, (words, where))), not (words or largest)


def _shown(notebook) -> dict[str, _Shown]:
    """Return what the code of an executed notebook shows that shows anything, by the ids of its cells."""
    told = {
        cell.id: _Shown(cell.get("execution_count") or place, _text(cell), is_measured(cell))
        for place, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" or holds_prose(cell)
    }
    return {id: one for id, one in told.items() if one.text}


def _text(cell) -> str:
    """Return what a cell shows to a reader in words and numbers, without what depends on the machine."""
    texts = [cell.source] if cell.cell_type == "markdown" else []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        if "text/html" in data:
            texts.append(_TAG.sub(" ", data["text/html"]))
        elif output.get("name") != "stderr":
            texts.append(data.get("text/markdown") or data.get("text/plain") or output.get("text", ""))
    return " ".join(_MACHINE.sub("", "\n".join(texts)).split())


def _value(number: re.Match) -> float:
    return float(number[0].replace(",", "").replace("−", "-"))


def _first_difference(one: str, other: str) -> str:
    begin = max(0, len(os.path.commonprefix((one, other))) - 15)
    now, then = (words[begin : begin + 40].replace("\0", "#") for words in (one, other))
    return f"…{now}…, was …{then}…"
