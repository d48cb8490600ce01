"""Photos of any kind in, annotated copies out; what is damaged gives one sentence."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Decoders print notices that name no file; what is wrong with which file is said here instead.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
from tqdm import tqdm

from ferlib import pixels
from ferlib.labels import FerlibError
from ferlib.paths import NO_ROOM, written_atomically

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp"),
    *(".tif", ".tiff", ".gif", ".jp2", ".pgm", ".ppm", ".pnm", ".avif", ".heic", ".heif", ".hif"),
)
"""What counts as a photo in a folder; a file named directly is a photo unless its name is a video's."""

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg"),
    *(".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".mts", ".ogv"),
)
"""What counts as a video."""

WRITABLE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""Kinds of photo whose annotated copy keeps its kind; others become PNG."""

MOST_PIXELS = 16_000_000
"""Larger photos are decoded at a half, a quarter or an eighth: faces stay large, memory stays small."""

MOST_BYTES = 512 * 2**20
"""Bytes that the file of a photo may have, for it is read whole; the largest sensors give some 200 MB."""

MOST_DECODED = 250_000_000
"""Pixels that a picture or film may have as it is decoded; OpenCV sees to it for pictures, see ``ferlib``.

JPEG files, which are decoded small, may have as many as they can.
"""


@dataclass(frozen=True)
class Frame:
    """A photo or one picture of a video.

    Attributes:
        image: uint8 (height, width, 3), blue, green, red; an even smaller copy of very large photos.
        index: Position in the video, from 0; 0 for a photo.
        seconds: Time in the video; 0 for a photo.
        scale: Pixels of the file that one pixel of `image` stands for, along one side.
        wanted: False for the frames in between that only an annotated video needs.
        complaint: What the decoder said about damage that it could read past, else "".
    """

    image: np.ndarray
    index: int = 0
    seconds: float = 0.0
    scale: int = 1
    wanted: bool = True
    complaint: str = ""


def is_video(path: Path) -> bool:
    """Return whether the name is a video's."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_photo(path: Path) -> Frame:
    """Decode a photo, upright as its EXIF data says, in 8 bits and colour whatever the file holds."""
    if os.path.isdir(path):
        raise FerlibError(f"{path}: a folder; pass the photos in it, or run ferlib predict {path}")
    if os.path.exists(path) and not os.path.isfile(path):
        raise FerlibError(f"{path}: not a file (reading a pipe or device might never end)")
    try:
        if path.stat().st_size > MOST_BYTES:
            problem = f"more than {MOST_BYTES >> 20} MB are no photo that can be read; shrink or remove it"
            raise FerlibError(f"{path}: {problem}")
        contents = np.fromfile(path, np.uint8)  # cv2.imread can't open non-ASCII paths on Windows
    except (OSError, ValueError) as error:  # a name with a zero character
        raise FerlibError(f"{path}: cannot be opened ({getattr(error, 'strerror', error)})") from None
    return decode(contents, str(path))


def decode(contents: np.ndarray, name: str) -> Frame:
    """Decode the contents of a photo's file, uint8 (n,), as `read_photo` does; errors call it by the name."""
    if contents.size == 0:
        raise FerlibError(f"{name}: the file is empty")
    if contents[4:8].tobytes() == b"ftyp" and contents[8:12].tobytes() in _HEIF_BRANDS:
        image, reduction = _shrunk(_heif(contents.tobytes(), name))
        return Frame(image, scale=reduction)
    reduction = _reduction(pixels.jpeg_pixels(memoryview(contents)))
    flag = getattr(cv2, f"IMREAD_REDUCED_COLOR_{reduction}") if reduction > 1 else cv2.IMREAD_COLOR
    with stderr_captured() as said:
        try:
            image = cv2.imdecode(contents, flag)
        except cv2.error as error:
            if "MAX_IMAGE_PIXELS" in str(error):
                raise too_large(name) from None
            image = None
    if image is None:
        problem = "not an image that can be read, or damaged; open it in a viewer to see which"
        raise FerlibError(f"{name}: {problem}")
    damaged = any("Corrupt" in line for line in said)
    complaint = f"{name}: damaged, read as far as possible ({said[0].strip()})" if damaged else ""
    image, further = _shrunk(image)  # only JPEG can be decoded small
    return Frame(image, scale=reduction * further, complaint=complaint)


_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def _heif(contents: bytes, name: str) -> np.ndarray:
    """Decode a HEIC photo, uint8 (height, width, 3) in blue, green, red."""
    try:
        import pillow_heif
    except ModuleNotFoundError:
        problem = "HEIC photos need another package: run pip install pillow-heif"
        raise FerlibError(f"{name}: {problem}") from None
    try:
        return pixels.in_colour(pillow_heif.open_heif(io.BytesIO(contents)).to_pillow())
    except (OSError, ValueError, RuntimeError) as error:
        raise FerlibError(f"{name}: a HEIC photo that cannot be read ({error})") from None


def too_large(name: str) -> FerlibError:
    """Return what is said of a file that announces more pixels to be decoded than `MOST_DECODED`."""
    return FerlibError(f"{name}: announces more than {MOST_DECODED:,} pixels; shrink or remove it")


def _shrunk(image: np.ndarray) -> tuple[np.ndarray, int]:
    """Return a photo of at most `MOST_PIXELS`, and by how much it was reduced."""
    factor = _reduction(image.shape[0] * image.shape[1])
    if factor > 1:
        image = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return image, factor


def _reduction(pixels: int) -> int:
    return next(factor for factor in (1, 2, 4, 8) if pixels <= MOST_PIXELS * factor**2 or factor == 8)


@contextmanager
def stderr_captured() -> Iterator[list[str]]:
    """Catch what C libraries print to stderr (libjpeg tells of damage in no other way).

    Progress bars and complaints of other threads wait meanwhile, for they would be caught, too.
    """
    said: list[str] = []
    with tqdm.get_lock(), tempfile.TemporaryFile() as file:
        try:
            original = os.dup(2)
        except OSError:  # a windowed Python has no stderr
            yield said
            return
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(original, 2)
            os.close(original)
            file.seek(0)
            said += file.read().decode(errors="replace").splitlines()


def write_photo(target: Path, image: np.ndarray) -> None:
    """Write a picture as `copy_written` does, in the format that the suffix says."""
    encoded, contents = cv2.imencode(target.suffix, image)
    if not encoded:
        raise FerlibError(f"{target}: this picture cannot be stored as {target.suffix}")
    with copy_written(target) as temporary:
        temporary.write_bytes(contents.tobytes())


@contextmanager
def copy_written(target: Path) -> Iterator[Path]:
    """Yield where to write an annotated copy, which appears under its name when it is whole.

    An OSError says that nothing else could be stored there either, a `FerlibError` that this one cannot.
    """
    try:
        with written_atomically(target) as temporary:
            yield temporary
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise FerlibError(f"{target}: cannot be written ({error.strerror})") from None
