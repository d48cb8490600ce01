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
from ferlib.words import listed, percent, points

CLOSE = 0.05
"""Training and validation accuracy closer than this count as close."""

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
        measured: The numbers and, where they don't say it, what the effect is.
        effect: Positive where the claim is right.
    """

    measured: str
    effect: Sampled


def better(first: str, second: str):
    """Measure whether the first row is more accurate on PrivateTest than the second."""

    def measure(found: Rows) -> Finding:
        one, two = (summary.accuracy(found[id], "test") for id in (first, second))
        measured = f"{first} {percent(one.value)} against {second} {percent(two.value)}"
        return Finding(measured, one - two)

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


def overfits(found: Rows) -> Finding:
    """Measure how much larger the gap is without augmentation."""
    pairs = [("deep_plain", "deep_augmented"), ("deep_tuned", "deep_both")]
    gaps = {id: _gap(found[id]) for pair in pairs for id in pair}
    measured = "gaps, and those with augmentation: " + "; ".join(
        f"{id} {points(gaps[id].value)}, {points(gaps[other].value)}" for id, other in pairs
    )
    return Finding(measured, metrics.smallest(gaps[id] - gaps[other] for id, other in pairs))


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
    sizes = ", ".join(f"{experiments.find(id).batch_size}: {percent(mean)}" for id, mean in means.items())
    return Finding(f"{sizes}; loss a doubling, from {len(trainings)} trainings", -slope)


def stay_close(found: Rows) -> Finding:
    """Measure whether gaps are small in all rows but the deep ones without augmentation."""
    close, apart = ({id: _gap(found[id]) for id in ids} for ids in (CLOSE_ROWS, OPEN_ROWS))
    widest = max(close, key=lambda id: close[id].value)
    near = sum(gap.value < CLOSE for gap in close.values())
    measured = (
        f"{near} of the {len(close)} others have a gap below {100 * CLOSE:.0f} points, {widest} one of "
        f"{points(close[widest].value)}; distance of the worst from that limit"
    )
    effects = [CLOSE - metrics.largest(close.values()), *(gap - CLOSE for gap in apart.values())]
    return Finding(measured, metrics.smallest(effects))


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
    recalls = _recalls(_best(found))
    easy = {name: recalls.pop(name) for name in ("happy", "surprise")}
    following = max(recalls, key=lambda name: recalls[name].value)
    named = easy | {following: recalls[following]}
    measured = "recall of " + ", ".join(f"{name} {percent(recall.value)}" for name, recall in named.items())
    effect = metrics.smallest(easy.values()) - metrics.largest(recalls.values())
    return Finding(f"{measured}; lower of the two minus the highest other", effect)


def goes_to(*ways: tuple[str, str]):
    """Measure by how much more often mistakes on one class go to another than mistakes on the rest do.

    A network that is too fond of a class takes everything for it; only what goes beyond that says that two
    classes look alike.

    Args:
        ways: A true class and the class it is mistaken for; of several ways, the smallest excess counts.
    """

    def measure(found: Rows) -> Finding:
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
        return Finding(f"{here} of the mistakes, {elsewhere} of those on other classes", excess)

    return measure


def _best(found: Rows) -> Sequence[Run]:
    return found[summary.best_row(run for runs in found.values() for run in runs)]
