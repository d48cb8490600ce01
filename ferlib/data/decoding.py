"""One image of a data set, from a picture or a row of a csv, as 48x48 grey pixels."""

import csv
import io
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from ferlib.data import layout
from ferlib.data.demo import Faces
from ferlib.labels import CLASSES, IMAGE_SIZE, KAGGLE_SPLITS, FerlibError

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def grey(content: bytes, where: str, any_size: bool = False) -> np.ndarray:
    """Decode a picture to uint8 (48, 48), grey; refuse or convert (``any_size``) what is larger or in colour.

    A JPEG carries no checksum: changed bytes in it that still decode are taken as they are.
    """
    if content.startswith(b"\xff\xd8") and b"\xff\xd9" not in content[-32:]:
        raise FerlibError(f"{where}: the JPEG is cut off; replace the file.")
    flag, image = cv2.IMREAD_GRAYSCALE if any_size else cv2.IMREAD_UNCHANGED, None
    if _is_sound(content):
        with suppress(cv2.error):
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    if image is None:
        raise FerlibError(f"{where}: cannot be read as an image; replace or remove the file.")
    if any_size:
        return cv2.resize(image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)
    if image.shape != (IMAGE_SIZE, IMAGE_SIZE) or image.dtype != np.uint8:
        kind = "grey" if image.ndim == 2 else "colour"
        raise FerlibError(
            f"{where}: is a {8 * image.itemsize}-bit {kind} image of {image.shape[1]}x{image.shape[0]} "
            f"pixels; FER-2013 has 8-bit grey ones of {IMAGE_SIZE}x{IMAGE_SIZE}, so convert it."
        )
    return image


def _is_sound(content: bytes) -> bool:
    """Say whether the checksums of a picture's format, if any, are right; OpenCV doesn't look at them."""
    if content.startswith(b"\xff\xd8"):
        return True
    try:
        with warnings.catch_warnings(action="ignore"):
            Image.open(io.BytesIO(content), formats=_FORMATS).verify()
    except Exception:  # a damaged picture raises errors of many kinds
        return False
    return True


def read(file: BinaryIO, where: str) -> Faces:
    """Read ``fer2013.csv`` or ``icml_face_data.csv``, or name the line of the first problem."""
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
    if usage.casefold() not in layout.USAGES:
        raise FerlibError(
            f"{where}: Usage is {usage!r}, expected one of {', '.join(KAGGLE_SPLITS)}; mend it."
        )
    return int(emotion), _parse_pixels(pixels, where), layout.USAGES[usage.casefold()]


def _parse_pixels(text: str, where: str) -> np.ndarray:
    try:
        if "+" in text or "-" in text:  # NumPy takes "+ 7" for one number
            raise ValueError
        values = np.fromstring(text, dtype=np.int64, sep=" ")
    except ValueError:
        odd = next((word for word in text.split() if not word.isdecimal()), text[:20])
        raise FerlibError(f"{where}: a pixel is {odd!r}, expected a number from 0 to 255; mend it.") from None
    if len(values) != IMAGE_SIZE**2:
        raise FerlibError(
            f"{where}: has {len(values)} pixels instead of {IMAGE_SIZE**2}; mend the row or download again."
        )
    if len(odd := values[(values < 0) | (values > 255)]):
        raise FerlibError(f"{where}: a pixel is {odd[0]}, expected a number from 0 to 255; mend it.")
    return values.astype(np.uint8)


def progress(items: Iterable, where: str) -> Iterable:
    """Show a bar on terminals while something of this name is read."""
    name = Path(where.partition(": ")[0]).name
    return tqdm(items, desc=f"reading {name}", unit=" images", leave=False, disable=None)
