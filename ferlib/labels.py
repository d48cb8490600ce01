"""The names of things: emotions in code order, splits, and the error that users may see."""

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Emotion names; the position is the code in ``fer2013.csv`` (Goodfellow et al. 2013)."""

TOP_FOUR = ("happy", "neutral", "sad", "fear")
"""The four most frequent emotions of the training split, the most frequent first."""

SPLITS = ("train", "valid", "test")
"""Split names in code order: Training, PublicTest and PrivateTest of the original data set."""

KAGGLE_SPLITS = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
"""Usage column of ``fer2013.csv``, and prefix of Kaggle's file names, to split name."""

IMAGE_SIZE = 48
"""Height and width of every image, pixels."""


class FerlibError(Exception):
    """A problem that the user can mend: one sentence saying what, where, and what to do."""
