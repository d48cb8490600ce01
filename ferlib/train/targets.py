"""What a network is taught and by what its epochs are judged: FER-2013's labels, or what ten people saw."""

from collections.abc import Iterable
from dataclasses import replace

import keras
import numpy as np

from ferlib.data import votes
from ferlib.data.fer2013 import Dataset, Split, subset
from ferlib.labels import CLASSES, FerlibError
from ferlib.train import predicting
from ferlib.train.experiments import Experiment

TARGETS = ("label", "crowd", "majority", "cleaned")
"""The label of FER-2013; the shares of people's votes; the emotion with most votes; the label where no other
answer has more votes. All but the first leave out images with too few votes for the seven emotions."""


def parts(row: Experiment, seed: int, dataset: Dataset) -> tuple[Split, Split]:
    """Return the images of training and of PublicTest that a run of a scaled row sees; the test split is not
    touched. Where fewer than all training images are wanted, the seed draws them.
    """
    train = dataset.train if row.classes is None else dataset.train.only(row.classes)
    train = taught(train, row.target)
    return subset(train, row.images or len(train), seed), judged(row, dataset.valid)


def judged(row: Experiment, split: Split) -> Split:
    """Return the images that a row is judged on: of its classes, as many as its profile takes.

    Args:
        row: Scaled to its profile.
        split: PublicTest or PrivateTest.
    """
    split = split if row.classes is None else split.only(row.classes)
    return subset(split, row.valid_images or len(split), 0)


def taught(split: Split, target: str) -> Split:
    """Return the images that teach a target, labelled by what they teach.

    Args:
        split: Training images.
        target: One of `TARGETS`.

    Returns:
        The same images for ``"label"``. Else those that the crowd gives an emotion: for ``"crowd"`` all, with
        their first emotion as the label; for ``"majority"`` those with a single first emotion, as the label;
        for ``"cleaned"`` those whose label has as many votes as any other answer, with that label.

    Raises:
        FerlibError: The images have no votes, or there is no such target.
    """
    if target not in TARGETS:
        raise FerlibError(f"there is nothing to teach called {target!r}; choose one of {', '.join(TARGETS)}")
    if target == "label":
        return split
    seen = _votes(split)
    enough, first = votes.enough(seen), votes.majority(seen)
    if target == "majority":
        return _chosen(split, enough & (first >= 0), first)
    if target == "cleaned":
        own = seen[np.arange(len(split)), split.labels]
        return _chosen(split, enough & (own == seen.max(axis=1)), split.labels)
    return _chosen(split, enough, votes.distribution(seen).argmax(axis=1))


def probabilities(split: Split, target: str) -> np.ndarray:
    """Return what a network is to answer for each image: float32 (n, k), rows sum to one.

    Args:
        split: From `taught`, or some of it.
        target: One of `TARGETS`.
    """
    if target == "crowd":
        return votes.distribution(_votes(split))
    return np.eye(len(split.classes), dtype="float32")[split.labels]


def lessons(row: Experiment, split: Split, teachers: Iterable[keras.Model] = ()) -> np.ndarray:
    """Return what a network is taught of each image, float32 (n, k): its row's target, mixed with what its
    teachers answer, who see every image and its mirror image.
    """
    own = probabilities(split, row.target)
    if row.teachers is None:
        return own
    id, _, share, _ = row.teachers
    answers = [predicting.predict_views(one, split, views="flip")[1].probabilities for one in teachers]
    if not answers:
        raise FerlibError(f"{row.id} learns from runs of {id}: train it with: ferlib train {row.id}")
    return (1 - share) * own + share * np.mean(answers, axis=0)


def truth(split: Split, target: str) -> np.ndarray:
    """Return the emotions by which an epoch is judged: int64 (n,), -1 where an image does not count.

    All targets but the label are judged by the crowd.
    """
    return np.asarray(split.labels) if target == "label" else votes.majority(_votes(split))


def _votes(split: Split) -> np.ndarray:
    if split.classes != CLASSES:
        raise FerlibError(f"people voted for all seven emotions, not for {', '.join(split.classes)} alone")
    seen = votes.of(split)
    if seen is None:
        raise FerlibError(
            f"nobody voted on these images ({split.name}): rows that learn from the crowd need FER-2013"
        )
    return seen


def _chosen(split: Split, which: np.ndarray, labels: np.ndarray) -> Split:
    return replace(split, labels=np.asarray(labels, "int64")).take(np.flatnonzero(which))
