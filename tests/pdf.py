"""What the tests ask of a PDF: the text of its pages, and where on them it stands."""

import io
import re
import subprocess
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from pypdf import PdfReader

HEAD, FOOT = 780, 55
"""Points above the foot of the page between which text stands that is neither header nor footer."""

BOTTOM = 62
"""Points above the foot of the page at which the text's own area ends."""


def reader(pdf: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(pdf))


def page_texts(pdf: bytes) -> list[str]:
    """Return the text of each page, headers and footers with it, its white space made single blanks."""
    return [text for text, _ in _pages(pdf)]


@cache
def _pages(pdf: bytes) -> list[tuple[str, list[float]]]:
    """Return of each page the text, and how high its pieces between header and footer stand.

    Reading a page takes a quarter of a second.
    """
    return [_read(page) for page in reader(pdf).pages]


def _read(page):
    found = []

    def visit(text, matrix, line, _font, _size):
        height = matrix[3] * line[5] + matrix[5]
        if text.strip() and FOOT < height < HEAD:
            found.append(height)

    text = page.extract_text(visitor_text=visit)
    return re.sub(r"\s+", " ", text).strip(), found


def outside(file: Path, margin: float) -> list[str]:
    """Return words that come nearer to an edge of their page than so many points; asks poppler."""
    command = ["pdftotext", "-bbox", str(file), "-"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = []
    for page in ElementTree.fromstring(told).findall(".//{*}page"):
        width, height = (float(page.get(side)) for side in ("width", "height"))
        for word in page.findall("{*}word"):
            left, top, right, bottom = (float(word.get(side)) for side in ("xMin", "yMin", "xMax", "yMax"))
            if min(left, top, width - right, height - bottom) < margin:
                found.append(word.text)
    return found


def empty_shares(pdf: bytes) -> list[float]:
    """Return of each page the share between its lowest line and its foot; a figure has its caption below."""
    return [(min(heights) - BOTTOM) / (HEAD - BOTTOM) for _, heights in _pages(pdf)]


def fonts(pdf: bytes) -> list:
    """Return the descriptors of all fonts that the pages use."""
    used = {}
    for page in reader(pdf).pages:
        for font in page["/Resources"].get("/Font", {}).values():
            for part in font.get_object().get("/DescendantFonts", [font]):
                used[font.get_object()["/BaseFont"]] = part.get_object()["/FontDescriptor"].get_object()
    return list(used.values())
