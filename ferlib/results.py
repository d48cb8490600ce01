"""Where results of `ferlib predict` go as soon as they are known: a table, CSV and JSON lines."""

import csv
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from ferlib import media
from ferlib.labels import FerlibError
from ferlib.media import Frame
from ferlib.network import Face
from ferlib.paths import written_atomically

COLUMNS = ("file", "frame", "seconds", "x", "y", "width", "height", "emotion", "confidence")
"""First columns of the CSV; the probabilities follow, one column an emotion."""


class Rows:
    """Where results go as soon as they are known: a table on stdout, and CSV and JSON lines if wanted."""

    def __init__(
        self, classes: tuple[str, ...], bar: tqdm, csv_file: str | Path | None, json_file: str | Path | None
    ):
        self._classes, self._bar = classes, bar
        self._csv_file, self._json_file = csv_file, json_file
        self._csv = self._json = None

    def __enter__(self) -> "Rows":
        with ExitStack() as stack:
            if self._csv_file:
                self._csv = csv.writer(_opened(stack, self._csv_file))
                self._csv.writerow((*COLUMNS, *self._classes))
            if self._json_file:
                self._json = _opened(stack, self._json_file)
            self._files = stack.pop_all()
        heading = " ".join(f"{name:>8}" for name in self._classes)
        self._print(f"{'file':28} {'frame':>6} {'time':>8}  {'box':20} {'emotion':9} {heading}")
        return self

    def __exit__(self, *problem) -> None:
        self._files.__exit__(*problem)

    def add(self, path: Path, frame: Frame, people: list[Face]) -> None:
        """Write the faces of one photo or frame."""
        self._print_table(path, frame, people)
        place = (str(path), frame.index, round(frame.seconds, 3))
        if self._csv:
            for face in people:
                values = [face.confidence, *(face.probabilities[name] for name in self._classes)]
                self._csv.writerow((*place, *face.box, face.emotion, *(f"{value:.6f}" for value in values)))
            if not people:
                self._csv.writerow((*place, *[""] * (len(COLUMNS) - 3 + len(self._classes))))
        if self._json:
            line = dict(zip(COLUMNS, place, strict=False)) | {"faces": [_as_json(face) for face in people]}
            self._json.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _print_table(self, path: Path, frame: Frame, people: list[Face]) -> None:
        name = str(path) if len(str(path)) <= 28 else "…" + str(path)[-27:]
        moment = f"{int(frame.seconds // 60)}:{frame.seconds % 60:04.1f}" if media.is_video(path) else ""
        start = f"{name:28} {frame.index if moment else '':>6} {moment:>8}"
        for face in people:
            box = "{},{} {}x{}".format(*face.box)
            values = " ".join(f"{face.probabilities[name]:>8.1%}" for name in self._classes)
            self._print(f"{start}  {box:20} {face.emotion:9} {values}")
        if not people:
            self._print(f"{start}  no face")

    def _print(self, line: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"  # a Windows pipe cannot show every file name
        line = line.encode(encoding, "backslashreplace").decode(encoding)
        if self._bar.disable:
            print(line)
        else:
            self._bar.write(line, file=sys.stdout)


def _opened(stack: ExitStack, target: str | Path):
    try:
        temporary = stack.enter_context(written_atomically(Path(target)))
        return stack.enter_context(
            open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="")
        )
    except OSError as error:
        raise FerlibError(f"{target}: cannot be written ({error.strerror})") from None


def _as_json(face: Face) -> dict:
    return {
        "box": list(face.box),
        "emotion": face.emotion,
        "confidence": round(face.confidence, 6),
        "probabilities": {name: round(value, 6) for name, value in face.probabilities.items()},
    }
