"""The names of things: emotions in code order and their colours, splits, and the error that users may see."""

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Emotion names; the position is the code in ``fer2013.csv`` (Goodfellow et al. 2013)."""

COLOURS = {
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#7F7F7F",
}
"""Emotion to its colour, told apart with any colour vision (Okabe and Ito 2008)."""

RESERVED = (
    *("photo", "file", "frame", "seconds", "face", "faces", "x", "y", "width", "height", "emotion"),
    *("confidence", "probabilities", "unsure", "from", "to", "seen", "total"),
)
"""Words with a meaning in answers and tables, where classes are columns, too: no class is called so."""

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
