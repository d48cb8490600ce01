"""Reads FER-2013 from the competition's csv, one row an image."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from ferlib.data import layout
from ferlib.data.demo import Faces
from ferlib.labels import CLASSES, IMAGE_SIZE, KAGGLE_SPLITS, FerlibError

MOST_BYTES = 8 * 2**30
"""Size of a table that is read at most, unpacked; fer2013.csv has 0.3 GB."""

_PIXELS = IMAGE_SIZE * IMAGE_SIZE


def read(file: BinaryIO, size: int, where: str) -> Faces:
    """Read ``fer2013.csv`` or ``icml_face_data.csv``.

    Args:
        file: The open file.
        size: Bytes that it announces.
        where: Its name, for messages.

    Returns:
        The images in the order of the rows, named row_000000 and so on.

    Raises:
        FerlibError: The first problem found, naming the line.
    """
    if size > MOST_BYTES:
        raise FerlibError(f"{where}: has {size:,} bytes, more than {MOST_BYTES:,}; do not trust it.")
    try:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        header = [column.strip() for column in next(rows, [])]
        columns = [_column(header, name, where) for name in ("emotion", "pixels", "Usage")]
        records = [
            _parse_row(row, columns, f"{where}: line {rows.line_num}")
            for row in progress(filter(None, rows), where)
        ]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise FerlibError(f"{where}: is not a csv of text ({problem}); give fer2013.csv.") from problem
    if not records:
        raise FerlibError(f"{where}: holds no rows below its header; download it again.")
    labels, images, splits = (np.array(values) for values in zip(*records, strict=True))
    layout.check_splits(splits, labels, CLASSES, where)
    names = np.array([f"row_{number:06d}" for number in range(len(records))])
    return Faces(images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1), labels, splits, names)


def _column(header: list[str], name: str, where: str) -> int:
    small = [column.casefold() for column in header]
    if small.count(name.casefold()) != 1:
        found = "two columns" if name.casefold() in small else "no column"
        raise FerlibError(
            f"{where}: has {found} {name!r} but {', '.join(header) or 'no header at all'}; "
            "give fer2013.csv or icml_face_data.csv, whose columns are emotion, pixels and Usage."
        )
    return small.index(name.casefold())


def _parse_row(row: list[str], columns: list[int], where: str) -> tuple[int, np.ndarray, int]:
    """Return label, uint8 (2304,) pixels and split code of one csv row."""
    if len(row) <= max(columns):
        raise FerlibError(
            f"{where}: has {len(row)} fields instead of {max(columns) + 1}; download the file again."
        )
    emotion, pixels, usage = (row[column].strip() for column in columns)
    if emotion not in map(str, range(len(CLASSES))):
        raise FerlibError(
            f"{where}: emotion is {emotion!r}, expected a code from 0 to {len(CLASSES) - 1}; mend it."
        )
    split = layout.USAGES.get(usage.casefold())
    if split is None:
        raise FerlibError(
            f"{where}: Usage is {usage!r}, expected one of {', '.join(KAGGLE_SPLITS)}; mend it."
        )
    return int(emotion), _parse_pixels(pixels, where), split


def _parse_pixels(text: str, where: str) -> np.ndarray:
    try:
        values = np.fromstring(text, dtype=np.int64, sep=" ")
    except ValueError:
        odd = next((word for word in text.split() if not word.isdecimal()), text[:20])
        raise FerlibError(f"{where}: a pixel is {odd!r}, expected a number from 0 to 255; mend it.") from None
    if len(values) != _PIXELS:
        raise FerlibError(
            f"{where}: has {len(values)} pixels instead of {_PIXELS}; mend the row or download again."
        )
    if len(odd := values[(values < 0) | (values > 255)]):
        raise FerlibError(f"{where}: a pixel is {odd[0]}, expected a number from 0 to 255; mend it.")
    return values.astype(np.uint8)


def progress(items: Iterable, where: str) -> Iterable:
    """Show a bar on terminals while something of this name is read."""
    name = Path(where.partition(": ")[0]).name
    return tqdm(items, desc=f"reading {name}", unit=" images", leave=False, disable=None)
