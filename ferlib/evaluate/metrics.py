"""Scores of networks, paired tests, calibration, and the uncertainty of anything that is a ratio of counts.

A result depends on which images were tested and on the seed of the training. Both are drawn with
replacement (Owen 2007, "The pigeonhole bootstrap"): the images for all networks alike, which pairs the
comparisons, and the seeds for each row on its own. With few seeds their part comes out too small, by a
third with three of them; with one seed it is not there at all.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import optimize, special
from sklearn import metrics
from statsmodels.stats import contingency_tables, proportion
from statsmodels.stats.multitest import multipletests

from ferlib.train.predicting import Predictions
from ferlib.words import interval

BINS = 15
"""Of confidence, of equal width."""


def wilson(hits, total):
    """Return the shares of hits and their 95 % Wilson score intervals: three numbers, or three arrays.

    Source:
        Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    total = np.maximum(total, 1)
    return hits / total, *proportion.proportion_confint(hits, total, method="wilson")


def recall_intervals(predictions: Predictions) -> pd.DataFrame:
    """Return each class's recall with its 95 % interval, see `wilson`.

    Returns:
        Rows in alphabetical order of the classes that occur; columns ``recall``, ``low``, ``high`` (0 to 1)
        and ``support``.
    """
    hits = pd.Series(predictions.correct).groupby(np.array(predictions.classes)[predictions.labels])
    recall, low, high = wilson(hits.sum(), hits.size())
    table = pd.DataFrame({"recall": recall, "low": low, "high": high, "support": hits.size()})
    return table.rename_axis("class")


def confusion(predictions: Predictions, normalize: bool = True) -> pd.DataFrame:
    """Return the confusion matrix, true classes as rows, both axes alphabetical.

    It has shares of the true class, 0 to 1, or if not to ``normalize`` numbers of images.
    """
    names = np.array(predictions.classes)
    told = names[predictions.labels], names[predictions.predicted]
    names = sorted(names)
    counts = metrics.confusion_matrix(*told, labels=names, normalize="true" if normalize else None)
    return pd.DataFrame(counts, pd.Index(names, name="true"), pd.Index(names, name="predicted"))


def mcnemar(first: Predictions, second: Predictions) -> float:
    """Return the two-sided exact p-value that two networks, on the same images, are right equally often.

    Source:
        McNemar (1947); recommended for single runs by Dietterich (1998).
    """
    first, second = aligned([first, second])
    n01, n10 = (~first.correct & second.correct).sum(), (first.correct & ~second.correct).sum()
    return float(contingency_tables.mcnemar([[0, n01], [n10, 0]], exact=True).pvalue)


def holm(ps: pd.Series) -> pd.Series:
    """Correct p-values for their number; missing ones stay missing and don't count.

    Source:
        Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    known = ps.dropna()
    return pd.Series(multipletests(known, method="holm")[1], known.index).reindex(ps.index)


def expected_calibration_error(predictions: Predictions, hits: np.ndarray | None = None) -> float:
    """Return the mean distance of confidence and accuracy over confidence bins, 0 to 1.

    Other ``hits`` than by the labels say how right each prediction is, float (n,), 0 to 1.

    Source:
        Naeini et al. (2015), "Obtaining well calibrated probabilities using Bayesian binning".
    """
    hits, sure = predictions.correct if hits is None else hits, predictions.confidence.astype("float64")
    return float(np.abs((sure - hits) @ in_bins(sure)).sum() / len(sure))


def calibration_floor(predictions: Predictions) -> float:
    """Return the calibration error that a perfectly calibrated network of these confidences would show.

    Whether it is right is drawn from the confidences themselves, 200 times, so all that is left comes from
    few images in a bin.

    Source:
        Bröcker and Smith (2007), "Increasing the reliability of reliability diagrams"; there it is called
        consistency resampling.
    """
    sure = predictions.confidence.astype("float64")
    drawn = np.random.default_rng(0).random((200, len(sure))) < sure
    return float(np.abs((drawn - sure) @ in_bins(sure)).sum(axis=1).mean() / len(sure))


def fit_temperature(predictions: Predictions, shares: np.ndarray | None = None) -> float:
    """Return the temperature, 0.05 to 20, that makes the truth most likely; above 1 it softens.

    Fit it on PublicTest and apply it elsewhere with ``with_temperature``. The truth are the labels, or the
    ``shares`` of people who say each class, float (n, classes), whose rows sum to one.

    Source:
        Guo et al. (2017), "On calibration of modern neural networks".
    """
    logits = _log_probabilities(predictions)
    truth = np.eye(logits.shape[1])[predictions.labels] if shares is None else shares

    def loss(log_temperature):
        return -(truth * special.log_softmax(logits / np.exp(log_temperature), axis=1)).sum(axis=1).mean()

    bound = np.log(20)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-bound, bound)).x))


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Return predictions whose log-probabilities are divided by a temperature; no decision changes."""
    scaled = special.softmax(_log_probabilities(predictions) / temperature, axis=1).astype("float32")
    return Predictions(predictions.labels, scaled, predictions.names, predictions.classes)


def in_bins(confidence: np.ndarray) -> np.ndarray:
    """Say which of `BINS` holds each confidence, (n, bins)."""
    places = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.eye(BINS)[places]


def _log_probabilities(predictions):
    """Logits up to a constant per row; float16 records round small probabilities to zero."""
    return np.log(np.maximum(predictions.probabilities.astype("float64"), 1e-8))


def percentages(table: pd.DataFrame, name: str, decimals: int = 1) -> list[str]:
    """Write a column of shares as percentages, with the intervals ``_low`` to ``_high`` if it has some."""
    texts = []
    for _, row in table.iterrows():
        low, high = row.get(f"{name}_low", 0), row.get(f"{name}_high", 0)
        ends = f" ({interval(low, high, decimals)})" if high > low else ""
        texts.append(f"{100 * row[name]:.{decimals}f}{ends}")
    return texts


RESAMPLES = 4000
"""Draws behind every interval; p-values go down to 2 in 4001."""


@dataclass(frozen=True)
class Sampled:
    """A number and what it would have been with other images and seeds; adds and scales like a number."""

    value: float  # as measured
    samples: np.ndarray  # float64 (RESAMPLES,), as resampled

    def __add__(self, other):
        value, samples = (other.value, other.samples) if isinstance(other, Sampled) else (other, other)
        return Sampled(self.value + value, self.samples + samples)

    def __mul__(self, factor: float):
        return Sampled(self.value * factor, self.samples * factor)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + other * -1

    __radd__ = __add__

    def __rsub__(self, other: float):
        return -self + other

    def interval(self) -> tuple[float, float]:
        """Return the 95 % percentile interval."""
        low, high = np.quantile(self.samples, [(1 - 0.95) / 2, (1 + 0.95) / 2])
        return float(low), float(high)

    def fields(self) -> dict[str, float | str]:
        """Return what sentences say of it: ``value``, and its 95 % ``interval`` in percent."""
        return {"value": self.value, "interval": f"{interval(*self.interval())} %"}

    def p(self) -> float:
        """Return the two-sided p-value against zero: twice the share of resamples on its other side."""
        below, above = (self.samples <= 0).sum(), (self.samples >= 0).sum()
        return float(min(1.0, 2 * (1 + min(below, above)) / (RESAMPLES + 1)))


def at_most(p: float) -> bool:
    """Say whether a p-value of `Sampled.p` is the smallest that so few resamples can give."""
    return p <= 2 / (RESAMPLES + 1)


def ratio(numerators: np.ndarray, denominators: np.ndarray | None = None, *, row: str = "") -> Sampled:
    """Resample a ratio of sums over seeds and images: (s, n), one row a seed, one column an image.

    Without denominators, which are counts, it is a mean. Of equal names of a row the same seeds are drawn.
    """
    numerators = np.asarray(numerators, "float32")
    if denominators is None:
        denominators = np.ones_like(numerators)
    seeds, images = numerators.shape
    weights = _weights(images)
    above, below = weights @ numerators.T, weights @ np.asarray(denominators, "float32").T
    drawn = np.random.default_rng(zlib.crc32(row.encode())).integers(0, seeds, (RESAMPLES, seeds))
    above, below = (np.take_along_axis(sums, drawn, axis=1).sum(axis=1) for sums in (above, below))
    samples = above.astype("float64") / np.maximum(below, 1)  # counts; without any, the ratio is nothing
    value = numerators.sum(dtype="float64") / max(denominators.sum(dtype="float64"), 1)
    return Sampled(float(value), samples)


def smallest(several: Iterable[Sampled]) -> Sampled:
    """Return the smallest of several numbers, in each resample anew.

    It comes out smaller in resamples than measured where several are about equal: claims that need all of
    them to be large are judged a little severely.
    """
    several = list(several)
    return Sampled(min(one.value for one in several), np.min([one.samples for one in several], axis=0))


def largest(several: Iterable[Sampled]) -> Sampled:
    """Return the largest of several numbers, in each resample anew."""
    return -smallest(-one for one in several)


def aligned(predictions: Sequence[Predictions]) -> Sequence[Predictions]:
    """Return predictions, or raise a `ValueError` if they were not all made on the same images."""
    first = predictions[0]
    for other in predictions[1:]:
        if not (np.array_equal(first.names, other.names) and np.array_equal(first.labels, other.labels)):
            raise ValueError("only predictions for the same images in the same order can be compared")
    return predictions


@lru_cache(maxsize=2)
def _weights(images):
    """How often each resample draws each image, float32 (``RESAMPLES``, n)."""
    generator = np.random.default_rng(images)
    weights = np.empty((RESAMPLES, images), "float32")
    for row in weights:
        row[:] = np.bincount(generator.integers(0, images, images), minlength=images)
    return weights
