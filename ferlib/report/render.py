"""The document into one HTML and one PDF, by Pandoc and Typst."""

import datetime
import json
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pypandoc
import typst
import yaml

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.report import appendix, floats, webpage
from ferlib.report.document import Chapter, literal, read_chapter

TEMPLATES = Path(__file__).parent / "templates"

_MARKDOWN = (
    "markdown-yaml_metadata_block-subscript-superscript-fancy_lists-example_lists-blank_before_header"
    "-implicit_figures+lists_without_preceding_blankline"
)
_TYPST = """#import "report.typ": *
#show: report.with(abstract: $if(abstract)$[$abstract$]$else$none$endif$)

$body$
"""
_REQUIRED = {"title": str, "subtitle": str, "authors": list, "course": str}
_KINDS = _REQUIRED | {"institution": str, "date": datetime.date, "keywords": list}


def render(executed: Sequence[Path], out_directory: Path, meta: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.pdf``, and return their paths.

    The same notebooks give the same bytes. Warnings that notebooks wrote are repeated on stderr.

    Args:
        executed: Executed notebooks in the order of the chapters.
        out_directory: Folder for the two files; made if missing.
        meta: YAML file with title, subtitle, authors, course and, if wanted, institution, date and keywords.

    Raises:
        FerlibError: If a figure or table has no caption, a reference or citation leads nowhere, or the title
            page's file is wrong.
    """
    chapters = [read_chapter(Path(path)) for path in executed]
    for chapter in chapters:
        for warning in chapter.warnings:
            print(f"Note: {warning}", file=sys.stderr)
    settings = _settings(meta, chapters)
    with paths.scratch() as work, ThreadPoolExecutor() as threads:
        _write_sources(work, chapters, settings)
        html, pdf = threads.submit(_html, work), threads.submit(_pdf, work, settings)
        results = {"report.html": html.result(), "report.pdf": pdf.result()}
    for name, content in results.items():
        with paths.written_atomically(Path(out_directory) / name) as temporary:
            temporary.write_bytes(content)
    return tuple(Path(out_directory) / name for name in results)


def _settings(path: Path, chapters: Sequence[Chapter]) -> dict:
    """Return what the title page, headers and metadata say."""
    given = _title_page(path)
    newest = max(filter(None, (chapter.ended for chapter in chapters)), default="1970-01-01")
    day = given.get("date") or datetime.datetime.fromisoformat(newest).date()
    date = f"{day.day} {day:%B %Y}"
    return {
        "institution": "",
        "keywords": [],
        **given,
        "author": given["authors"],
        "date": date,
        "isodate": day.isoformat(),
        "day": [day.year, day.month, day.day],
        "banner": appendix.banner(chapters),
        "provenance": appendix.summary(chapters, date),
    }


def _title_page(path: Path) -> dict:
    """Read the title page's file and check the kind of each entry."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError) as error:  # of dates, too
        said = " ".join(str(error).split())
        raise FerlibError(f"{path} cannot be read as YAML for the title page: {said}; mend it") from error
    if missing := set(_REQUIRED) - set(given if isinstance(given, dict) else ()):
        raise FerlibError(f"{path} has no {', '.join(sorted(missing))}; the title page needs them")
    for name, value in given.items():
        if name not in _KINDS:
            raise FerlibError(f"{path} has an unknown entry {name!r}; it may hold {', '.join(_KINDS)}")
        if not isinstance(value, _KINDS[name]):
            kind = _KINDS[name].__name__
            raise FerlibError(f"{path}: {name} is {value!r}, which is not a {kind}; mend it")
    return given


def _write_sources(work: Path, chapters: Sequence[Chapter], settings: dict) -> None:
    """Lay out all that pandoc and typst read in one folder."""
    webpage.copy_fonts(work)
    for name in ("report.lua", "tables.lua", "report.html", "report.typ", "references.bib"):
        (work / name).write_bytes((TEMPLATES / name).read_bytes())
    (work / "main.typ").write_text(_TYPST, encoding="utf-8")
    for chapter in chapters:
        for name, picture in chapter.pictures.items():
            (work / name).write_text(picture, encoding="utf-8")
    parts = [
        *(chapter.body for chapter in chapters),
        appendix.how_made(chapters),
        "# References {#sec-references .unnumbered}\n\n::: {#refs}\n:::",
        appendix.printed_code(chapters),
    ]
    (work / "report.md").write_text("\n\n".join(parts), encoding="utf-8")
    metadata = {name: _literally(value) for name, value in settings.items()}
    metadata |= {"abstract": " ".join(chapter.abstract for chapter in chapters if chapter.abstract)}
    metadata |= {"link-citations": True, "lang": "en"}
    (work / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


def _literally(value: object) -> object:
    """Return an entry of the title page as the Markdown that pandoc takes it for; typst takes it as it is."""
    if isinstance(value, list):
        return [_literally(one) for one in value]
    return literal(value) if isinstance(value, str) else value


def _pandoc(work: Path, form: str, template: str, *options: str) -> str:
    files = {"metadata-file": "metadata.json", "lua-filter": "report.lua", "template": template}
    files["bibliography"] = "references.bib"
    arguments = [f"--{name}={work / file}" for name, file in files.items()]
    arguments += ["--standalone", "--wrap=none", *options]
    try:
        return pypandoc.convert_file(str(work / "report.md"), form, format=_MARKDOWN, extra_args=arguments)
    except RuntimeError as error:
        said = re.search(r"ferlib: (.*?) :ferlib", str(error), re.S)
        problem = said[1] if said else f"pandoc could not convert it: {error}"
        raise FerlibError(f"the report cannot be rendered: {problem}") from error


def _html(work: Path) -> bytes:
    options = ("--mathml", "--toc", "--toc-depth=2", "--number-sections", "--section-divs")
    return webpage.finished(_pandoc(work, "html5", "report.html", *options), work).encode()


def _pdf(work: Path, settings: dict) -> bytes:
    document = floats.read(_pandoc(work, "typst-citations-smart", "main.typ"))
    for name, text in document.parts().items():
        (work / name).write_text(text, encoding="utf-8")
    file = work / "report-main.typ"
    file.touch()
    compiler = typst.Compiler(
        str(file),
        root=str(work),
        font_paths=[str(work)],
        ignore_system_fonts=True,
        sys_inputs={"meta": json.dumps(settings)},
    )

    def query(source: str, label: str) -> list:
        file.write_text(source, encoding="utf-8")
        return json.loads(compiler.query(label, field="value"))

    try:
        file.write_text(floats.placed(document, query), encoding="utf-8")
        pdf, warnings = compiler.compile_with_warnings(
            pdf_standards=["ua-1"],
            timestamp=int(datetime.datetime(*settings["day"], tzinfo=datetime.UTC).timestamp()),
        )
    except RuntimeError as error:
        first = getattr(error, "diagnostic", str(error)).split("\n\n")[0]
        raise FerlibError(f"the report cannot be set as PDF: {first}") from error
    for warning in warnings:
        print(f"Note: typst: {warning.message}", file=sys.stderr)
    return pdf
