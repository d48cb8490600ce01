"""What two reports on the same processor may differ in: the times that they measure, and nothing else."""

import re
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from pdf import page_texts

from ferlib.report.repeated import MEASURED, is_measured


def unmeasured(html: str) -> str:
    """Return a report without the numbers of the table of measured times."""
    page = BeautifulSoup(html, "html.parser")
    for text in page.find_all(string=lambda text: text.find_parent(id=MEASURED)):
        text.replace_with(re.sub(r"\d[\d,.]*", "0", text))
    return str(page)


def unmeasured_pages(pdf: bytes) -> list[str]:
    """Return the text of a report's pages, the one with the table of measured times without numbers."""
    pages = page_texts(pdf)
    return [re.sub(r"\d[\d,.]*", "0", page) if "Milliseconds a frame" in page else page for page in pages]


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
