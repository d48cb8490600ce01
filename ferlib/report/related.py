"""What others report on FER-2013 and on FER+, with how it was measured and whether it can be believed.

The figures stand in ``templates/published.csv``, one a line, each with its entry of the bibliography, how it
is known (from the authors' ``code``, their paper or ``page``, or as ``quoted`` by later work) and the address
where that was read.
"""

from pathlib import Path

import pandas as pd

from ferlib.train.experiments import EXPERIMENTS
from ferlib.words import short

FILE = Path(__file__).parent / "templates" / "published.csv"


def published(labels: str = "FER-2013") -> pd.DataFrame:
    """Return published figures, the lowest first.

    Args:
        labels: What networks are judged by: ``FER-2013`` (seven emotions) or ``FER+`` (eight, voted for).

    Returns:
        One row a figure: ``source`` (key of the bibliography), ``method``, ``networks`` (how many are
        averaged), ``accuracy`` and its ``spread`` (percent, as written), ``parameters``, ``split``,
        ``views``, ``chosen_on``, ``trainings``, ``other_data``, ``verdict``, ``belief``, ``known`` and
        ``where``. What was not said is missing.
    """
    table = pd.read_csv(FILE, dtype={"accuracy": str, "spread": str})
    for column in ("networks", "parameters", "trainings"):
        table[column] = table[column].astype("Int64")
    return table[table["labels"] == labels].drop(columns="labels").reset_index(drop=True)


def table(**blocks: pd.DataFrame) -> pd.DataFrame:
    """Return published figures for people to read.

    Args:
        **blocks: Figures from `published`, by what they were judged by; underscores stand for blanks.

    Returns:
        Each block under a row that names it.
    """
    rows = []
    for name, figures in blocks.items():
        rows += [{"who": f"{name.replace('_', ' ')}:"}, *map(_row, figures.itertuples())]
    return pd.DataFrame(rows).fillna("")


def counts(figures: pd.DataFrame) -> dict[str, int]:
    """Count by what rules figures from `published` were measured, those of networks only.

    Returns:
        ``all`` figures; those that rest on several trainings (``repeated``); those whose test images also
        chose the epoch or the members (``own``).
    """
    networks = figures[figures["method"] != "people"]
    own = networks["chosen_on"] == networks["split"]
    repeated = networks["trainings"].fillna(1) > 1
    return {"all": len(networks), "repeated": int(repeated.sum()), "own": int(own.sum())}


def alone(figures: pd.DataFrame) -> float:
    """Return the best accuracy from `published` that stands of one network without other data, in percent."""
    stands = (figures["verdict"] == "stands") & (figures["other_data"] == "none")
    return figures["accuracy"][stands & (figures["networks"] == 1)].astype(float).max()


def reported() -> dict[str, dict]:
    """Return what course reports claim, by row: ``accuracy`` (0..1, or None) and ``note``."""
    told = {id: row for id, row in EXPERIMENTS.items() if row.reported or row.reported_note}
    return {id: {"accuracy": row.reported, "note": row.reported_note} for id, row in told.items()}


def _row(figure) -> dict[str, str]:
    return {
        "who": f"@{figure.source}",
        "what": figure.method,
        "%": figure.accuracy + (f" ± {figure.spread}" if pd.notna(figure.spread) else ""),
        "weights": short(figure.parameters) if pd.notna(figure.parameters) else "–",
        "how it was measured": _measured(figure),
        "other data": figure.other_data,
        "our reading": f"{figure.belief} {_rests_on(figure)}".rstrip(),
    }


def _rests_on(figure) -> str:
    """Name what the judgement rests on: an issue of the authors' repository, their code or their page."""
    issue = figure.where.partition("/issues/")[2]
    return f"(issue {issue})" if issue else f"({figure.known})" if figure.known != "quoted" else ""


def _measured(figure) -> str:
    """Say on what images a figure was measured, which ones chose, how often, and if it is only quoted."""
    parts = [figure.split if figure.split != "not said" else "images not said"]
    parts += [figure.views] if pd.notna(figure.views) else []
    chosen_on = "it" if figure.chosen_on == figure.split else figure.chosen_on
    parts += [f"chosen on {chosen_on}"] if pd.notna(chosen_on) else []
    parts += [f"{figure.trainings} trainings"] if pd.notna(figure.trainings) and figure.trainings > 1 else []
    return "; ".join(parts) + (" (as quoted)" if figure.known == "quoted" else "")
