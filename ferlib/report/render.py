"""The document into one HTML and one PDF, by Pandoc and Typst, with the glyphs that the HTML carries."""

import base64
import datetime
import io
import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pypandoc
import typst
import yaml
from bs4 import BeautifulSoup
from fontTools import subset

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.report import colophon
from ferlib.report.document import Chapter, read_chapter

TEMPLATES = Path(__file__).parent / "templates"

_MARKDOWN = (
    "markdown-yaml_metadata_block-subscript-superscript-fancy_lists-example_lists-blank_before_header"
    "-implicit_figures+lists_without_preceding_blankline"
)
_TYPST = """#import "report.typ": *
#show: report.with(abstract: $if(abstract)$[$abstract$]$else$none$endif$)

$body$
"""
_CODE = """::: print
```{=typst}
#show: appendix
```

# Appendix: code {#sec-code .unnumbered}

The code of every cell, in the order of execution.

LISTINGS
:::"""
_REQUIRED = {"title", "subtitle", "authors", "course"}
_KINDS = {
    "title": str,
    "subtitle": str,
    "authors": list,
    "course": str,
    "institution": str,
    "date": datetime.date,
    "keywords": list,
}


def render(executed: Sequence[Path], out_directory: Path, *, meta: Path | None = None) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.pdf``.

    The same notebooks give the same bytes. Warnings that notebooks wrote are repeated on stderr.

    Args:
        executed: Executed notebooks in the order of the chapters.
        out_directory: Folder for the two files; made if missing.
        meta: YAML file with title, subtitle, authors, course and, if wanted, institution, date and
            keywords; None takes ``reports/meta.yaml`` of the project.

    Returns:
        Paths of the HTML and the PDF file.

    Raises:
        FerlibError: If a notebook failed or is incomplete, a figure or table has no caption, a reference
            or citation leads nowhere, or the title page's file is wrong.
    """
    chapters = [read_chapter(Path(path)) for path in executed]
    for chapter in chapters:
        for warning in chapter.warnings:
            print(f"Note: {warning}", file=sys.stderr)
    settings = _settings(meta or paths.root() / "reports" / "meta.yaml", chapters)
    with paths.scratch() as work, ThreadPoolExecutor() as threads:
        _write_sources(work, chapters, settings)
        html, pdf = threads.submit(_html, work), threads.submit(_pdf, work, settings)
        results = {"report.html": html.result(), "report.pdf": pdf.result()}
    for name, content in results.items():
        with paths.written_atomically(Path(out_directory) / name) as temporary:
            temporary.write_bytes(content)
    return Path(out_directory) / "report.html", Path(out_directory) / "report.pdf"


def _settings(path: Path, chapters: Sequence[Chapter]) -> dict:
    """Return what the title page, headers and metadata say."""
    given = _title_page(path)
    day = given.get("date") or _newest_day(chapters)
    date = f"{day.day} {day:%B %Y}"
    return {
        "institution": "",
        "keywords": [],
        **given,
        "author": given["authors"],
        "date": date,
        "isodate": day.isoformat(),
        "day": [day.year, day.month, day.day],
        "banner": colophon.banner(chapters),
        "provenance": colophon.summary(chapters, date),
    }


def _title_page(path: Path) -> dict:
    """Read the title page's file and check the kind of each entry."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise FerlibError(f"{path} cannot be read as YAML for the title page: {error}") from error
    if not isinstance(given, dict) or (missing := _REQUIRED - set(given)):
        names = missing if isinstance(given, dict) else _REQUIRED
        raise FerlibError(f"{path} has no {', '.join(sorted(names))}; the title page needs them")
    for name, value in given.items():
        if name not in _KINDS:
            raise FerlibError(f"{path} has an unknown entry {name!r}; it may hold {', '.join(_KINDS)}")
        if not isinstance(value, _KINDS[name]):
            raise FerlibError(f"{path}: {name} is {value!r}, which is not a {_KINDS[name].__name__}")
    return given


def _newest_day(chapters: Sequence[Chapter]) -> datetime.date:
    ends = [chapter.ended for chapter in chapters if chapter.ended]
    return datetime.datetime.fromisoformat(max(ends, default="1970-01-01")).date()


def _write_sources(work: Path, chapters: Sequence[Chapter], settings: dict) -> None:
    """Lay out all that pandoc and typst read in one folder."""
    copy_fonts(work)
    for name in ("report.lua", "tables.lua", "report.html", "report.typ", "references.bib"):
        (work / name).write_bytes((TEMPLATES / name).read_bytes())
    (work / "main.typ").write_text(_TYPST, encoding="utf-8")
    for chapter in chapters:
        for name, picture in chapter.pictures.items():
            (work / name).write_bytes(picture)
    listings = [f"## {chapter.title} {{.unlisted .unnumbered}}\n\n{chapter.listing}" for chapter in chapters]
    parts = [
        *(chapter.body for chapter in chapters),
        colophon.page(chapters),
        "# References {#sec-references .unnumbered}\n\n::: {#refs}\n:::",
        _CODE.replace("LISTINGS", "\n\n".join(listings)),
    ]
    (work / "report.md").write_text("\n\n".join(parts), encoding="utf-8")
    abstract = "\n\n".join(chapter.abstract for chapter in chapters if chapter.abstract)
    metadata = {
        **settings,
        "abstract": abstract,
        "link-citations": True,
        "lang": "en",
    }
    (work / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


def _pandoc(work: Path, form: str, template: str, *options: str) -> str:
    arguments = [
        "--standalone",
        f"--metadata-file={work / 'metadata.json'}",
        f"--lua-filter={work / 'report.lua'}",
        f"--template={work / template}",
        f"--bibliography={work / 'references.bib'}",
        "--wrap=none",
        *options,
    ]
    try:
        return pypandoc.convert_file(str(work / "report.md"), form, format=_MARKDOWN, extra_args=arguments)
    except RuntimeError as error:
        said = re.search(r"ferlib: (.*?) :ferlib", str(error), re.S)
        problem = said[1] if said else f"pandoc could not convert it: {error}"
        raise FerlibError(f"the report cannot be rendered: {problem}") from error


def _html(work: Path) -> bytes:
    html = _pandoc(
        work,
        "html5",
        "report.html",
        "--mathml",
        "--toc",
        "--toc-depth=2",
        "--number-sections",
        "--section-divs",
    )
    # Browsers stretch a hat or tilde over a letter into an arc.
    for combining, plain in (("\u0302", "^"), ("\u0303", "~")):
        html = html.replace(
            f'<mo accent="true">{combining}</mo>', f'<mo accent="true" stretchy="false">{plain}</mo>'
        )
    soup = BeautifulSoup(html, "html.parser")
    formulas = "".join(part.get_text() for part in soup.find_all("math"))
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    html = html.replace("/* STYLE */", font_faces(soup.get_text(), formulas) + "\n" + style)

    def embedded(match: re.Match) -> str:
        picture = base64.b64encode((work / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{picture}"'

    return re.sub(r'src="(fig-[\w-]+\.png)"', embedded, html).encode()


def _pdf(work: Path, settings: dict) -> bytes:
    source = work / "report-main.typ"
    source.write_text(_pandoc(work, "typst-citations", "main.typ"), encoding="utf-8")
    try:
        pdf, warnings = typst.compile_with_warnings(
            str(source),
            root=str(work),
            font_paths=[str(work)],
            ignore_system_fonts=True,
            sys_inputs={"meta": json.dumps(settings)},
            pdf_standards=["ua-1"],
            timestamp=int(datetime.datetime(*settings["day"], tzinfo=datetime.UTC).timestamp()),
        )
    except typst.TypstError as error:
        first = error.diagnostic.split("\n\n")[0]
        raise FerlibError(f"the report cannot be set as PDF: {first}") from error
    for warning in warnings:
        print(f"Note: typst: {warning.message}", file=sys.stderr)
    return pdf


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


def copy_fonts(folder: Path) -> None:
    """Copy the font files that typst needs, and no other cut of the same families.

    Args:
        folder: Existing folder.
    """
    for path in (*_FACES.values(), *_PRINT_ONLY):
        shutil.copyfile(path, folder / path.name)


def font_faces(text: Iterable[str], formulas: Iterable[str]) -> str:
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
