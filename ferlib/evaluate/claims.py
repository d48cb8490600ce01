"""What earlier reports claim of FER-2013, each claim measured, tested and judged by code.

Each claim has an effect: a number that is positive where the claim is right. Its interval and p-value come
from resampled images and seeds; the p-values of all claims together are corrected by Holm's method.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ferlib.data.fer2013 import Dataset
from ferlib.evaluate import metrics, summary
from ferlib.evaluate.comparison import in_points
from ferlib.evaluate.metrics import Sampled
from ferlib.train import experiments
from ferlib.train.record import Run
from ferlib.words import listed, p_value, percent, points

HOLDS, FAILS, NOISE, UNTESTED = "holds", "does not hold", "undecided", "not tested"
"""Verdicts: the effect is above zero, below zero, or neither at the 5 % level; or runs are missing."""

CLOSE = 0.05
"""Training and validation accuracy closer than this count as close."""

BATCHES = ("deep_batch_32", "deep_augmented", *(f"deep_batch_{size}" for size in (128, 256, 512)))
"""Rows that differ in the batch size alone, 32 to 512, each twice the one before."""

CLOSE_ROWS = (
    *("shallow_plain", "shallow_augmented", "shallow_tuned", "shallow_both"),
    *("four_block", "deep_augmented", "deep_both"),
)
OPEN_ROWS = ("deep_plain", "deep_tuned")

Rows = Mapping[str, Sequence[Run]]
"""Runs by the id of their row; the runs of a row differ in the seed."""


@dataclass(frozen=True)
class Claim:
    """A sentence of earlier reports and how it is put to the test.

    ``measure`` says in words what was measured, and returns the effect.
    """

    text: str
    reported: str  # the numbers it was based on, as far as given
    needs: tuple[str, ...]  # ids of the rows that are measured; empty where any rows will do
    measure: Callable[[Rows], tuple[str, Sampled]]
    gap: bool = False  # whether it speaks of accuracy on training images, which older runs did not count


def claims_table(runs: Iterable[Run], dataset: Dataset) -> pd.DataFrame:
    """Measure, test and judge every claim by tested runs; on demo faces no claim is judged.

    Returns:
        One row a claim: ``claim``, ``reported``, ``measured``, ``effect`` with its 95 % interval
        ``low`` to ``high`` (shares, positive where the claim is right), ``p``, ``p_holm``, ``verdict`` and,
        where it is "not tested", ``why``.
    """
    found = summary.rows(runs)
    table = pd.DataFrame([_row(claim, found, dataset) for claim in CLAIMS])
    table["p"] = table["p"].where(table["why"] == "")
    table["p_holm"] = metrics.holm(table["p"])
    cases = [table["why"] != "", table["p_holm"] >= 0.05, table["effect"] > 0]
    table["verdict"] = np.select(cases, [UNTESTED, NOISE, HOLDS], FAILS)
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
    if pd.isna(row.effect):
        return "–"
    return f"{in_points(row.effect)} ({in_points(row.low)} to {in_points(row.high)})"


def _row(claim, found, dataset):
    """Measure one claim; missing values where its runs are missing."""
    missing = _missing(claim, found)
    row = {"claim": claim.text, "reported": claim.reported, "why": missing or _obstacle(found, dataset)}
    if missing:
        return row | {"measured": ""} | dict.fromkeys(["effect", "low", "high", "p"], np.nan)
    measured, effect = claim.measure(found)
    low, high = effect.interval()
    return row | {"measured": measured, "effect": effect.value, "low": low, "high": high, "p": effect.p()}


def _missing(claim, found):
    """Say what a claim can't be measured without; empty if nothing is missing."""
    if missing := [id for id in claim.needs if id not in found]:
        return f"no run of {', '.join(missing)}"
    if not found:
        return "no run"
    uncounted = sum(np.isnan(summary.training_accuracy(found[id])) for id in claim.needs)
    if claim.gap and uncounted:
        return f"no accuracy on unchanged training images of {uncounted} of {len(claim.needs)} rows"
    return ""


def _obstacle(found, dataset):
    """Say why what was measured cannot be judged; empty if it can."""
    if dataset.is_demo:
        return "demo faces"
    return "quick runs only" if any(run.profile == "quick" for runs in found.values() for run in runs) else ""


def _better(first: str, second: str, text: str, reported: str = "") -> Claim:
    """Claim that a row is more accurate on PrivateTest than another."""

    def measure(found: Rows) -> tuple[str, Sampled]:
        one, two = (summary.accuracy(found[id], "test") for id in (first, second))
        return f"{first} {percent(one.value)} against {second} {percent(two.value)}", one - two

    return Claim(text, reported, (first, second), measure)


def _gap(runs: Sequence[Run]) -> Sampled:
    """Training minus PublicTest accuracy of one row, both of images as they are."""
    return summary.training_accuracy(runs) - summary.accuracy(runs)


def overfits(found: Rows) -> tuple[str, Sampled]:
    """Measure how much larger the gap is without augmentation."""
    pairs = [("deep_plain", "deep_augmented"), ("deep_tuned", "deep_both")]
    gaps = {id: _gap(found[id]) for pair in pairs for id in pair}
    measured = "gaps, and those with augmentation: " + "; ".join(
        f"{id} {points(gaps[id].value)}, {points(gaps[other].value)}" for id, other in pairs
    )
    return measured, metrics.smallest(gaps[id] - gaps[other] for id, other in pairs)


def large_batches(found: Rows) -> tuple[str, Sampled]:
    """Measure what every doubling of the batch costs: the slope of accuracy on log2 of the batch size.

    The trainings are the points, for another training of the same row lies elsewhere; other images would
    move the line as well.
    """
    trainings = [run for id in BATCHES for run in found[id]]
    doublings = np.log2([run.experiment.batch_size for run in trainings])
    correct = np.stack([one.correct for one in metrics.aligned([run.test for run in trainings])])
    line = stats.linregress(doublings, correct.mean(axis=1))
    generator = np.random.default_rng(zlib.crc32(b"batches"))
    noise = line.stderr * generator.standard_t(len(trainings) - 2, metrics.RESAMPLES)
    slope = Sampled(float(line.slope), line.slope + noise)
    away = doublings - doublings.mean()
    by_image = metrics.ratio((away @ correct / (away**2).sum())[None])
    slope += by_image - by_image.value
    means = {id: np.mean([run.test.accuracy for run in found[id]]) for id in BATCHES}
    sizes = ", ".join(f"{experiments.find(id).batch_size}: {percent(mean)}" for id, mean in means.items())
    return f"{sizes}; accuracy lost per doubling, from {len(trainings)} trainings", -slope


def stay_close(found: Rows) -> tuple[str, Sampled]:
    """Measure whether gaps are small in all rows but the deep ones without augmentation."""
    close, apart = ({id: _gap(found[id]) for id in ids} for ids in (CLOSE_ROWS, OPEN_ROWS))
    widest = max(close, key=lambda id: close[id].value)
    near = sum(gap.value < CLOSE for gap in close.values())
    measured = (
        f"{near} of the {len(close)} others have a gap below {100 * CLOSE:.0f} points, {widest} one of "
        f"{points(close[widest].value)}; distance of the worst from that limit"
    )
    effects = [CLOSE - metrics.largest(close.values()), *(gap - CLOSE for gap in apart.values())]
    return measured, metrics.smallest(effects)


def _recalls(runs: Sequence[Run]) -> dict[str, Sampled]:
    """Recall of each class on PrivateTest, of one row."""
    tests = metrics.aligned([run.test for run in runs])
    correct, labels = np.stack([one.correct for one in tests]), tests[0].labels
    return {
        name: metrics.ratio(correct & (labels == code), np.broadcast_to(labels == code, correct.shape))
        for code, name in enumerate(tests[0].classes)
    }


def easiest(found: Rows) -> tuple[str, Sampled]:
    """Measure whether happy and surprise have the highest recalls."""
    recalls = _recalls(_best(found))
    easy = {name: recalls.pop(name) for name in ("happy", "surprise")}
    following = max(recalls, key=lambda name: recalls[name].value)
    named = easy | {following: recalls[following]}
    measured = "recall of " + ", ".join(f"{name} {percent(recall.value)}" for name, recall in named.items())
    effect = metrics.smallest(easy.values()) - metrics.largest(recalls.values())
    return f"{measured}; lower of the two minus the highest other", effect


def goes_to(*ways: tuple[str, str]):
    """Measure by how much more often mistakes on one class go to another than mistakes on the rest do.

    A network that is too fond of a class takes everything for it; only what goes beyond that says that two
    classes look alike. Of several ways, each a true class and what it is taken for, the least excess counts.
    """

    def measure(found: Rows) -> tuple[str, Sampled]:
        runs = _best(found)
        tests = metrics.aligned([run.test for run in runs])
        labels, told = tests[0].labels, np.stack([one.predicted for one in tests])
        shares, usual = [], []
        for way in ways:
            true, other = map(tests[0].classes.index, way)
            wrong = (labels != told) & (labels != other)
            for mistakes, some in ((wrong & (labels == true), shares), (wrong & (labels != true), usual)):
                some.append(metrics.ratio(mistakes & (told == other), mistakes, row=runs[0].experiment.id))
        here, elsewhere = (listed([percent(share.value) for share in some]) for some in (shares, usual))
        excess = metrics.smallest(share - rest for share, rest in zip(shares, usual, strict=True))
        return f"{here} of the mistakes, {elsewhere} of those on other classes", excess

    return measure


def _best(found: Rows) -> Sequence[Run]:
    return found[summary.best_row(run for runs in found.values() for run in runs)]


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
        overfits,
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
    Claim("Large batches don't generalize well", "", BATCHES, large_batches),
    Claim("Happy and surprise are easiest", "", (), easiest),
    *(
        Claim(
            *(f"{one.capitalize()} and {other} are confused with each other", "", ()),
            goes_to((one, other), (other, one)),
        )
        for one, other in (("fear", "sad"), ("neutral", "sad"), ("fear", "neutral"))
    ),
    *(
        Claim(f"{true.capitalize()} is mistaken for {noun}", "", (), goes_to((true, other)))
        for true in ("disgust", "surprise")
        for other, noun in (("angry", "anger"), ("sad", "sadness"))
    ),
    Claim(
        "Training and validation accuracy stay close except for the deep CNN without augmentation",
        "",
        (*CLOSE_ROWS, *OPEN_ROWS),
        stay_close,
        gap=True,
    ),
)
"""The claims, in the order of the report's chapters."""
