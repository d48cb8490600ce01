"""Just enough of a PDF reader for the tests: the text of each page of a file that typst wrote."""

import re
import zlib

_STRING = rb"\((?:\\.|[^\\)])*\)"
_SHOWN = re.compile(
    rb"/(f\d+) [\d.]+ Tf|(\[(?:" + _STRING + rb"|[^\]()])*\]\s*TJ|" + _STRING + rb"\s*Tj)", re.S
)


def page_texts(pdf: bytes) -> list[str]:
    """Return the text of each page, its words as they were set, headers and footers with it."""
    objects = {int(number): body for number, body in re.findall(rb"(\d+) 0 obj\s(.*?)\sendobj", pdf, re.S)}
    order = re.search(rb"/Type/Pages/Count \d+/Kids\[(.*?)\]", pdf, re.S)[1]
    pages = [objects[int(number)] for number in re.findall(rb"(\d+) 0 R", order)]
    return [_text(objects, page) for page in pages]


def _text(objects: dict[int, bytes], page: bytes) -> str:
    resources = objects[_reference(page, b"Resources")]
    fonts = {
        name: _letters(objects, int(number))
        for name, number in re.findall(rb"/(f\d+) (\d+) 0 R", resources, re.S)
    }
    content = _stream(objects[_reference(page, b"Contents")])
    lines, letters = [], {}
    for font, shown in _SHOWN.findall(content):
        if font:
            letters = fonts[font]
        else:
            codes = b"".join(_unescaped(part[1:-1]) for part in re.findall(_STRING, shown, re.S))
            lines.append("".join(letters.get(codes[i : i + 2], "?") for i in range(0, len(codes), 2)))
    return " ".join(lines)


def _reference(body: bytes, name: bytes) -> int:
    return int(re.search(rb"/" + name + rb" (\d+) 0 R", body)[1])


def _stream(body: bytes) -> bytes:
    return zlib.decompress(re.search(rb"stream\r?\n(.*)\r?\nendstream", body, re.S)[1])


def _letters(objects: dict[int, bytes], font: int) -> dict[bytes, str]:
    table = _stream(objects[_reference(objects[font], b"ToUnicode")])
    return {
        bytes.fromhex(code.decode()): bytes.fromhex(text.decode()).decode("utf-16-be")
        for code, text in re.findall(rb"<([0-9a-fA-F]{4})>\s*<([0-9a-fA-F]+)>", table)
    }


def _unescaped(text: bytes) -> bytes:
    known = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
    return re.sub(
        rb"\\([0-7]{1,3}|.)",
        lambda match: bytes([int(match[1], 8)]) if match[1].isdigit() else known.get(match[1], match[1]),
        text,
        flags=re.S,
    )
