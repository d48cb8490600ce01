"""The end of the report: how it was made, gathered from its chapters, and the library's code by its names."""

import ast
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ferlib import paths
from ferlib.data.fer2013 import DEMO_SOURCE
from ferlib.report.document import Chapter, fence, literal, span
from ferlib.train.experiments import CROWD_TABLE, TABLE


def banner(chapters: Sequence[Chapter]) -> str:
    """Return what every page must warn of, empty for a full report on FER-2013."""
    profiles = {profile for chapter in chapters for profile in chapter.facts.get("profiles", ())}
    warnings = [DEMO_SOURCE] if any(chapter.facts.get("is_demo") for chapter in chapters) else []
    if profiles == {"quick"}:
        warnings.append("quick profile: small-scale run")
    elif "quick" in profiles:
        warnings.append("some numbers come from quick, small-scale runs")
    return " · ".join(warnings)


def summary(chapters: Sequence[Chapter], date: str) -> str:
    """Return one line for the title page: date, data, profile, commit."""
    told = [chapter for chapter in chapters if chapter.facts]
    profiles = sorted({profile for chapter in told for profile in chapter.facts["profiles"]})
    data, commits = (dict.fromkeys(chapter.facts[name] for chapter in told) for name in ("data", "commit"))
    profile = [f"profile {' and '.join(profiles)}"] if profiles else []
    return " · ".join([f"Made on {date}", *data, *profile, *map("commit {}".format, commits)])


def how_made(chapters: Sequence[Chapter]) -> str:
    """Return the chapter "How this report was made" as Markdown."""
    told = [(number, chapter.facts) for number, chapter in _numbered(chapters) if chapter.facts]
    given = [(number, "; ".join(chapter.parameters.splitlines())) for number, chapter in _numbered(chapters)]
    rows = {
        "Settings": _by_chapter(given, lambda code: span(code) if code else "as in the notebook"),
        "Profile": _by_chapter(told, lambda facts: " and ".join(facts["profiles"]) or "no training"),
        "Data": _by_chapter(told, lambda facts: literal(facts["data"])),
        "Fingerprint": _by_chapter(told, lambda facts: f"`{facts['fingerprint']}`"),
        "Notes": _by_chapter(told, lambda facts: literal("; ".join(facts["notes"]))),
        "Hardware": _by_chapter(told, lambda facts: literal(facts["hardware"])),
        "Versions": _by_chapter(told, lambda facts: ", ".join(map(" ".join, facts["versions"].items()))),
        "Commit": _by_chapter(told, lambda facts: f"`{facts['commit']}`"),
    }
    rows["Trainings"] = _trainings([run for _, facts in told for run in facts.get("runs", ())])
    rows = {term: text for term, text in rows.items() if text}
    return "\n\n".join(
        [
            "# How this report was made {#sec-how-made .unnumbered}",
            "The program papermill ran each chapter's notebook from its first cell to its last. That run "
            "wrote all numbers, tables and figures but for what others report, which is quoted, and for "
            "copies that were counted by eye. "
            "Recorded trainings with other seeds than the settings name are shown, too. The fingerprint is a "
            "SHA-256 digest over all pixels, labels and splits: whoever computes the same one has the same "
            "data.",
            *(["::: facts", *(f"{term}\n:   {text}" for term, text in rows.items()), ":::"] if told else []),
        ]
    )


def _numbered(chapters: Sequence[Chapter]) -> list[tuple[int, Chapter]]:
    """Return the chapters with their numbers; an introduction has 0."""
    return list(enumerate(chapters, start=0 if chapters[0].is_introduction else 1))


def _by_chapter(told: list[tuple[int, Any]], fact: Callable[[Any], str]) -> str:
    """Return a fact once if all chapters agree on it, else with the chapters it is true of."""
    chapters: dict[str, list[int]] = {}
    for number, facts in told:
        chapters.setdefault(fact(facts), []).append(number)
    if len(chapters) == 1:
        return next(iter(chapters))
    return "; ".join(f"{text} ({_places(numbers)})" for text, numbers in chapters.items())


def _places(numbers: list[int]) -> str:
    """Name chapters by their numbers."""
    rest = [str(number) for number in numbers if number]
    named = [f"chapter{'s' if len(rest) > 1 else ''} {', '.join(rest)}"] if rest else []
    return " and ".join(["introduction"] * (0 in numbers) + named)


def _trainings(runs: Sequence[dict]) -> str:
    """Return how many runs a report shows, and how many of each profile a device made; empty without any."""
    if not runs:
        return ""
    different = pd.DataFrame(runs).drop_duplicates()
    made = []
    for device, profiles in different.groupby("device")["profile"]:
        counts = profiles.value_counts().sort_index().items()
        made.append(", ".join(f"{count} × {profile}" for profile, count in counts) + f" on {device}")
    recorded = (different["origin"] == "record").sum()
    origin = "all" if recorded == len(different) else recorded
    return literal(f"{len(different)}, {origin} of them from the record: {'; '.join(made)}")


PRINTED = {
    "The small network": ("train/models.py", "lean_cnn _standardized _convolution _normalized_relu"),
    "The augmentation": ("train/augmentation.py", "POLICIES affine"),
    "The steps of a training": ("train/fitting.py", "Fitting.epoch"),
    "The table of experiments": (
        "train/experiments.py",
        "AUGMENTED TUNED SLOWER BOTH FINETUNED FROZEN BEST PAPER LEAN CROWD _ROWS _CROWD",
    ),
}
"""Heading to a module of ferlib and the names that are printed of it."""


def printed_code(chapters: Sequence[Chapter]) -> str:
    """Return the appendix with the library's code as Markdown, and which experiments no chapter has run."""
    shown = {run["experiment"] for chapter in chapters for run in chapter.facts.get("runs", ())}
    waiting = sorted(set(TABLE + CROWD_TABLE) - shown) if shown else []
    told = f"Planned, but not run so far: {', '.join(map(span, waiting))}." if waiting else ""
    parts = ["``` {=typst}\n#show: appendix\n```", "# Appendix: code {#sec-code .unnumbered}", told]
    for heading, (module, names) in PRINTED.items():
        code = "\n\n".join(source(paths.PACKAGE / module, name) for name in names.split())
        code = re.sub(r"^([A-Z]+ = .*)\n\n(?=[A-Z]+ = )", r"\1\n", code, flags=re.M)  # lines of a table
        parts += [
            f"## {heading}: `ferlib/{module}` {{.unlisted .unnumbered}}",
            fence(code, "python"),
        ]
    return "\n\n".join(parts)


def source(module: Path, name: str) -> str:
    """Return the source of what stands at the top of a module, or of ``Class.method``, without importing it.

    Of a docstring only the first line is kept.
    """
    text = module.read_text(encoding="utf-8")
    node = ast.parse(text)
    for part in name.split("."):
        node = next(found for found in node.body if part in _names(found))
    code = ast.get_source_segment(text, node, padded=True)
    told = ast.get_docstring(node, clean=False) if isinstance(node, ast.FunctionDef) else None
    return textwrap.dedent(code.replace(told, told.split("\n")[0], 1) if told else code)


def _names(node: ast.stmt) -> list[str]:
    return [getattr(one, "name", getattr(one, "id", "")) for one in getattr(node, "targets", [node])]
