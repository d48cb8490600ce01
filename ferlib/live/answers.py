"""Faces, photos and films as lists and tables, in the terminal, as CSV and as JSON."""

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ferlib.labels import FerlibError
from ferlib.live import media, naming
from ferlib.live.media import Frame
from ferlib.words import clock, printable

if TYPE_CHECKING:
    import pandas as pd

BOX = ("x", "y", "width", "height")
"""Columns of a box: left, top, width and height, pixels."""

FACE_COLUMNS = ("face", *BOX, "emotion", "confidence")
"""Columns of a face; the probabilities follow, one column an emotion."""


@dataclass(frozen=True)
class Face:
    """One face in an image and what the network says about it.

    Attributes:
        box: Left, top, width and height in pixels of the image.
        probabilities: Emotion to calibrated probability, 0 to 1; they sum to one.
        number: Which face it is, from 1: the same in all frames of a film; in a photo by size, the largest
            first. None if nobody counted.
    """

    box: tuple[int, int, int, int]
    probabilities: dict[str, float]
    number: int | None = None

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """Probability of that emotion, 0 to 1."""
        return self.probabilities[self.emotion]

    def said(self, least: float = 0.0) -> str:
        """Return the emotion, or ``"unsure"`` where its probability is below the least that counts."""
        return self.emotion if self.confidence >= least else "unsure"

    def row(self) -> dict[str, object]:
        """Return the face as columns: number, box, emotion, confidence, probabilities."""
        known = {"face": self.number, **dict(zip(BOX, self.box, strict=True))}
        return {**known, "emotion": self.emotion, "confidence": self.confidence, **self.probabilities}


class Faces(list[Face]):
    """The faces of one photo, the largest first."""

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas table, one row a face.

        Returns:
            ``face``, ``x``, ``y``, ``width``, ``height``, ``emotion``, ``confidence``, then a column an
            emotion with its probability.

        Raises:
            FerlibError: pandas is not installed.
        """
        return _table((face.row() for face in self), FACE_COLUMNS)


class Photos(list[Faces]):
    """The faces of several photos, in the order in which these were given.

    Attributes:
        names: Paths of the photos, or their numbers from 0 where pixels were given.
    """

    def __init__(self, faces: Iterable[Faces], names: Iterable[object]):
        super().__init__(faces)
        self.names = list(names)

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas table, one row a face: ``photo``, then as `Faces.to_frame`."""
        pairs = zip(self.names, self, strict=True)
        rows = ({"photo": name} | face.row() for name, people in pairs for face in people)
        return _table(rows, ("photo", *FACE_COLUMNS))


@dataclass(frozen=True)
class Moment:
    """One analysed frame of a film.

    Attributes:
        frame: Its position, from 0.
        seconds: Its time.
        faces: The faces in it, the largest first.
    """

    frame: int
    seconds: float
    faces: Faces


class Film(list[Moment]):
    """The analysed frames of a film, in order."""

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas table, one row a face and frame: ``frame``, ``seconds``, then as for `Faces`."""
        rows = ({"frame": at.frame, "seconds": at.seconds} | face.row() for at in self for face in at.faces)
        return _table(rows, ("frame", "seconds", *FACE_COLUMNS))


def _table(rows: Iterable[dict[str, object]], columns: tuple[str, ...]) -> "pd.DataFrame":
    """Return a table; one without rows has at least the columns that all have."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise FerlibError("tables need pandas: run pip install pandas, or read the list itself") from None
    rows = list(rows)
    return pd.DataFrame(rows, columns=None if rows else columns)


COLUMNS = ("file", "frame", "seconds", *FACE_COLUMNS)
"""First columns of the CSV; the probabilities follow, one column an emotion."""

NARROW, WIDE = 60, 100
"""Least and greatest width of the table, characters; in between it is as wide as the terminal."""


class Rows:
    """Where results go as soon as they are known: a table on stdout, and CSV and JSON lines if wanted.

    Of films, the table has a line when a face comes or changes its emotion; the files have every frame.
    """

    def __init__(
        self, classes: tuple[str, ...], bar: tqdm, csv_file: Path | None, json_file: Path | None, least: float
    ):
        self._classes, self._bar, self._least = classes, bar, least
        self._csv_file, self._json_file = csv_file, json_file
        self._csv = self._json = None
        self._count = 0
        self._film: tuple[Path, dict[int, str]] | None = None
        self._name = max(NARROW, min(WIDE, shutil.get_terminal_size((80, 24)).columns)) - 55

    def __enter__(self) -> "Rows":
        with ExitStack() as stack:
            if self._json_file:
                self._json = stack.enter_context(naming.unfinished(self._json_file, self._has_any))
            if self._csv_file:
                self._csv = csv.writer(stack.enter_context(naming.unfinished(self._csv_file, self._has_any)))
                with naming.named(self._csv_file):
                    self._csv.writerow((*COLUMNS, *self._classes))
            self._files = stack.pop_all()
        self._print(f"{'file':{self._name}} {'time':>7} {'face':>4}  {'box':19}  emotion")
        return self

    def __exit__(self, *problem) -> None:
        self._files.__exit__(*problem)

    def _has_any(self) -> bool:
        return self._count > 0

    def add(self, path: Path, frame: Frame, people: Faces, nobody: str) -> None:
        """Write the faces of one photo or frame of a file, or what is said where there are none."""
        self._print_table(path, frame, people, nobody)
        place = (str(path), frame.index, round(frame.seconds, 3))
        self._count += 1
        if self._csv:
            with naming.named(self._csv_file):
                self._csv.writerows((*place, *self._cells(face)) for face in people)
                if not people:
                    self._csv.writerow((*place, *[""] * (len(FACE_COLUMNS) + len(self._classes))))
        if self._json:
            line = dict(zip(COLUMNS, place, strict=False))
            line["faces"] = [self._as_json(face) for face in people]
            with naming.named(self._json_file):
                self._json.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _cells(self, face: Face) -> Iterator[object]:
        row = face.row() | {"emotion": face.said(self._least)}
        return (f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row.values())

    def _as_json(self, face: Face) -> dict:
        return {
            "face": face.number,
            "box": list(face.box),
            "emotion": face.said(self._least),
            "confidence": round(face.confidence, 6),
            "probabilities": {name: round(value, 6) for name, value in face.probabilities.items()},
        }

    def _print_table(self, path: Path, frame: Frame, people: Faces, nobody: str) -> None:
        room = self._name
        name = printable(str(path))
        name = name if len(name) <= room else "…" + name[1 - room :]
        moment = ""
        if media.is_video(path):
            moment = clock(frame.seconds)
            if (news := self._news(path, people)) is None:
                return
            people = news
        start = f"{name:{room}} {moment:>7}"
        for face in people:
            box = "{},{} {}x{}".format(*face.box)
            self._print(
                f"{start} {face.number:>4}  {box:19}  {face.said(self._least):8} {face.confidence:>5.0%}"
            )
        if not people:
            self._print(f"{start}       {nobody}")

    def _news(self, film: Path, people: Faces) -> Faces | None:
        """Return faces that came or changed since the frame before, none if all left, None if nothing is new.

        A line a frame would be thousands of lines of the same.
        """
        before = self._film[1] if self._film and self._film[0] == film else None
        now = {face.number: face.said(self._least) for face in people}
        self._film = film, now
        if now == before:
            return None
        news = Faces(face for face in people if (before or {}).get(face.number) != now[face.number])
        return news if news or not people else None

    def _print(self, line: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"  # a Windows pipe cannot show every file name
        line = printable(line.rstrip()).encode(encoding, "backslashreplace").decode(encoding)
        if self._bar.disable:
            print(line)
        else:
            self._bar.write(line, file=sys.stdout)
