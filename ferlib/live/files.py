"""Emotions in files: photos, folders, videos in; a table, CSV, JSON, annotated copies out."""

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ferlib import faces
from ferlib.faces import DETECTORS, Found
from ferlib.labels import FerlibError
from ferlib.live import draw, media
from ferlib.live.answers import Faces, Rows
from ferlib.live.draw import Timeline, picture_beside
from ferlib.live.media import Frame, expand
from ferlib.live.network import Network, load_model
from ferlib.live.reading import Region, classify, search, why_nobody
from ferlib.live.tracker import follow
from ferlib.live.video import Video, in_time, video_writer
from ferlib.paths import expanded
from ferlib.words import printable

BATCH_PHOTOS, BATCH_BYTES = 16, 64_000_000
"""Photos whose faces are classified together, and the memory they may take: whichever is reached first."""

Read = tuple[Path, Frame | None, Faces, FerlibError | None]
"""A file, one of its pictures with its faces, or why there is none."""


@dataclass(frozen=True)
class Wanted:
    """What a call of `predict_files` wants of each file.

    Attributes:
        network: Classifies the faces.
        detector: As for `ferlib.predict`.
        roi: As for `ferlib.predict`.
        crops: Whether every photo is nothing but a face.
        every: Analyse every so many frames of a video.
        least: Probability from which an emotion is named, 0 to 1.
        targets: File to its annotated copy.
    """

    network: Network
    detector: str = DETECTORS[0]
    roi: Region | None = None
    crops: bool = False
    every: int = 1
    least: float = 0.0
    targets: dict[Path, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What came of a call of `predict_files`.

    Attributes:
        files: How many were read to their end.
        faces: How many faces were found, in videos counted in every frame.
        failed: How many files could not be read.
        frames: How many frames of videos were analysed.
        seconds: How long it took, reading and writing included.
    """

    files: int
    faces: int
    failed: int
    frames: int = field(default=0, compare=False)
    seconds: float = field(default=0.0, compare=False)


def predict_files(
    patterns: Iterable[str | Path],
    *,
    out: str | Path | None = None,
    json_file: str | Path | None = None,
    csv_file: str | Path | None = None,
    summary_file: str | Path | None = None,
    every: int = 1,
    roi: Region | None = None,
    detector: str = DETECTORS[0],
    crops: bool = False,
    min_confidence: float = 0.0,
    progress: bool = True,
    model: Network | None = None,
) -> Summary:
    """Name the emotions in photos and videos; print a table, and write what is asked for.

    Faces are followed through videos; the table tells when one comes or changes its emotion. A file that
    cannot be read gets one line on stderr and the others are done all the same. Every file that is written
    appears under its name only when it is whole; a call that is interrupted leaves its finished lines in
    ``NAME.partial``.

    Args:
        patterns: Files, folders (with all folders below) and glob patterns such as ``holiday/*.jpg``.
        out: Folder for annotated copies: photos keep their format, those above ``media.MOST_PIXELS`` become
            smaller, videos become MP4 without sound.
        json_file: Where to write JSON lines, one a photo or analysed frame, with the list of its faces.
        csv_file: Where to write a CSV, one row a face; a frame without faces has one row without emotion.
        summary_file: Where to write a CSV with a row for each face of each video: when it is seen, and for
            how many seconds with which emotion. A picture of it, ``.png``, comes beside.
        every: Analyse every so many frames of a video.
        roi: As for `ferlib.predict`.
        detector: As for `ferlib.predict`.
        crops: Take each photo for a face that is cut out already.
        min_confidence: Emotions less probable than this are called unsure.
        progress: Show a bar with the remaining time where stderr is a terminal.
        model: As for `ferlib.predict`.

    Returns:
        How many files were done and failed, and how many faces were found.

    Raises:
        FerlibError: If nothing can be done at all: no network, no detector, results cannot be written.
    """
    network, start = model or load_model(), time.perf_counter()
    faces.check(detector)  # an unusable detector fails here, once
    out, json_file, csv_file, summary_file = (
        expanded(name) if name else None for name in (out, json_file, csv_file, summary_file)
    )
    found, problems = expand(patterns, out)
    paths = [path for path, _ in found]
    targets = media.targets(found, out) if out else {}
    picture = picture_beside(summary_file) if summary_file else None
    media.check_results([*paths, *targets.values()], csv_file, json_file, summary_file, picture)
    if out:
        media.make_folder(out)
    wanted = Wanted(network, detector, roi, crops, every, min_confidence, targets)
    timeline = Timeline(network.classes, min_confidence)
    with _results_kept():
        with (
            _bar(paths, progress) as bar,
            Rows(network.classes, bar, csv_file, json_file, min_confidence) as rows,
        ):
            for problem in problems:
                _complain(bar, problem)
            bad, people, frames = _write_down(_read_all(paths, wanted), wanted, rows, timeline, bar)
        if summary_file:
            timeline.write(summary_file)
    seconds = time.perf_counter() - start
    return Summary(len(paths) - len(bad), people, len(bad) + len(problems), frames, seconds)


@contextmanager
def _results_kept() -> Iterator[None]:
    """Say in a sentence where results cannot be kept; a closed pipe is none of our business."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        where = error.filename or "the results"
        remedy = "make room there, or name another place, and run it again"
        raise FerlibError(f"{where}: cannot be written ({error.strerror}); {remedy}") from None


def _bar(paths: list[Path], progress: bool) -> tqdm:
    """Return a bar that counts photos and frames of videos alike."""
    hidden = not progress or not sys.stderr.isatty()
    total = 0 if hidden else sum(_frames(path) for path in paths)
    return tqdm(total=total, unit="frame", disable=hidden, leave=False)


def _frames(path: Path) -> int:
    try:
        return max(1, Video(path).frames) if media.is_video(path) else 1
    except FerlibError:
        return 1


def _write_down(
    results: Iterator[Read], wanted: Wanted, rows: Rows, timeline: Timeline, bar: tqdm
) -> tuple[set[Path], int, int]:
    """Write down what is found; return the files that failed, the number of faces, and that of frames."""
    bad, people, frames = set(), 0, 0
    for path, frame, found, problem in results:
        if problem:
            text = str(problem)
            _complain(bar, text if str(path) in text else f"{path}: {text}")
            bad.add(path)
            continue
        if frame.complaint:
            _complain(bar, frame.complaint)
        video = media.is_video(path)
        nobody = "no face" if video or found else why_nobody(frame, wanted.detector, wanted.roi)
        rows.add(path, frame, found, nobody)
        if video:
            timeline.add(path, frame.seconds, found)
        people, frames = people + len(found), frames + video
        bar.update(wanted.every if video else 1)
    return bad, people, frames


def _complain(bar: tqdm, text: str) -> None:
    bar.write(f"ferlib: {printable(text)}", file=sys.stderr)


def _read_all(paths: list[Path], wanted: Wanted) -> Iterator[Read]:
    """Read files in order: photos in batches, the next ones decoded meanwhile; videos one by one."""
    photos = [path for path in paths if not media.is_video(path)]
    decoded = _decoded_ahead(photos)
    batch: list[Frame] = []
    names: list[Path] = []
    for path in [*paths, None]:
        full = len(batch) >= BATCH_PHOTOS or sum(frame.image.nbytes for frame in batch) >= BATCH_BYTES
        if batch and (full or path is None or media.is_video(path)):
            yield from _photos(names, batch, wanted)
            batch, names = [], []
        if path is None:
            return
        if media.is_video(path):
            yield from _guarded(path, _film(path, wanted))
            continue
        frame = next(decoded)
        if isinstance(frame, FerlibError):
            yield from _photos(names, batch, wanted)
            batch, names = [], []
            yield path, None, Faces(), frame
        else:
            batch.append(frame)
            names.append(path)


def _decoded_ahead(paths: list[Path]) -> Iterator[Frame | FerlibError]:
    """Decode photos in a thread, two ahead of the one that is searched."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(_decoded, path) for path in paths[:3]]
        for number in range(len(paths)):
            frame = waiting.pop(0).result()
            if number + 3 < len(paths):
                waiting.append(pool.submit(_decoded, paths[number + 3]))
            yield frame


def _decoded(path: Path) -> Frame | FerlibError:
    try:
        return media.read_photo(path)
    except FerlibError as error:
        return error
    except (cv2.error, MemoryError) as error:
        return _unhandled(path, error)


def _unhandled(path: Path, error: Exception) -> FerlibError:
    return FerlibError(f"{path}: cannot be handled ({error!r:.90})")


def _photos(paths: list[Path], frames: list[Frame], wanted: Wanted) -> Iterator[Read]:
    """Search photos one by one, classify their faces together, and write their annotated copies."""
    places: list[Found | FerlibError] = []
    for path, frame in zip(paths, frames, strict=True):
        try:
            places.append(_places(frame, wanted))
        except FerlibError as error:
            places.append(error)
        except (cv2.error, MemoryError) as error:
            places.append(_unhandled(path, error))
    good = [n for n, found in enumerate(places) if isinstance(found, Found)]
    read = classify([frames[n] for n in good], [places[n] for n in good], wanted.network)
    answers = iter(read)
    for path, frame, found in zip(paths, frames, places, strict=True):
        if isinstance(found, FerlibError):
            yield path, None, Faces(), found
        else:
            yield from _guarded(path, _annotated(path, frame, next(answers), wanted))


def _places(frame: Frame, wanted: Wanted) -> Found:
    if not wanted.crops:
        return search(frame, wanted.detector, wanted.roi)
    height, width = frame.image.shape[:2]
    return Found(np.array([[0, 0, width, height]]), np.zeros(1))


def _annotated(
    path: Path, frame: Frame, people: Faces, wanted: Wanted
) -> Iterator[tuple[Path, Frame, Faces, None]]:
    if target := wanted.targets.get(path):
        media.write_photo(target, draw.annotated(frame.image, people, frame.scale, wanted.least))
    yield path, frame, people, None


def _guarded(path: Path, results: Iterator[Read]) -> Iterator[Read]:
    """Pass results on; what goes wrong becomes the last of them."""
    try:
        yield from results
    except FerlibError as error:
        yield path, None, Faces(), error
    except (cv2.error, MemoryError) as error:
        yield path, None, Faces(), _unhandled(path, error)


def _film(path: Path, wanted: Wanted) -> Iterator[Read]:
    """Follow the faces of a video and write its annotated copy."""
    video, target = Video(path), wanted.targets.get(path)
    with ExitStack() as stack:
        write = None
        if target:
            append = stack.enter_context(video_writer(target, video.rate))
            write = in_time(append, video.rate, video.irregular)
        frames = video.read(wanted.every, all_frames=write is not None)
        for frame, people in follow(frames, wanted.network, wanted.detector, wanted.roi):
            if write:
                view = draw.annotated(frame.image, people, least=wanted.least, numbered=True)
                write(view, frame.seconds)
            if frame.wanted:
                yield path, frame, people, None
