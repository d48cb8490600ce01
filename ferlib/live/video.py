"""Videos of any kind in, annotated copies out; what is damaged gives one sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from ferlib.labels import FerlibError
from ferlib.live.media import MOST_DECODED, Frame, copy_written, stderr_captured, too_large

CODEC = "mp4v"
"""MPEG-4 part 2: the one encoder that every OpenCV wheel brings along; VLC, QuickTime and Windows play it."""

SLOWEST, FASTEST, USUAL = 0.05, 1000.0, 25.0
"""Frames a second that a header may announce, and what is taken where it announces others."""

ESTIMATED = (".webm", ".mkv", ".ts", ".mts", ".ogv")
"""Containers that give every frame a time of its own; their rate and number of frames are estimates."""

TIMED_FRAMES = 60
"""Frames whose times tell the rate of a video that may not announce it rightly."""

HEAD = 4096
"""Bytes at the beginning of a file, of which a video has some that are zero."""

LISTS = (b"ffconcat", b"#EXTM3U")
"""How text begins that FFmpeg takes for a video: it would open other files that it names."""


class Video:
    """A video file that is read frame by frame, so that its length costs no memory.

    Attributes:
        frames: About how many frames it has, as its header announces; 0 if it doesn't say.
        rate: Frames a second; of a copy, where frames come irregularly.
        irregular: Whether they do: frames then have to be shown at their times, not one after the other.
    """

    def __init__(self, path: Path):
        if not os.path.isfile(path):
            raise FerlibError(f"{path}: there is no such file that can be looked at")
        self.path = path
        self._capture = _opened(path)
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self._duration = self.frames / rate if rate > 0 else 0.0
        self.rate, self.irregular = rate if SLOWEST <= rate <= FASTEST else USUAL, False
        # Whether the header announces a rate and number that may not be so.
        self._guessed = path.suffix.lower() in ESTIMATED
        if self._guessed or self.rate != rate:
            self._time_frames()

    def _time_frames(self) -> None:
        """Take the rate from the times of the first frames where the announced one is another."""
        capture, times = _opened(self.path), []
        while len(times) < TIMED_FRAMES and capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        capture.release()
        steps = np.diff(times)
        if len(steps) and times[-1] > times[0]:
            mean = len(steps) / (times[-1] - times[0])
            self.irregular = bool(steps.max() > 1.5 * np.median(steps) + 0.002)
            if self.irregular or abs(mean - self.rate) > 0.1 * self.rate:
                self._guessed = True
                self.frames = round(self._duration * mean) + 1
                self.rate = float(np.clip(max(mean, USUAL) if self.irregular else mean, SLOWEST, FASTEST))

    def read(self, every: int = 1, all_frames: bool = True) -> Iterator[Frame]:
        """Read the video from its beginning to its end; every so many frames are marked as wanted.

        The others are yielded, too, or skipped without decoding them.

        Raises:
            FerlibError: If it stops well before the end that its header announces.
        """
        if not isinstance(every, (int, np.integer)) or every < 1:
            raise FerlibError(f"every={every!r:.60} is no whole number from 1 on: say every how many frames")
        index, seconds, widest = 0, 0.0, 0.0
        try:
            while self._capture.grab():
                before = seconds
                seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or index / self.rate
                widest = max(widest, seconds - before)
                wanted = index % every == 0
                if wanted or all_frames:
                    decoded, image = self._capture.retrieve()
                    if not decoded:
                        break
                    yield Frame(image, index, seconds, wanted=wanted)
                index += 1
        finally:
            self._capture.release()
        # Frames are counted by some containers and guessed by others; the time tells which.
        counted = index >= 0.98 * self.frames - 2
        timed = self._guessed and seconds + 2 * widest >= 0.9 * self._duration
        if index == 0 or not (counted or timed):
            raise FerlibError(f"{self.path}: damaged, it stops after frame {index} of {self.frames}")


def _opened(path: Path) -> cv2.VideoCapture:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise FerlibError(f"{path}: cannot be opened ({error.strerror})") from None
    if head and (b"\0" not in head or head.startswith(LISTS)):
        raise FerlibError(f"{path}: not a video that can be read but text; if it lists videos, pass these")
    with stderr_captured():
        capture = cv2.VideoCapture(_literal(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise FerlibError(f"{path}: not a video that can be read, or its end is missing")
    is_counted = capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
    if path.suffix.lower() == ".avi" and not head.startswith(b"RIFF") and not is_counted:
        # FFmpeg would take it for single pictures in a row, of no known number.
        raise FerlibError(f"{path}: damaged, it is called .avi but does not begin as one")
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MOST_DECODED:
        raise too_large(str(path))
    return capture


def _literal(path: Path) -> bytes:
    """Return a path in the form in which FFmpeg obeys nothing in it, such as ``http:`` or ``concat:``.

    Bytes, for a name that is no Unicode ends the process.
    """
    return b"file:" + os.fsencode(os.path.abspath(path))


def in_time(append, rate: float, irregular: bool):
    """Return a function that takes a picture and its time, and appends it as often as it is due.

    Where pictures come regularly, times are only followed where they go away from the rate, as in films of
    phones, which slow down in the dark.
    """
    written, start, before = 0, None, None

    def take(image: np.ndarray, seconds: float) -> None:
        nonlocal written, start, before
        start = seconds if start is None else start
        due = round((seconds - start) * rate) + 1
        if not irregular and (abs(due - written - 1) <= 1 or seconds == before):
            due = written + 1
        before = seconds
        while written < due:
            append(image)
            written += 1

    return take


@contextmanager
def video_writer(target: Path, rate: float) -> Iterator:
    """Open an MP4 for annotated frames; it appears under its name only when it is complete.

    Yields:
        A function that appends a frame, uint8 (height, width, 3); all get the size of the first.

    Raises:
        FerlibError: The file cannot be written, or is shorter than what was written.
        OSError: As for `copy_written`.
    """
    writer, size, count = None, None, 0

    def append(image: np.ndarray) -> None:
        nonlocal writer, size, count
        if writer is None:
            height, width = image.shape[:2]
            code = cv2.VideoWriter_fourcc(*CODEC)
            writer = cv2.VideoWriter(_literal(temporary), cv2.CAP_FFMPEG, code, rate, (width, height))
            if not writer.isOpened():
                problem = f"a video of {width}x{height} pixels cannot be written there; is the disk full?"
                raise FerlibError(f"{target}: {problem}")
            size = (width, height)
        # The writer silently drops a frame of another size, which some streams contain.
        writer.write(image if image.shape[1::-1] == size else cv2.resize(image, size))
        count += 1

    with copy_written(target) as temporary:
        try:
            yield append
        finally:
            if writer is not None:
                writer.release()
        if count == 0:
            raise FerlibError(f"{target}: there was no frame to write")
        if not temporary.is_file() or _length(temporary) != count:
            raise FerlibError(f"{target}: could not be written whole; is the disk full?")


def _length(path: Path) -> int:
    return int(cv2.VideoCapture(_literal(path), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT))
