"""Predictions and what is said about them.

Labels and probabilities come from one pass over one split and stay in one object, so that they cannot
drift apart.
"""

import itertools
from dataclasses import dataclass

import keras
import numpy as np
from sklearn import metrics

from ferlib.data.fer2013 import Split, recoded
from ferlib.labels import FerlibError

VIEWS = ("single", "flip", "ten")
"""Test-time averages: the image; with its mirror image; five shifts, each with its mirror image."""


@dataclass(frozen=True)
class Predictions:
    """What one network says about one split, beside what the labels say.

    Attributes:
        labels: int64 (n,), positions in ``classes``.
        probabilities: float32 (n, k), rows sum to one.
        names: str (n,), the images' names, to join with an audit.
        classes: The k class names in code order.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    names: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self):
        expected = (len(self.labels), len(self.classes))
        if self.probabilities.shape != expected or len(self.names) != expected[0]:
            raise ValueError(
                f"{expected[0]} labels of {expected[1]} classes need as many names and probabilities "
                f"of shape {expected}; received {len(self.names)} names and shape {self.probabilities.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """Most probable class, int64 (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the most probable class, float32 (n,), 1/k to 1."""
        return self.probabilities.max(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether the most probable class is the label, bool (n,)."""
        return self.predicted == self.labels

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the label, 0 to 1."""
        return float(metrics.accuracy_score(self.labels, self.predicted))

    @property
    def macro_f1(self) -> float:
        """F1 averaged over all classes with equal weight, 0 to 1."""
        return self._average(metrics.f1_score, range(len(self.classes)))

    @property
    def balanced_accuracy(self) -> float:
        """Recall averaged over the classes that occur, 0 to 1."""
        return self._average(metrics.recall_score, np.unique(self.labels))

    def _average(self, score, classes) -> float:
        options = {"labels": classes, "average": "macro", "zero_division": 0}
        return float(score(self.labels, self.predicted, **options))

    def take(self, selection) -> "Predictions":
        """Return the predictions of some images.

        Args:
            selection: bool mask (n,) or integer positions (m,), as NumPy indexing takes them.
        """
        selection = np.asarray(selection)
        return Predictions(
            self.labels[selection], self.probabilities[selection], self.names[selection], self.classes
        )

    def among(self, classes: tuple[str, ...]) -> "Predictions":
        """Return the predictions on images of some classes, where only these may be chosen from.

        Args:
            classes: Some of the classes, in the order that the result has.
        """
        labels = recoded(self.labels, self.classes, classes)
        kept, places = labels >= 0, [self.classes.index(name) for name in classes]
        chances = np.maximum(self.probabilities[kept][:, places], np.finfo("float32").tiny)
        chances /= chances.sum(axis=1, keepdims=True)
        return Predictions(labels[kept], chances, self.names[kept], tuple(classes))


def predict(model: keras.Model, split: Split) -> Predictions:
    """Run a network once over a split; see `predict_views`."""
    return predict_views(model, split, views="single")[0]


def predict_views(model: keras.Model, split: Split, *, views: str) -> tuple[Predictions, Predictions]:
    """Return predictions on the images alone and averaged over views.

    Args:
        model: Network from images of 0..255 to class probabilities.
        split: Images with labels; its classes must be the network's.
        views: Test-time augmentation, one of ``VIEWS``: ``"single"``; ``"flip"`` averages the image and its
            mirror image; ``"ten"`` averages the ten-crop of the image padded by two pixels at each edge.

    Raises:
        FerlibError: The network's number of classes is not the split's.
    """
    if model.output_shape[-1] != len(split.classes):
        raise FerlibError(
            f"The network tells {model.output_shape[-1]} classes apart but the images have "
            f"{len(split.classes)} ({', '.join(split.classes)}); choose the images of its classes "
            "with split.only(...)."
        )
    images = np.asarray(split.images)
    alone, total = None, np.zeros((len(images), len(split.classes)))
    for view in _views(images, views):
        answers = outputs(model, view)
        alone = answers if alone is None else alone
        total += answers
    return tuple(
        Predictions(
            np.asarray(split.labels),
            (sums / sums.sum(axis=1, keepdims=True)).astype("float32"),
            np.asarray(split.names),
            split.classes,
        )
        for sums in (alone.astype("float64"), total)
    )


def outputs(model: keras.Model, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Run a network over images, batch by batch, without tf.data, whose autotuner delays the end.

    Args:
        model: Network with one output.
        images: What it takes, (n, ...).
        batch_size: Images a step. The last batch is padded to this size, so that nothing compiles twice.

    Returns:
        float32 (n, ...).
    """
    padding = -len(images) % batch_size
    padded = np.concatenate([images, np.zeros((padding, *images.shape[1:]), images.dtype)])
    starts = range(0, len(padded), batch_size)
    parts = [model.predict_on_batch(padded[start : start + batch_size]) for start in starts]
    return np.concatenate(parts)[: len(images)].astype("float32")


def _views(images, views):
    """Yield each view of all images, uint8 (n, 48, 48, 1)."""
    if views not in VIEWS:
        raise ValueError(f"views must be one of {', '.join(VIEWS)}; received {views!r}")
    crops = [images]
    if views == "ten":
        height, width = images.shape[1:3]
        padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
        corners = itertools.product((4, 0), repeat=2)
        crops += [padded[:, top : top + height, left : left + width] for top, left in corners]
    for crop in crops:
        yield crop
        if views != "single":
            yield crop[:, :, ::-1]
