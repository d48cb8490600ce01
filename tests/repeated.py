"""What two reports on the same processor may differ in: the times that they measure, and nothing else."""

import re
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup

from ferlib.report.repeated import MEASURED, is_measured


def unmeasured(html: str) -> str:
    """Return a report without the numbers of `MEASURED`."""
    page = BeautifulSoup(html, "html.parser")
    for label in MEASURED:
        for text in page.find_all(string=lambda text, label=label: text.find_parent(id=label)):
            text.replace_with(re.sub(r"\d[\d,.]*", "0", text))
    return str(page)


def differences(one: Path, other: Path) -> list[str]:
    """Return in which cells the notebooks of two folders differ, where they show no measured times."""
    assert [path.name for path in sorted(one.iterdir())] == [path.name for path in sorted(other.iterdir())]
    found = []
    for path in sorted(one.iterdir()):
        pair = (nbformat.read(folder / path.name, 4).cells for folder in (one, other))
        for number, (first, second) in enumerate(zip(*pair, strict=True)):
            if first != second and not (is_measured(first) and first.source == second.source):
                found.append(f"{path.name}, cell {number}: {first.source[:60]!r}")
    return found
