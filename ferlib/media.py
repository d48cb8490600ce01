"""Photos and videos of any kind in, annotated copies out; what is damaged gives one sentence."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# Decoders print notices that name no file; what is wrong with which file is said here instead.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from ferlib.labels import FerlibError
from ferlib.paths import written_atomically

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp"),
    *(".tif", ".tiff", ".gif", ".jp2", ".pgm", ".ppm", ".pnm", ".avif"),
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

CODEC = "mp4v"
"""MPEG-4 part 2: the one encoder that every OpenCV wheel brings along; VLC, QuickTime and Windows play it."""


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
    """Decode a photo, upright as its EXIF data says, in 8 bits and colour whatever the file holds.

    Args:
        path: The file.

    Returns:
        The photo.

    Raises:
        FerlibError: If the file is missing, empty, cut off or not an image.
    """
    if path.exists() and not path.is_file():
        raise FerlibError(f"{path}: not a file (reading a pipe or device might never end)")
    try:
        contents = np.fromfile(path, np.uint8)  # cv2.imread can't open non-ASCII paths on Windows
    except OSError as error:
        raise FerlibError(f"{path}: cannot be opened ({error.strerror})") from None
    if contents.size == 0:
        raise FerlibError(f"{path}: the file is empty")
    reduction = _reduction(jpeg_pixels(contents))
    flag = getattr(cv2, f"IMREAD_REDUCED_COLOR_{reduction}") if reduction > 1 else cv2.IMREAD_COLOR
    image = None
    with stderr_captured() as said, suppress(cv2.error):
        image = cv2.imdecode(contents, flag)
    if image is None:
        raise FerlibError(
            f"{path}: not an image that can be read, or damaged; open it in a viewer to see which"
        )
    damaged = any("Corrupt" in line for line in said)
    complaint = f"{path}: damaged, read as far as possible ({said[0].strip()})" if damaged else ""
    # Only JPEG can be decoded small; the others are shrunk afterwards.
    further = _reduction(image.shape[0] * image.shape[1])
    if further > 1:
        image = cv2.resize(image, None, fx=1 / further, fy=1 / further, interpolation=cv2.INTER_AREA)
    return Frame(image, scale=reduction * further, complaint=complaint)


def jpeg_pixels(contents: np.ndarray) -> int:
    """Return the number of pixels that the header of a JPEG file announces, 0 for any other file.

    Args:
        contents: uint8 (n,), the file.

    Source:
        ITU-T T.81, annex B: segments of marker and length; a frame header is C0 to CF but C4, C8 and CC.
    """
    data, position = contents, 2
    if data[:2].tobytes() != b"\xff\xd8":
        return 0
    while position + 9 < len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int(data[position + 2]) << 8 | int(data[position + 3])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int(data[position + at]) << 8 | int(data[position + at + 1]) for at in (5, 7))
            return height * width
        position += 2 + length
    return 0


def _reduction(pixels: int) -> int:
    return next(factor for factor in (1, 2, 4, 8) if pixels <= MOST_PIXELS * factor**2 or factor == 8)


@contextmanager
def stderr_captured() -> Iterator[list[str]]:
    """Catch what C libraries print to stderr (libjpeg tells of damage in no other way)."""
    said: list[str] = []
    with tempfile.TemporaryFile() as file:
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


class Video:
    """A video file that is read frame by frame, so that its length costs no memory.

    Attributes:
        path: The file.
        frames: How many frames its header announces; 0 if it doesn't say.
        rate: Frames a second.
    """

    def __init__(self, path: Path):
        if not path.is_file():
            raise FerlibError(f"{path}: there is no such file")
        self.path = path
        with stderr_captured():
            self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise FerlibError(f"{path}: not a video that can be read, or its end is missing")
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 1 <= rate <= 240 else 25.0

    def read(self, every: int = 1, all_frames: bool = True) -> Iterator[Frame]:
        """Read the video from its beginning to its end.

        Args:
            every: Mark every so many frames as wanted, the first one included.
            all_frames: Also yield the others; they are skipped without decoding them otherwise.

        Yields:
            Frames in order.

        Raises:
            FerlibError: If it stops well before the end that its header announces.
        """
        index = 0
        try:
            while self._capture.grab():
                wanted = index % every == 0
                if wanted or all_frames:
                    decoded, image = self._capture.retrieve()
                    if not decoded:
                        break
                    seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or index / self.rate
                    yield Frame(image, index, seconds, wanted=wanted)
                index += 1
        finally:
            self._capture.release()
        # Some containers announce an estimate, which may be off by a frame or two.
        if index == 0 or index < 0.98 * self.frames - 2:
            raise FerlibError(f"{self.path}: damaged, it stops after frame {index} of {self.frames}")


@contextmanager
def video_writer(target: Path, rate: float) -> Iterator:
    """Open an MP4 for annotated frames; it appears under its name only when it is complete.

    Args:
        target: Path ending in ``.mp4``.
        rate: Frames a second.

    Yields:
        A function that appends a frame, uint8 (height, width, 3); all of the size of the first.

    Raises:
        FerlibError: If the file cannot be written, or is shorter than what was written (a full disk).
    """
    writer, size, count = None, None, 0

    def append(image: np.ndarray) -> None:
        nonlocal writer, size, count
        if writer is None:
            height, width = image.shape[:2]
            code = cv2.VideoWriter_fourcc(*CODEC)
            writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, code, rate, (width, height))
            if not writer.isOpened():
                raise FerlibError(f"{target}: a video of {width}x{height} pixels cannot be written there")
            size = (width, height)
        # The writer silently drops a frame of another size, which some streams contain.
        writer.write(image if image.shape[1::-1] == size else cv2.resize(image, size))
        count += 1

    try:
        with written_atomically(target) as temporary:
            try:
                yield append
            finally:
                if writer is not None:
                    writer.release()
            if count == 0:
                raise FerlibError(f"{target}: there was no frame to write")
            if not temporary.is_file() or _length(temporary) != count:
                raise FerlibError(f"{target}: could not be written whole; is the disk full?")
    except OSError as error:
        raise FerlibError(f"{target}: cannot be written ({error.strerror})") from None


def _length(path: Path) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return frames


def write_photo(target: Path, image: np.ndarray) -> None:
    """Write a photo whole or not at all.

    Args:
        target: Path; its suffix says the format.
        image: uint8 (height, width, 3), blue, green, red.

    Raises:
        FerlibError: If the picture cannot be encoded or stored.
    """
    encoded, contents = cv2.imencode(target.suffix, image)
    if not encoded:
        raise FerlibError(f"{target}: this picture cannot be stored as {target.suffix}")
    try:
        with written_atomically(target) as temporary:
            temporary.write_bytes(contents.tobytes())
    except OSError as error:
        raise FerlibError(f"{target}: cannot be written ({error.strerror})") from None
