"""What earlier reports claim of FER-2013, each claim measured, tested and judged by code.

Each claim has an effect: a number that is positive where the claim is right. Its interval and p-value come
from resampled images and seeds; the p-values of all claims together are corrected by Holm's method.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ferlib.data.fer2013 import Dataset
from ferlib.evaluate import measures, metrics, summary
from ferlib.evaluate.measures import Finding, Rows
from ferlib.train.record import Run
from ferlib.words import minus, p_value

HOLDS, FAILS, NOISE, UNTESTED = "holds", "does not hold", "undecided", "not tested"
"""Verdicts: the effect is above zero, below zero, or neither at the 5 % level; or runs are missing."""

_NOTHING_TO_MEASURE = ("no run", "no accuracy")


@dataclass(frozen=True)
class Claim:
    """A sentence of earlier reports and how it is put to the test.

    Attributes:
        text: The claim, as reported.
        reported: The numbers it was based on, as far as given.
        needs: Ids of the rows that the measurement takes; empty where any rows will do.
        measure: From rows to the finding.
        gap: Whether it speaks of the accuracy on training images, which older runs did not count.
    """

    text: str
    reported: str
    needs: tuple[str, ...]
    measure: Callable[[Rows], Finding]
    gap: bool = False


def claims_table(runs: Iterable[Run], dataset: Dataset) -> pd.DataFrame:
    """Measure, test and judge every claim.

    Args:
        runs: Runs with test predictions.
        dataset: What they were trained on; on demo faces no claim is judged.

    Returns:
        One row a claim: ``claim``, ``reported``, ``measured``, ``effect`` with its 95 % interval
        ``low`` to ``high`` (shares, positive where the claim is right), ``p``, ``p_holm``, ``verdict`` and,
        where it is "not tested", ``why``.
    """
    found = summary.rows(runs)
    table = pd.DataFrame([_row(claim, found, _obstacle(claim, found, dataset)) for claim in CLAIMS])
    tested = table["p"].notna() & (table["why"] == "")
    table["p"] = table["p"].where(tested)
    table["p_holm"] = table["p"]
    if tested.any():
        table.loc[tested, "p_holm"] = metrics.holm(table.loc[tested, "p"])
    table["verdict"] = [_verdict(row) for row in table.itertuples()]
    return table


def shown(judged: pd.DataFrame) -> pd.DataFrame:
    """Return what `claims_table` found for people to read."""
    reported = judged["reported"].map(lambda text: f" (reported: {text})" if text else "")
    return pd.DataFrame(
        {
            "claim": judged["claim"] + reported,
            "measured": judged["measured"].where(judged["why"] == "", judged["why"]),
            "effect": [_effect(row) for row in judged.itertuples()],
            "p": [p_value(row.p_holm, metrics.at_most(row.p)) for row in judged.itertuples()],
            "verdict": judged["verdict"],
        }
    )


def _effect(row) -> str:
    """Write an effect in points with its 95 % interval."""
    if pd.isna(row.effect):
        return "–"
    value, low, high = (minus(f"{100 * number:+.1f}") for number in (row.effect, row.low, row.high))
    return f"{value} ({low} to {high})" if row.low < row.high else value


def _row(claim, found, why):
    """Measure one claim; missing values where its runs are missing."""
    row = {"claim": claim.text, "reported": claim.reported, "measured": "", "why": why}
    if why.startswith(_NOTHING_TO_MEASURE):
        return row | dict.fromkeys(["effect", "low", "high", "p"], np.nan)
    finding = claim.measure(found)
    low, high = finding.effect.interval()
    row |= {"measured": finding.measured, "effect": finding.effect.value}
    return row | {"low": low, "high": high, "p": finding.effect.p()}


def _obstacle(claim, found, dataset):
    """Say why a claim cannot be judged; empty if it can."""
    if missing := [id for id in claim.needs if id not in found]:
        return f"no run of {', '.join(missing)}"
    if not found:
        return "no run"
    uncounted = sum(np.isnan(summary.training_accuracy(found[id])) for id in claim.needs)
    if claim.gap and uncounted:
        return f"no accuracy on unchanged training images of {uncounted} of {len(claim.needs)} rows"
    if dataset.is_demo:
        return "demo faces"
    return "quick runs only" if any(run.profile == "quick" for runs in found.values() for run in runs) else ""


def _verdict(row):
    if row.why:
        return UNTESTED
    return NOISE if row.p_holm >= 0.05 else HOLDS if row.effect > 0 else FAILS


def _better(first: str, second: str, text: str, reported: str = "") -> Claim:
    """Claim that a row is more accurate on PrivateTest than another."""
    return Claim(text, reported, (first, second), measures.better(first, second))


CLAIMS = (
    _better(
        *("shallow_tuned", "shallow_plain", "Tuning the training lifts the shallow CNN", "56.31 % to 61.1 %")
    ),
    _better(
        *("shallow_plain", "shallow_augmented", "Augmentation holds the shallow CNN back"),
        "training accuracy gets stuck at 49.95 % and 48.62 %",
    ),
    _better("deep_both", "deep_plain", "Augmentation and tuning lift the deep CNN", "65.55 % to 68.62 %"),
    Claim(
        "Without augmentation the deep CNN overfits",
        "training accuracy 82.52 %, tuned 95.76 %; with augmentation a gap of 0.43 %",
        ("deep_plain", "deep_augmented", "deep_tuned", "deep_both"),
        measures.overfits,
        gap=True,
    ),
    _better(
        *("deep_both", "mobilenet_frozen"),
        "A deep CNN from scratch beats a head on MobileNet's bottleneck features",
        "68.62 % against 58.19 %",
    ),
    _better(
        *("deep_augmented", "deep_no_batch_norm"),
        "Batch normalization after each layer improved the accuracy",
    ),
    _better("deep_augmented", "deep_no_dropout", "Dropout makes it generalize"),
    Claim("Large batches don't generalize well", "", measures.BATCHES, measures.large_batches),
    Claim("Happy and surprise are easiest", "", (), measures.easiest),
    *(
        Claim(
            *(f"{one.capitalize()} and {other} are confused with each other", "", ()),
            measures.goes_to((one, other), (other, one)),
        )
        for one, other in (("fear", "sad"), ("neutral", "sad"), ("fear", "neutral"))
    ),
    *(
        Claim(f"{true.capitalize()} is mistaken for {noun}", "", (), measures.goes_to((true, other)))
        for true in ("disgust", "surprise")
        for other, noun in (("angry", "anger"), ("sad", "sadness"))
    ),
    Claim(
        "Training and validation accuracy stay close except for the deep CNN without augmentation",
        "",
        (*measures.CLOSE_ROWS, *measures.OPEN_ROWS),
        measures.stay_close,
        gap=True,
    ),
)
"""The claims, in the order of the report's chapters."""
