"""The fonts of the report, shipped by packages: whole for the PDF, of the HTML the glyphs that it shows."""

import base64
import io
import shutil
import unicodedata
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from fontTools import subset


def _installed(package: str) -> Path:
    """Return the folder of a package without importing it."""
    return Path(find_spec(package).origin).parent


_SANS = _installed("font_source_sans_pro") / "files"
_MATH = _installed("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf"
_FACES = {
    ("Source Sans Pro", 400, "normal"): _SANS / "SourceSansPro-Regular.ttf",
    ("Source Sans Pro", 400, "italic"): _SANS / "SourceSansPro-It.ttf",
    ("Source Sans Pro", 600, "normal"): _SANS / "SourceSansPro-Semibold.ttf",
    ("STIX Two Math", 400, "normal"): _MATH,
}
_PRINT_ONLY = (_SANS / "SourceSansPro-Bold.ttf", _SANS / "SourceSansPro-SemiboldIt.ttf")


def copy(folder: Path) -> None:
    """Copy the font files that typst needs, and no other cut of the same families.

    Args:
        folder: Existing folder.
    """
    for path in (*_FACES.values(), *_PRINT_ONLY):
        shutil.copyfile(path, folder / path.name)


def faces(text: Iterable[str], formulas: Iterable[str]) -> str:
    """Return ``@font-face`` rules with embedded fonts.

    Args:
        text: Characters of the text; they are looked up in Source Sans Pro.
        formulas: Characters of the formulas; they are looked up in STIX Two Math.
    """
    characters = {"Source Sans Pro": set(text), "STIX Two Math": _with_italics(set(formulas))}
    return "\n".join(
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-style: {style}; '
        f'src: url(data:font/woff2;base64,{_subset(path, characters[family])}) format("woff2"); }}'
        for (family, weight, style), path in _FACES.items()
        if characters[family]
    )


def _with_italics(characters: set[str]) -> set[str]:
    """Add the mathematical italics that browsers show for single letters."""
    italics = {
        unicodedata.normalize("NFKC", chr(code)): chr(code)
        for code in (*range(0x1D434, 0x1D467), *range(0x1D6E2, 0x1D71C))
    }
    italics |= {"h": "\u210e", "∂": "\U0001d715"}
    if characters:
        characters = characters | {"√"}  # drawn by <msqrt>, written by nobody
    return characters | {italics[character] for character in characters if character in italics}


def _subset(path: Path, characters: set[str]) -> str:
    """Return a font with the glyphs of some characters only, as base64 of a WOFF2 file."""
    options = subset.Options(flavor="woff2", layout_features=["*"], notdef_outline=True)
    font = subset.load_font(path, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[ord(character) for character in characters])
    subsetter.subset(font)
    written = io.BytesIO()
    subset.save_font(font, written, options)
    return base64.b64encode(written.getvalue()).decode()
