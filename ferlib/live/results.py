"""Where results of `ferlib predict` go as soon as they are known: a table, CSV and JSON lines."""

import csv
import json
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from ferlib.labels import FerlibError
from ferlib.live import media
from ferlib.live.answers import BOX, Face, Faces
from ferlib.live.media import Frame

COLUMNS = ("file", "frame", "seconds", "face", *BOX, "emotion", "confidence")
"""First columns of the CSV; the probabilities follow, one column an emotion."""

NARROW, WIDE = 60, 100
"""Least and greatest width of the table, characters; in between it is as wide as the terminal."""

PARTIAL = ".partial"
"""What the names of files end in that are not finished."""


class Rows:
    """Where results go as soon as they are known: a table on stdout, and CSV and JSON lines if wanted.

    The files are called ``NAME.partial`` until they are whole; interrupted ones keep that name, and the lines
    that were finished.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        bar: tqdm,
        csv_file: str | Path | None,
        json_file: str | Path | None,
        least: float = 0.0,
    ):
        self._classes, self._bar, self._least = classes, bar, least
        self._csv_file, self._json_file = csv_file, json_file
        self._csv = self._json = None
        self._opened, self._count = [], 0
        self._name = max(NARROW, min(WIDE, shutil.get_terminal_size((80, 24)).columns)) - 55

    def __enter__(self) -> "Rows":
        with ExitStack() as stack:
            if self._csv_file:
                self._csv = csv.writer(self._open(stack, Path(self._csv_file)))
                self._csv.writerow((*COLUMNS, *self._classes))
            if self._json_file:
                self._json = self._open(stack, Path(self._json_file))
            self._files = stack.pop_all()
        self._print(f"{'file':{self._name}} {'time':>7} {'face':>4}  {'box':19}  emotion")
        return self

    def __exit__(self, kind, *problem) -> None:
        self._files.close()
        for file, target in self._opened:
            if kind is None:
                os.replace(file.name, target)
            elif self._count == 0:
                Path(file.name).unlink()
            else:
                print(f"ferlib: what was finished is kept in {file.name}", file=sys.stderr)

    def _open(self, stack: ExitStack, target: Path):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path = target.with_name(target.name + PARTIAL)
            file = stack.enter_context(
                path.open("w", encoding="utf-8", errors="backslashreplace", newline="", buffering=1)
            )
        except OSError as error:
            raise FerlibError(f"{target}: cannot be written ({error.strerror})") from None
        self._opened.append((file, target))
        return file

    def add(self, path: Path, frame: Frame, people: Faces, nobody: str = "no face") -> None:
        """Write the faces of one photo or frame.

        Args:
            path: The file.
            frame: The photo or frame.
            people: Its faces.
            nobody: What to say where there are none.
        """
        self._print_table(path, frame, people, nobody)
        place = (str(path), frame.index, round(frame.seconds, 3))
        self._count += 1
        if self._csv:
            for face in people:
                values = [face.confidence, *(face.probabilities[name] for name in self._classes)]
                said = (face.number, *face.box, face.said(self._least))
                self._csv.writerow((*place, *said, *(f"{value:.6f}" for value in values)))
            if not people:
                self._csv.writerow((*place, *[""] * (len(COLUMNS) - 3 + len(self._classes))))
        if self._json:
            line = dict(zip(COLUMNS, place, strict=False))
            line["faces"] = [_as_json(face, self._least) for face in people]
            self._json.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _print_table(self, path: Path, frame: Frame, people: Faces, nobody: str) -> None:
        room = self._name
        name = str(path) if len(str(path)) <= room else "…" + str(path)[1 - room :]
        moment = f"{int(frame.seconds // 60)}:{frame.seconds % 60:04.1f}" if media.is_video(path) else ""
        start = f"{name:{room}} {moment:>7}"
        for face in people:
            box = "{},{} {}x{}".format(*face.box)
            self._print(
                f"{start} {face.number:>4}  {box:19}  {face.said(self._least):8} {face.confidence:>5.0%}"
            )
        if not people:
            self._print(f"{start}       {nobody}")

    def _print(self, line: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"  # a Windows pipe cannot show every file name
        line = line.rstrip().encode(encoding, "backslashreplace").decode(encoding)
        if self._bar.disable:
            print(line)
        else:
            self._bar.write(line, file=sys.stdout)


def _as_json(face: Face, least: float) -> dict:
    return {
        "face": face.number,
        "box": list(face.box),
        "emotion": face.said(least),
        "confidence": round(face.confidence, 6),
        "probabilities": {name: round(value, 6) for name, value in face.probabilities.items()},
    }
