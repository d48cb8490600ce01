"""Uncertainty of anything that is a ratio of counts over images: resamples of images and of seeds.

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

from ferlib.train.predicting import Predictions

RESAMPLES = 4000
"""Draws behind every interval; p-values go down to 2 in 4001."""


@dataclass(frozen=True)
class Sampled:
    """A number and what it would have been with other images and seeds; adds and scales like a number.

    Attributes:
        value: As measured.
        samples: float64 (``RESAMPLES``,), as resampled.
    """

    value: float
    samples: np.ndarray

    def __add__(self, other):
        value, samples = (other.value, other.samples) if isinstance(other, Sampled) else (other, other)
        return Sampled(self.value + value, self.samples + samples)

    def __mul__(self, factor: float):
        return Sampled(self.value * factor, self.samples * factor)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + other * -1

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float):
        return -self + other

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval."""
        low, high = np.quantile(self.samples, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def p(self) -> float:
        """Return the two-sided p-value against zero: twice the share of resamples on its other side."""
        below, above = (self.samples <= 0).sum(), (self.samples >= 0).sum()
        return float(min(1.0, 2 * (1 + min(below, above)) / (RESAMPLES + 1)))


def ratio(numerators: np.ndarray, denominators: np.ndarray | None = None, *, row: str = "") -> Sampled:
    """Resample a ratio of sums over seeds and images.

    Args:
        numerators: (s, n), one row a seed, one column an image.
        denominators: Counts, likewise; None divides by the number of images.
        row: Name of what is resampled. Equal names draw the same seeds.
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


def accuracy(predictions: Sequence[Predictions], *, row: str = "") -> Sampled:
    """Resample the mean accuracy of one row's seeds."""
    return ratio(np.stack([one.correct for one in aligned(predictions)]), row=row)


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
    """Return predictions that were all made on the same images.

    Raises:
        ValueError: They were not.
    """
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
