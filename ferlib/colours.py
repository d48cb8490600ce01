"""One colour an emotion, told apart with any colour vision, also for pictures drawn without matplotlib."""

from collections.abc import Sequence
from itertools import cycle

EMOTIONS = {
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#7F7F7F",
}
"""Emotion to colour (Okabe and Ito 2008)."""

UNSURE = "#D9D9D9"
"""Colour of a face whose emotion is too uncertain to be named."""

PAPER, DARK_TEXT = (255, 255, 255), (40, 40, 40)
"""Background and text, blue green red."""


def palette(classes: Sequence[str]) -> dict[str, str]:
    """Return class to colour: emotions have their own, other classes those that are left over, in turns."""
    left = cycle([colour for name, colour in EMOTIONS.items() if name not in classes] or EMOTIONS.values())
    return {name: EMOTIONS.get(name) or next(left) for name in classes}


def bgr(colour: str) -> tuple[int, int, int]:
    """Return a colour such as ``#D55E00`` as blue, green, red."""
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
