"""The live view: pictures of a camera, stream or file; faces followed; a page to watch, a video to keep."""

import os
import threading
import time
import webbrowser
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ferlib import faces
from ferlib.faces import DETECTORS
from ferlib.labels import FerlibError
from ferlib.live import draw, media
from ferlib.live.network import Network, chosen
from ferlib.live.page import Page
from ferlib.live.tracker import Tracker
from ferlib.live.video import Video, in_time, video_writer
from ferlib.paths import expanded

FIRST_PICTURE_SECONDS, NEXT_PICTURE_SECONDS = 15.0, 5.0
"""How long a camera may take to start, and to send the next picture, before it counts as lost."""

RECORDED_RATE = 25.0
"""Frames a second in recordings of cameras, which themselves deliver pictures irregularly."""

Timed = tuple[np.ndarray, float]
"""A picture, uint8 (height, width, 3) in blue, green, red, and when it was taken, in seconds."""


def webcam(
    camera: int = 0,
    *,
    source: str | Path | None = None,
    record: str | Path | None = None,
    detector: str = DETECTORS[0],
    port: int = 0,
    model: Network | str | Path | None = None,
) -> int:
    """Show faces and emotions live until q is pressed on the page, Ctrl-C here, or the source ends.

    Args:
        camera: Number of the camera, from 0.
        source: A video file, or the address of a stream (``rtsp://…``, ``http://…``), instead of a camera.
        record: MP4 file to keep what is shown; of a file, as fast as it can and without a page.
        detector: As for `ferlib.predict`.
        port: Port of the page on 127.0.0.1; 0 takes a free one.
        model: As for `ferlib.predict`.

    Returns:
        Number of frames shown.

    Raises:
        FerlibError: If the camera or source is missing, busy or lost; what was recorded until then is kept.
    """
    network = chosen(model)
    file = source is not None and "://" not in str(source)
    source, record = expanded(source) if file else source, expanded(record) if record else None
    page = not (file and record)
    if record and record.suffix.lower() != ".mp4":
        raise FerlibError(f"{record}: recordings are MP4 files; give a name that ends in .mp4")
    if record and file and record.resolve() == Path(source).resolve():
        raise FerlibError(f"{record} is the source: give the recording a name of its own")
    faces.check(detector)  # before a page opens
    pictures, rate, irregular, total = _opened(camera, source, paced=page)
    count, problem = 0, None
    with closing(pictures):
        shown = Page(port) if page else None
        try:
            bar = tqdm(total=total, unit="frame", disable=None, leave=False)
            with video_writer(record, rate) if record else nullcontext() as append, bar:
                write = append and in_time(append, rate, irregular)
                if shown:
                    print(f"Live view: {shown.address} (q stops it there, Ctrl-C here)", flush=True)
                    webbrowser.open(shown.address)
                count, problem = _run(pictures, Tracker(network, detector), shown, write, bar)
        except FerlibError as error:  # nothing recorded is no news beside a camera that sends nothing
            problem = problem or error
        finally:
            if shown:
                shown.close(f"{problem or 'Stopped'}.")
    if problem:
        raise problem
    if record:
        print(f"The live view is kept in {record}")
    return count


def _run(
    pictures: Iterable[Timed], tracker: Tracker, page: Page | None, write: Callable | None, bar: tqdm
) -> tuple[int, FerlibError | None]:
    """Show picture after picture; Ctrl-C and a lost camera are proper ends too, for the recording's sake."""
    count, interval, before = 0, 0.0, None
    try:
        for image, seconds in pictures:
            people = tracker.update(image, seconds)
            now = time.perf_counter()
            if before is not None:
                # An average of intervals, for one of rates soars when pictures come in bursts.
                interval = 0.9 * interval + 0.1 * (now - before) if interval else now - before
            before, rate = now, 1 / interval if interval else 0.0
            view = draw.live_view(image, people, rate)
            if page:
                page.show(view, people, rate)
            if write:
                write(view, seconds)
            count += 1
            bar.update()
            if page and page.stopped.is_set():
                break
    except KeyboardInterrupt:
        pass
    except FerlibError as problem:
        return count, problem
    return count, None


# --- where pictures come from -----------------------------------------------------------------------


def _opened(camera: int, source: str | Path | None, paced: bool):
    """Return an iterator over pictures; rate of a recording, whether they come irregularly; their number."""
    if source is not None and "://" not in str(source):
        video = Video(source)
        return _of_file(video, paced), video.rate, video.irregular, video.frames or None
    name = f"camera {camera}" if source is None else str(source)
    return _of_camera(_capture(camera, source), name), RECORDED_RATE, True, None


def _of_file(video: Video, paced: bool) -> Iterator[Timed]:
    start = time.perf_counter()
    for frame in video.read():
        if paced:
            time.sleep(max(0.0, start + frame.seconds - time.perf_counter()))
        yield frame.image, frame.seconds


def _capture(camera: int, source: str | None):
    """Open a camera or stream."""
    with media.stderr_captured():
        capture = cv2.VideoCapture(*((os.fsencode(source), cv2.CAP_FFMPEG) if source else (camera,)))
    if capture.isOpened():
        return capture
    if source:
        raise FerlibError(f"{source}: nothing can be read from this address; is it right, and is it on?")
    raise FerlibError(
        f"camera {camera} cannot be opened: it is missing, used by another program, or not allowed in the "
        "system's privacy settings; plug one in, close the other program, or choose another with --camera or "
        "a file with --source"
    )


def _of_camera(capture, name: str) -> Iterator[Timed]:
    """Yield the newest picture of a camera each time; those that came meanwhile are left out."""
    newest: list[Timed] = []
    arrived, ended = threading.Condition(), threading.Event()

    def grab():
        while not ended.is_set():
            good, image = capture.read()
            with arrived:
                newest[:] = [(image, time.perf_counter())]
                if not good:
                    ended.set()
                arrived.notify()
        capture.release()

    threading.Thread(target=grab, daemon=True).start()
    patience = FIRST_PICTURE_SECONDS
    try:
        while True:
            with arrived:
                arrived.wait_for(lambda: newest or ended.is_set(), patience)
                if ended.is_set() or not newest:
                    told = "picture: is another program using it?"
                    if patience != FIRST_PICTURE_SECONDS:
                        told = "more pictures: it was unplugged or switched off"
                    raise FerlibError(f"{name} sends no {told}")
                picture = newest.pop()
            patience = NEXT_PICTURE_SECONDS
            yield picture
    finally:
        ended.set()
