"""Sentences about networks in training, written by code from their runs on PublicTest."""

from collections.abc import Mapping, Sequence

from ferlib import compare, evaluate
from ferlib.evaluate import Predictions
from ferlib.finished import Run
from ferlib.words import percent


def at_scale(rows: Mapping[str, Sequence[Run]]) -> dict[str, Sequence[Run]]:
    """Leave out the rows that were trained quickly only; nothing but quick rows stay as they are.

    Args:
        rows: From ``compare.rows``.
    """
    serious = {id: of_row for id, of_row in rows.items() if of_row[0].profile != "quick"}
    return serious or dict(rows)


def best_of(rows: Mapping[str, Sequence[Run]]) -> str:
    """Return the seven-class row that is best on PublicTest, quick ones left out as in `at_scale`."""
    known = {id: of_row for id, of_row in rows.items() if of_row[0].experiment.classes is None}
    return compare.best_row(run for of_row in at_scale(known).values() for run in of_row)


def mistakes(predictions: Predictions) -> str:
    """Say which classes are recognized best and worst and what the worst is taken for."""
    recall = evaluate.recall_intervals(predictions)["recall"]
    worst, best = recall.idxmin(), recall.idxmax()
    taken = evaluate.confusion(predictions).loc[worst].drop(worst)
    return (
        f"Of {best} faces {percent(recall[best])} are recognized, of {worst} faces {percent(recall[worst])}; "
        f"{worst} is most often taken for {taken.idxmax()} ({percent(taken.max())})."
    )
