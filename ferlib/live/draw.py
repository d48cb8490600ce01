"""What is drawn: a blue box around each face, its emotion, bars of all probabilities, and films at a glance.

That is how long each face of a film shows each emotion, as a table and a small picture.
"""

import csv
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from ferlib.faces import common
from ferlib.labels import COLOURS
from ferlib.live.answers import Face, Faces
from ferlib.live.media import write_photo
from ferlib.paths import written_atomically
from ferlib.words import clock

BLUE, WHITE, GREY = (235, 99, 37), (255, 255, 255), (150, 150, 150)
DARK, DARK_BLUE = (30, 24, 20), (70, 48, 36)
"""Colours, blue green red."""

PAPER, DARK_TEXT = (255, 255, 255), (40, 40, 40)
"""Background and text of the picture of a film, likewise."""

UNSURE = "#D9D9D9"
"""Colour of a face whose emotion is too uncertain to be named."""

FONT = cv2.FONT_HERSHEY_SIMPLEX
SCREEN, TEXT_SIZES = 1280, (0.42, 1.1)
"""Longer side, pixels, at which a picture is looked at, and the least and greatest size of labels there."""

PANEL_SHARE = 0.42
"""Width of the panel of bars as a share of the picture's height."""


def annotated(
    image: np.ndarray, faces: list[Face], scale: float = 1, least: float = 0.0, numbered: bool = False
) -> np.ndarray:
    """Return a copy of a picture with a box, the emotion and its probability at each face.

    Args:
        image: uint8 (height, width, 3), blue, green, red.
        faces: Faces to mark.
        scale: Pixels in which the boxes are given per pixel of the image.
        least: Probability from which an emotion is named.
        numbered: Write the number of each face, too, which is always done where there are several.

    Returns:
        uint8 (height, width, 3).
    """
    image = image.copy()
    unit = max(image.shape[:2]) / SCREEN
    thickness = max(2, round(2.5 * unit))
    boxes = [tuple(round(side / scale) for side in face.box) for face in faces]
    for x, y, width, height in boxes:
        cv2.rectangle(image, (x, y), (x + width, y + height), BLUE, thickness, cv2.LINE_AA)
    taken = list(boxes)
    told = numbered or len(faces) > 1
    for face, box in zip(faces, boxes, strict=True):
        size = float(np.clip(box[2] / 200, *(limit * max(unit, 1) for limit in TEXT_SIZES)))
        tried = [_placed(image, text, box, size, thickness, taken) for text in _wordings(face, least, told)]
        taken.append(_label(image, *min(tried, key=lambda one: one[0])[1:]))
    return image


def _wordings(face: Face, least: float, numbered: bool) -> list[str]:
    """Return what a label may say, from the whole to the least; the first that hides nothing is taken."""
    number = f"{face.number} " if face.number and numbered else ""
    emotion = number + face.said(least)
    return [f"{emotion} {face.confidence:.0%}", emotion, *([number.strip()] if number else [])]


def _placed(
    image: np.ndarray, text: str, box: tuple, size: float, edge: int, taken: list[tuple]
) -> tuple[float, str, float, int, int]:
    """Return pixels that a label hides of faces and labels at its best place, text, size, left and top."""
    while size > TEXT_SIZES[0] / 2 and _extent(text, size)[0] > image.shape[1]:
        size *= 0.9
    width, height, *_ = _extent(text, size)
    x, y, box_width, box_height = box
    left, right = x - edge // 2, x + box_width - width + edge // 2
    over, under = y - height, y + box_height
    places = [(left, over), (left, under), (right, over), (right, under)]
    places += [(x - width, y), (x + box_width, y), (left, y)]
    most = (max(0, image.shape[1] - width), max(0, image.shape[0] - height))
    inside = np.clip(places, 0, most).tolist()
    hidden = [sum(common((*corner, width, height), other) for other in taken) for corner in inside]
    best = int(np.argmin(hidden))
    return hidden[best], text, size, *inside[best]


def _label(image: np.ndarray, text: str, size: float, left: int, top: int) -> tuple:
    """Write white on blue; return the box of the label."""
    width, height, below, pad = _extent(text, size)
    _bar(image, left, left + width, top, height, BLUE)
    origin = (left + pad, top + height - below - pad)
    cv2.putText(image, text, origin, FONT, size, WHITE, _stroke(size), cv2.LINE_AA)
    return left, top, width, height


def _stroke(size: float) -> int:
    return max(1, round(1.6 * size))


def _extent(text: str, size: float) -> tuple[int, int, int, int]:
    """Return width and height of a label, the depth of its letters below the line, and its rim, pixels."""
    (width, height), below = cv2.getTextSize(text, FONT, size, _stroke(size))
    pad = max(2, round(6 * size))
    return width + 2 * pad, height + below + 2 * pad, below, pad


def live_view(image: np.ndarray, faces: list[Face], rate: float) -> np.ndarray:
    """Return the view of the webcam: the annotated picture, and beside it bars of as many faces as fit.

    Args:
        image: uint8 (height, width, 3), blue, green, red.
        faces: Faces in the picture.
        rate: Frames a second to show.

    Returns:
        uint8 (height, width + panel, 3).
    """
    height = image.shape[0]
    width = 2 * round(height * PANEL_SHARE / 2)  # video encoders want even sizes
    panel = np.full((height, width, 3), DARK, np.uint8)
    unit = height / 480
    top = round(12 * unit)
    for face in faces:
        needed = round((34 + 24 * len(face.probabilities)) * unit)
        if top + needed > height - 30 * unit:
            break
        _bars(panel, face, top, unit)
        top += needed
    if not faces:
        _write(panel, "no face", 14 * unit, 30 * unit, 0.6 * unit, WHITE)
    _write(panel, f"{rate:.0f} frames a second", 14 * unit, height - 12 * unit, 0.42 * unit, GREY)
    return np.hstack([annotated(image, faces), panel])


def _bars(panel: np.ndarray, face: Face, top: int, unit: float) -> None:
    number = f"{face.number}  " if face.number else ""
    title = f"{number}{face.emotion} {face.confidence:.0%}"
    _write(panel, title, 14 * unit, top + 18 * unit, 0.6 * unit, WHITE)
    left, right = 86 * unit, panel.shape[1] - 14 * unit
    for row, (name, probability) in enumerate(face.probabilities.items()):
        y = top + (34 + 24 * row) * unit
        colour = WHITE if name == face.emotion else GREY
        _write(panel, name, 14 * unit, y + 11 * unit, 0.42 * unit, colour)
        _bar(panel, left, right, y, 12 * unit, DARK_BLUE)
        _bar(panel, left, left + (right - left) * probability, y, 12 * unit, BLUE)


def _bar(panel: np.ndarray, left: float, right: float, top: float, height: float, colour: tuple) -> None:
    corners = (round(left), round(top)), (round(right), round(top + height))
    cv2.rectangle(panel, *corners, colour, cv2.FILLED)


def _write(image: np.ndarray, text: str, x: float, y: float, size: float, colour: tuple) -> None:
    stroke = max(1, round(2 * size))
    cv2.putText(image, text, (round(x), round(y)), FONT, size, colour, stroke, cv2.LINE_AA)


MOST_DRAWN = 40
"""Faces that get a row in the picture; the table has all."""

WIDTH, LEFT, ROW, TOP = 960, 190, 26, 64
"""Pixels: of the whole picture, of the names, of a face, and of the legend."""


def palette(classes: Sequence[str]) -> dict[str, str]:
    """Return class to colour: emotions have their own, other classes those that are left over, in turns."""
    left = cycle([colour for name, colour in COLOURS.items() if name not in classes] or COLOURS.values())
    return {name: COLOURS.get(name) or next(left) for name in classes}


def _bgr(colour: str) -> tuple[int, int, int]:
    """Return a colour such as ``#D55E00`` as blue, green, red."""
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)


class Timeline:
    """Collects the faces of films, frame after frame; below the least probability a face is unsure."""

    def __init__(self, classes: tuple[str, ...], least: float = 0.0):
        self._classes, self._least = classes, least
        self._colours = palette(classes) | {"unsure": UNSURE}
        self._films: dict[Path, list[tuple[float, Faces]]] = {}

    def add(self, film: Path, seconds: float, people: Faces) -> None:
        """Note the faces of one analysed frame."""
        self._films.setdefault(film, []).append((seconds, people))

    def spans(self) -> dict[tuple[Path, int], list[tuple[float, float, str]]]:
        """Return film and face to the spans in which it is seen: start, end, and emotion or ``unsure``.

        A frame lasts until the next one, the last as long as frames usually do.
        """
        spans: dict[tuple[Path, int], list[tuple[float, float, str]]] = {}
        for film, moments in self._films.items():
            times = np.array([seconds for seconds, _ in moments])
            usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
            for (start, people), end in zip(moments, [*times[1:], times[-1] + usual], strict=True):
                for face in people:
                    row = spans.setdefault((film, face.number), [])
                    emotion = face.said(self._least)
                    if row and row[-1][1:] == (start, emotion):
                        row[-1] = (row[-1][0], float(end), emotion)
                    else:
                        row.append((start, float(end), emotion))
        return spans

    def rows(self) -> list[dict[str, object]]:
        """Return one row a face: film, face, when it is first and last seen, and seconds of each emotion."""
        rows = []
        for (film, face), spans in self.spans().items():
            lasted = dict.fromkeys((*self._classes, "unsure"), 0.0)
            for start, end, emotion in spans:
                lasted[emotion] += end - start
            times = {"from": spans[0][0], "to": spans[-1][1], "seen": sum(lasted.values())}
            numbers = {name: round(value, 3) for name, value in (times | lasted).items()}
            rows.append({"file": str(film), "face": face, **numbers})
        return rows

    def write(self, target: Path) -> None:
        """Write the rows as CSV, and a picture of its name with ``.png`` beside it."""
        columns = ("file", "face", "from", "to", "seen", *self._classes, "unsure")
        with (
            written_atomically(target) as temporary,
            open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows())
        if self._films:
            write_photo(target.with_suffix(".png"), self.picture())

    def picture(self) -> np.ndarray:
        """Draw a row a face, time to the right, coloured by emotion; uint8 (height, 960, 3)."""
        spans = dict(list(self.spans().items())[:MOST_DRAWN])
        end = max((moments[-1][0] for moments in self._films.values()), default=0.0)
        end = max([end, *(row[-1][1] for row in spans.values())]) or 1.0
        image = np.full((TOP + ROW * max(1, len(spans)) + 34, WIDTH, 3), PAPER, np.uint8)
        self._legend(image)
        several = len(self._films) > 1

        def across(moment: float) -> int:
            return round(LEFT + (WIDTH - LEFT - 20) * moment / end)

        for number, ((film, face), row) in enumerate(spans.items()):
            top = TOP + ROW * number
            name = f"{film.stem[:14]}, face {face}" if several else f"face {face}"
            _write(image, name, 12, top + 17, 0.44, DARK_TEXT)
            for *times, emotion in row:
                left, right = (across(moment) for moment in times)
                _bar(image, left, max(left, right - 1), top + 3, ROW - 7, _bgr(self._colours[emotion]))
        for moment in np.linspace(0, end, 5):
            x = min(across(moment), WIDTH - 60)
            _write(image, clock(moment), x, len(image) - 12, 0.44, DARK_TEXT)
        return image

    def _legend(self, image: np.ndarray) -> None:
        step = (WIDTH - 24) // (len(self._classes) + 1)
        for number, name in enumerate((*self._classes, "unsure")):
            left = 12 + step * number
            _bar(image, left, left + 14, 18, 14, _bgr(self._colours[name]))
            _write(image, name, left + 20, 30, 0.44, DARK_TEXT)
