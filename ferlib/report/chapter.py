"""What a chapter says: sentences by people, numbers by name, and conclusions guarded by their evidence.

A conclusion whose evidence holds is shown; where the evidence is unknown, as with quick runs, a line says so;
where it fails, the committed record stops the build, and a reader's own runs are told apart from the record.
"""

import logging
import re
from collections.abc import Iterable, Mapping

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ferlib.evaluate import comparison
from ferlib.labels import FerlibError
from ferlib.report import display
from ferlib.train import record
from ferlib.train.experiments import EXPERIMENTS
from ferlib.words import listed, minus

# TensorFlow warns on stdout where notebooks run, of functions by their places in memory.
logging.getLogger("tensorflow").addFilter(lambda told: told.levelno >= logging.ERROR)

HOLE = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*(?::([^}]*))?\}\}")
"""Where a value goes: ``{{name.field:format}}``."""

UNKNOWN = "Nothing is concluded here: not all of these networks were trained in full, alike, and on FER-2013."
"""What stands in place of a conclusion whose evidence is not known."""

_OPENING = re.compile(r"\s*((?:#+ [^\n]*\n+)?(?:\*\*Answer\*\*)?)\s*")


def named(value, name: str = "") -> dict[str, object]:
    """Return a value under dotted names: of a table its rows and columns, of a series or mapping its keys.

    What has a method ``fields`` is the mapping that this returns, such as a difference.
    """
    if isinstance(value, pd.DataFrame):
        # Cell by cell: a row across columns would make floats of its integers.
        value = {row: {column: value.at[row, column] for column in value.columns} for row in value.index}
    if hasattr(value, "fields"):
        value = value.fields()
    if not isinstance(value, pd.Series | Mapping):
        return {name: value.item() if isinstance(value, np.generic) else value}
    return {
        full: one
        for key, part in dict(value).items()
        for full, one in named(part, f"{name}.{key}".lstrip(".").replace(" ", "_")).items()
    }


def written(value, form: str = "") -> str:
    """Write a value as a sentence has it, several texts as "a, b and c", a missing one as a dash.

    Beyond Python's formats, ``p`` at the end writes a difference of shares as percentage points, and ``P``
    a p-value with its sign, "= 0.012".
    """
    if isinstance(value, list | tuple):
        return listed([str(part) for part in value])
    if value is None or pd.isna(value):
        return display.MISSING
    if form == "P":
        return "< 0.001" if value < 0.001 else f"= {value:.3f}"
    text = f"{100 * value:{form[:-1]}f} points" if form.endswith("p") else format(value, form)
    if isinstance(value, str):
        return text
    return minus(text).replace("%", " %")


def filled(text: str, values: Mapping[str, object]) -> str:
    """Put values into the holes of a text; one without a value, or whose value does not fit, is an error."""

    def one(hole: re.Match) -> str:
        if hole[1] not in values:
            near = [name for name in values if name.split(".")[0] == hole[1].split(".")[0]]
            known = ", ".join(near or sorted({name.split(".")[0] for name in values}))
            raise FerlibError(f"{hole[0]} has no value; known are {known or 'none'}")
        try:
            return written(values[hole[1]], (hole[2] or "").strip())
        except (ValueError, TypeError) as error:
            raise FerlibError(f"{hole[0]} does not fit {values[hole[1]]!r}: {error}") from error

    return HOLE.sub(one, text)


def verdict(evidence: Mapping[str, object]) -> bool | None:
    """Return whether all claims hold: False where one fails, else None where one is unknown."""
    held = [None if pd.isna(claim) else bool(claim) for claim in evidence.values()]
    return False if False in held else None if None in held else True


class Report:
    """What one chapter says, with numbers by name and conclusions that stand on evidence.

    Attributes:
        runs: The runs that count: quick ones are left out where there are others.
        conclusive: Whether anything may be concluded: not from drawn faces, nor from quick runs.
        strict: Whether all is read from the committed record, whose conclusions must hold or be rewritten.
    """

    def __init__(self, dataset, runs: Iterable = (), profile: str | None = None):
        """Say what the chapter rests on, and seed what it goes on to compute itself.

        Args:
            dataset: The :class:`ferlib.data.fer2013.Dataset` in use.
            runs: The :class:`ferlib.train.record.Run` objects that the chapter obtained.
            profile: What the notebook was asked for; counts where there are no runs.
        """
        runs = list(runs)
        self.dataset, self.runs, self.profile = dataset, comparison.at_scale(runs), profile
        quick = {run.profile for run in self.runs} == {"quick"} if runs else profile == "quick"
        self.conclusive = not (dataset.is_demo or quick)
        read = all(run.origin == "record" for run in self.runs)
        recorded = set(record.read_results().get("fingerprint", ()))
        self.strict = self.conclusive and read and dataset.fingerprint in recorded
        self._values = {}
        keras.utils.set_random_seed(0)
        left = sorted({run.experiment.id for run in runs} - {run.experiment.id for run in self.runs})
        told = [dataset.source, f"{len(self.runs)} runs"] if runs else [dataset.source]
        told += [f"left out, for they were trained quickly only: {', '.join(left)}"] if left else []
        display.show_markdown(f"*{'; '.join(told)}*", {"role": "status"})

    def values(self, *tables, **single) -> None:
        """Give names to values, for the holes of sentences and captions.

        Args:
            *tables: Tables whose rows are the first part of the names, such as ``deep_tuned.public``.
            **single: Numbers, texts, tables, series, mappings or differences by their names.
        """
        for table in tables:
            self._values |= named(table)
        for name, value in single.items():
            self._values |= named(value, name)

    def say(self, text: str) -> None:
        """Show sentences that state numbers and conclude nothing.

        Args:
            text: Markdown with holes, ``{{deep_tuned.public:.1%}}``.
        """
        display.show_markdown(self._filled(text), {"role": "prose"})

    def conclude(self, text: str, **evidence) -> None:
        """Show a conclusion if its evidence carries it, and all of its numbers are known.

        Args:
            text: Markdown with holes. Its heading and the word **Answer** stay, whatever the evidence.
            **evidence: Each claim of the text by a name of its own: True, False, or missing where unknown.

        Raises:
            FerlibError: There is no evidence, or a claim does not hold on the committed record.
        """
        if not evidence:
            raise FerlibError(f"a conclusion without evidence: {text.strip()[:60]}")
        known = self._known(text)
        told = {hole[1]: written(known.get(hole[1], "")) for hole in HOLE.finditer(text)}
        unknown = [name for name, value in told.items() if value == display.MISSING]
        holds = verdict(evidence | dict.fromkeys(unknown)) if self.conclusive else None
        opening = _OPENING.match(text)[1]
        role = "abstract" if opening.startswith("## Abstract") else "prose"
        if role == "abstract":  # the title page has that heading
            text, opening = text.strip().removeprefix("## Abstract"), ""
        if holds is False:
            wrong = ", ".join(name for name, claim in evidence.items() if verdict({name: claim}) is False)
            if self.strict:
                raise FerlibError(f"the record does not support {wrong}; rewrite: {text.strip()[:60]} …")
            text = f"{opening}\n\n> These runs do not support what was concluded from the record ({wrong})."
        elif holds is None:
            text = f"{opening} {UNKNOWN}" if "Answer" in opening else f"{opening}\n\n> {UNKNOWN}"
        display.show_markdown(self._filled(text), {"role": role, "holds": holds, "claims": sorted(evidence)})

    def figure(self, fig: Figure, name: str, *, caption: str, alt: str, width: str = "80%") -> None:
        """Show a figure as :func:`ferlib.report.display.figure` does; caption and alt text may have holes."""
        display.figure(fig, name, caption=self._filled(caption), alt=self._filled(alt), width=width)

    def table(self, frame: pd.DataFrame, name: str, *, caption: str, formats: Mapping | None = None) -> None:
        """Show a table as :func:`ferlib.report.display.table` does; the caption may have holes."""
        display.table(frame, name, caption=self._filled(caption), formats=formats)

    def provenance(self) -> None:
        """Say what the chapter's numbers were made from; its last cell."""
        display.provenance(self.dataset, self.runs, self.profile)

    def _filled(self, text: str) -> str:
        return filled(text.strip(), self._known(text))

    def _known(self, text: str) -> dict[str, object]:
        """Return the values by name; what a text would read of a row that was not run is missing."""
        unknown = {hole[1]: None for hole in HOLE.finditer(text) if hole[1].split(".")[0] in EXPERIMENTS}
        return unknown | self._values
