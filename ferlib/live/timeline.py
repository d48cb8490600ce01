"""How long each face of a film shows each emotion: a table and a small picture."""

import csv
from pathlib import Path

import cv2
import numpy as np

from ferlib.colours import DARK_TEXT, PAPER, UNSURE, bgr, palette
from ferlib.labels import FerlibError
from ferlib.live.answers import Faces
from ferlib.live.media import write_photo
from ferlib.paths import written_atomically

MOST_DRAWN = 40
"""Faces that get a row in the picture; the table has all."""

WIDTH, LEFT, ROW, TOP = 960, 190, 26, 64
"""Pixels: of the whole picture, of the names, of a face, and of the legend."""


def picture_beside(table: str | Path) -> Path:
    """Return where the picture of a table of films goes.

    Raises:
        FerlibError: The table has a picture's name itself.
    """
    if Path(table).suffix.lower() == ".png":
        raise FerlibError(f"{table}: a summary is a table with a picture beside it; give it a name in .csv")
    return Path(table).with_suffix(".png")


class Timeline:
    """Collects the faces of films, frame after frame.

    Args:
        classes: Names of the emotions.
        least: Probability from which an emotion is named; below it a face is unsure.
    """

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
        """Write the rows as CSV, and a picture beside it.

        Args:
            target: The CSV; the picture has its name with ``.png``.

        Raises:
            OSError: They cannot be written.
        """
        columns = ("file", "face", "from", "to", "seen", *self._classes, "unsure")
        with (
            written_atomically(target) as temporary,
            open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows())
        if self._films:
            write_photo(picture_beside(target), self.picture())

    def picture(self) -> np.ndarray:
        """Draw a row a face, time to the right, coloured by emotion; uint8 (height, 960, 3)."""
        spans = dict(list(self.spans().items())[:MOST_DRAWN])
        end = max((moments[-1][0] for moments in self._films.values()), default=0.0)
        end = max([end, *(row[-1][1] for row in spans.values())]) or 1.0
        image = np.full((TOP + ROW * max(1, len(spans)) + 34, WIDTH, 3), PAPER, np.uint8)
        self._legend(image)
        several = len(self._films) > 1
        for number, ((film, face), row) in enumerate(spans.items()):
            top = TOP + ROW * number
            name = f"{film.stem[:14]}, face {face}" if several else f"face {face}"
            _write(image, name, 12, top + 17)
            for start, stop, emotion in row:
                left, right = (round(LEFT + (WIDTH - LEFT - 20) * moment / end) for moment in (start, stop))
                colour = bgr(self._colours[emotion])
                cv2.rectangle(
                    image, (left, top + 3), (max(left, right - 1), top + ROW - 4), colour, cv2.FILLED
                )
        for moment in np.linspace(0, end, 5):
            x = round(LEFT + (WIDTH - LEFT - 20) * moment / end)
            _write(image, f"{int(moment // 60)}:{moment % 60:04.1f}", min(x, WIDTH - 60), len(image) - 12)
        return image

    def _legend(self, image: np.ndarray) -> None:
        step = (WIDTH - 24) // (len(self._classes) + 1)
        for number, name in enumerate((*self._classes, "unsure")):
            left = 12 + step * number
            cv2.rectangle(image, (left, 18), (left + 14, 32), bgr(self._colours[name]), cv2.FILLED)
            _write(image, name, left + 20, 30)


def _write(image: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.44, DARK_TEXT, 1, cv2.LINE_AA)
