"""What the claims of earlier reports measure, with resampled images and seeds.

Each function takes the rows that were run and returns a finding, whose effect is positive where the claim
is right.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ferlib.evaluate import metrics, summary
from ferlib.evaluate.metrics import Sampled
from ferlib.train import experiments
from ferlib.train.record import Run
from ferlib.words import percent, points

CLOSE = 0.05
"""Training and validation accuracy closer than this count as close."""

STUCK = 0.01
"""A training whose accuracy at the end rises by less in a fifth of its epochs is stuck."""

Rows = Mapping[str, Sequence[Run]]
"""Runs by the id of their row; the runs of a row differ in the seed."""

BATCHES = ("deep_batch_32", "deep_augmented", *(f"deep_batch_{size}" for size in (128, 256, 512)))
"""Rows that differ in the batch size alone, 32 to 512, each twice the one before."""

CLOSE_ROWS = (
    *("shallow_plain", "shallow_augmented", "shallow_tuned", "shallow_both"),
    *("four_block", "deep_augmented", "deep_both"),
)
OPEN_ROWS = ("deep_plain", "deep_tuned")


@dataclass(frozen=True)
class Finding:
    """What was measured about a claim.

    Attributes:
        measured: The numbers, in words.
        test: What the effect is and how it was tested.
        effect: Positive where the claim is right.
        sampled: Whether chance enters, so that a p-value makes sense.
        untested: Why the runs, though there, say nothing about the claim; empty where they do.
    """

    measured: str
    test: str
    effect: Sampled
    sampled: bool = True
    untested: str = ""


def better(first: str, second: str):
    """Measure whether the first row is more accurate on PrivateTest than the second."""

    def measure(found: Rows) -> Finding:
        one, two = (summary.accuracy(found[id], "test") for id in (first, second))
        measured = f"{first} {percent(one.value)} against {second} {percent(two.value)}"
        return Finding(measured, "paired difference", one - two)

    return measure


def _gap(runs: Sequence[Run]) -> Sampled:
    """Training minus PublicTest accuracy of one row, both of images as they are."""
    return summary.training_accuracy(runs) - summary.accuracy(runs)


def _steepness(places: np.ndarray, heights: np.ndarray, row: str) -> Sampled:
    """Slope of the line through points, as uncertain as their scatter about it makes it."""
    line = stats.linregress(places, heights)
    generator = np.random.default_rng(zlib.crc32(row.encode()))
    noise = line.stderr * generator.standard_t(len(places) - 2, metrics.RESAMPLES)
    return Sampled(float(line.slope), line.slope + noise)


def gets_stuck(found: Rows) -> Finding:
    """Measure whether, with augmentation, the training accuracy of the shallow CNN stops rising.

    A line is laid through the last third of the epochs, four at least: single epochs go up and down.
    """
    rises, runs = [], found["shallow_augmented"]
    for run in runs:
        epochs = len(run.history)
        end = run.history.tail(max(4, epochs // 3))
        slope = _steepness(end["epoch"], end["accuracy"], f"shallow_augmented {run.seed}")
        rises.append(slope * (epochs / 5))
    rise = sum(rises) * (1 / len(rises))
    last = np.mean([run.history["accuracy"].iloc[-1] for run in runs])
    measured = (
        f"training accuracy, of augmented images, ends at {percent(last)} and rises by {points(rise.value)} "
        "in a fifth of the epochs"
    )
    return Finding(measured, f"{points(STUCK)} minus that rise", STUCK - rise)


def overfits(found: Rows) -> Finding:
    """Measure how much larger the gap is without augmentation."""
    pairs = [("deep_plain", "deep_augmented"), ("deep_tuned", "deep_both")]
    gaps = {id: _gap(found[id]) for pair in pairs for id in pair}
    measured = "; ".join(
        f"{id}: training {percent(summary.training_accuracy(found[id]))}, gap {points(gaps[id].value)}, "
        f"with augmentation {points(gaps[other].value)}"
        for id, other in pairs
    )
    effect = metrics.smallest(gaps[id] - gaps[other] for id, other in pairs)
    return Finding(measured, "smaller difference of gaps", effect)


def stops_early(found: Rows) -> Finding:
    """Measure which share of the epochs early stopping saves, and at what price."""
    early, fixed = found["deep_augmented"], found["deep_fixed_epochs"]
    all_epochs = np.mean([run.result["epochs"] for run in fixed])
    saved = [[1 - run.result["epochs"] / all_epochs] for run in early]
    price = summary.accuracy(early, "test") - summary.accuracy(fixed, "test")
    low, high = price.interval()
    used = np.mean([run.result["epochs"] for run in early])
    measured = (
        f"{used:.0f} instead of {all_epochs:.0f} epochs; test accuracy changes by {points(price.value)} "
        f"(95 % interval {points(low)} to {points(high)})"
    )
    stopped = any(run.result["epochs"] < run.experiment.epochs for run in early)
    why = "" if stopped else "early stopping ended no run before its last epoch"
    return Finding(measured, "share of epochs saved", metrics.ratio(saved), sampled=False, untested=why)


def large_batches(found: Rows) -> Finding:
    """Measure what every doubling of the batch costs: the slope of accuracy on log2 of the batch size.

    The trainings are the points, for another training of the same row lies elsewhere; other images would
    move the line as well.
    """
    trainings = [run for id in BATCHES for run in found[id]]
    doublings = np.log2([run.experiment.batch_size for run in trainings])
    correct = np.stack([one.correct for one in metrics.aligned([run.test for run in trainings])])
    slope = _steepness(doublings, correct.mean(axis=1), "batches")
    away = doublings - doublings.mean()
    by_image = metrics.ratio((away @ correct / (away**2).sum())[None])
    slope += by_image - by_image.value
    means = {id: np.mean([run.test.accuracy for run in found[id]]) for id in BATCHES}
    listed = ", ".join(f"{experiments.find(id).batch_size}: {percent(mean)}" for id, mean in means.items())
    measured = f"{listed}; {points(slope.value)} a doubling, from {len(trainings)} trainings"
    return Finding(measured, "the same, negated", -slope)


def stay_close(found: Rows) -> Finding:
    """Measure whether gaps are small in all rows but the deep ones without augmentation."""
    close, apart = ({id: _gap(found[id]) for id in ids} for ids in (CLOSE_ROWS, OPEN_ROWS))
    widest = max(close, key=lambda id: close[id].value)
    measured = (
        f"widest gap among the others: {widest}, {points(close[widest].value)}; "
        + ", ".join(f"{id} {points(gap.value)}" for id, gap in apart.items())
        + f"; {sum(gap.value < CLOSE for gap in close.values())} of {len(close)} others are close"
    )
    effects = [CLOSE - metrics.largest(close.values()), *(gap - CLOSE for gap in apart.values())]
    test = f"distance of the worst row from a gap of {100 * CLOSE:.0f} points"
    return Finding(measured, test, metrics.smallest(effects))


def _recalls(runs: Sequence[Run]) -> dict[str, Sampled]:
    """Recall of each class on PrivateTest, of one row."""
    tests = metrics.aligned([run.test for run in runs])
    correct, labels = np.stack([one.correct for one in tests]), tests[0].labels
    return {
        name: metrics.ratio(correct & (labels == code), np.broadcast_to(labels == code, correct.shape))
        for code, name in enumerate(tests[0].classes)
    }


def easiest(found: Rows) -> Finding:
    """Measure whether happy and surprise have the highest recalls."""
    best = summary.best_row(run for runs in found.values() for run in runs)
    recalls = _recalls(found[best])
    ranked = sorted(recalls, key=lambda name: -recalls[name].value)
    measured = f"recall of {best}: " + ", ".join(f"{name} {percent(recalls[name].value)}" for name in ranked)
    easy = metrics.smallest(recalls[name] for name in ("happy", "surprise"))
    effect = easy - metrics.largest(recalls[name] for name in set(recalls) - {"happy", "surprise"})
    return Finding(measured, "lower of the two minus the highest other", effect)


def goes_to(true: Sequence[str], targets: Sequence[str]):
    """Measure by how much mistakes on some classes go to certain others beyond what their images explain."""
    test = "share of mistakes minus chance" + (", the smallest" if len(true) > 1 else "")

    def measure(found: Rows) -> Finding:
        best = summary.best_row(run for runs in found.values() for run in runs)
        tests = metrics.aligned([run.test for run in found[best]])
        labels, classes = tests[0].labels, tests[0].classes
        texts, effects = [], []
        for name in true:
            code, others = classes.index(name), [classes.index(one) for one in targets if one != name]
            told = np.stack([one.predicted for one in tests])
            wrong = (labels == code) & (told != code)
            chance = np.isin(labels, others).sum() / (labels != code).sum()
            share = metrics.ratio(wrong & np.isin(told, others), wrong, row=best)
            each = [
                f"{classes[one]} {percent((wrong & (told == one)).sum() / wrong.sum())}" for one in others
            ]
            among = f"{percent(share.value)} of its mistakes" + f" ({', '.join(each)})" * (len(each) > 1)
            to = " or ".join(classes[other] for other in others)
            texts.append(f"{name} to {to}: {among}, {percent(chance)} by chance")
            effects.append(share - chance)
        return Finding(f"{best}: " + "; ".join(texts), test, metrics.smallest(effects))

    return measure
