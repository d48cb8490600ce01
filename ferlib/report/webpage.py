"""The last touch to the HTML report: fonts and pictures in it, also for dark screens, nothing from outside.

Its Content-Security-Policy names the one style sheet and the one script of the page by their digests, and
lets in pictures and fonts that the page itself carries. A ``style`` attribute has no digest, so each becomes
a rule of the style sheet. The fonts are shipped by packages: whole for the PDF, of the HTML the glyphs that
it shows.
"""

import base64
import hashlib
import io
import re
import shutil
import string
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bs4 import BeautifulSoup
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
_KEYBOARD = frozenset(string.ascii_letters + string.digits + string.punctuation + " ")
"""What any page may show: with all of it in the fonts, pages that differ in little share them."""
_PRINT_ONLY = (_SANS / "SourceSansPro-Bold.ttf", _SANS / "SourceSansPro-SemiboldIt.ttf")


def copy_fonts(folder: Path) -> None:
    """Copy the font files that typst needs, and no other cut of the same families."""
    for path in (*_FACES.values(), *_PRINT_ONLY):
        shutil.copyfile(path, folder / path.name)


def font_faces(text: Iterable[str], formulas: Iterable[str]) -> str:
    """Return ``@font-face`` rules that embed Source Sans Pro for text and STIX Two Math for formulas."""
    characters = {
        "Source Sans Pro": frozenset(text) | _KEYBOARD,
        "STIX Two Math": frozenset(_with_italics(set(formulas))),
    }
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


@cache
def _subset(path: Path, characters: frozenset[str]) -> str:
    """Return a font with the glyphs of some characters only, as base64 of a WOFF2 file."""
    options = subset.Options(flavor="woff2", layout_features=["*"], notdef_outline=True)
    font = subset.load_font(path, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[ord(character) for character in characters])
    subsetter.subset(font)
    written = io.BytesIO()
    subset.save_font(font, written, options)
    return base64.b64encode(written.getvalue()).decode()


STYLE = Path(__file__).parent / "templates" / "report.css"

DARK_BACK, DARK_TEXT = "#15181c", "#dfe3e8"
"""What white and black become on a dark screen: the page's own colours, as in the style sheet."""

_PAINT = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")


def finished(html: str, folder: Path) -> str:
    """Return pandoc's page, whose pictures lie in a folder, as one that stands on its own."""
    for mark, plain in {"\u0302": "^", "\u0303": "~"}.items():  # which browsers stretch into arcs
        unstretched = f'<mo accent="true" stretchy="false">{plain}</mo>'
        html = html.replace(f'<mo accent="true">{mark}</mo>', unstretched)
    soup = BeautifulSoup(html, "html.parser")
    rules: dict[str, str] = {}
    for tag in soup.find_all(style=True):
        name = rules.setdefault(tag["style"], re.sub(r"\W+", "-", tag["style"]).strip("-"))
        tag["class"] = [*tag.get("class", ()), name]
        del tag["style"]
    for wide in soup.select("pre, math[display=block]"):
        wide["tabindex"] = "0"  # what scrolls sideways on a phone must do so from the keyboard, too
    for image in soup.find_all("img"):
        picture = for_dark_screens((folder / image["src"]).read_text(encoding="utf-8"))
        image["src"] = f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"
    formulas = "".join(part.get_text() for part in soup.find_all("math"))
    style = [font_faces(soup.get_text(), formulas), STYLE.read_text(encoding="utf-8")]
    soup.style.string = "\n".join([*style, *(f".{name} {{ {rule} }}" for rule, name in rules.items())])
    digests = {tag.name: _digest(tag.string) for tag in soup.find_all(["style", "script"])}
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    policy["content"] = (
        f"default-src 'none'; img-src data:; font-src data:; style-src '{digests['style']}'; "
        f"script-src '{digests['script']}'; base-uri 'none'; form-action 'none'"
    )
    return str(soup)


def for_dark_screens(svg: str) -> str:
    """Add to a drawing how a dark screen shows it: light on dark, hues kept, photographs as they are."""
    rules = {
        f'[style*="{kind}: {colour}"]{{{kind}:{_on_dark(colour)}!important}}'
        for kind, colour in _PAINT.findall(svg)
    }
    # What says nothing is black: letters, and the marks of axes.
    rules.add(f"svg{{fill:{_on_dark('#000000')}}}")
    sheet = f"<style>@media (prefers-color-scheme: dark){{{''.join(sorted(rules))}}}</style>"
    return re.sub(r"(<svg\b[^>]*>)", lambda svg: svg[1] + sheet, svg, count=1)


def _on_dark(colour: str) -> str:
    """Turn lightness round and keep the hue: white becomes the page's dark, black its light."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    lightness = 0.213 * shares[0] + 0.715 * shares[1] + 0.072 * shares[2]
    turned = [min(1.0, max(0.0, 1 + share - 2 * lightness)) for share in shares]
    ends = [(int(DARK_BACK[at : at + 2], 16), int(DARK_TEXT[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(
        f"{round(low + (high - low) * share):02x}" for share, (low, high) in zip(turned, ends, strict=True)
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
