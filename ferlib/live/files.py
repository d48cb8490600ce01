"""Emotions in files: photos, folders, videos in; a table, CSV, JSON, annotated copies out."""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from tqdm import tqdm

from ferlib import faces
from ferlib.faces import DETECTORS
from ferlib.labels import FerlibError
from ferlib.live import draw, media, naming
from ferlib.live.answers import Faces, Rows
from ferlib.live.draw import Timeline
from ferlib.live.media import Frame
from ferlib.live.naming import expand
from ferlib.live.network import Network, chosen
from ferlib.live.reading import Region, classify, search, whole, why_nobody
from ferlib.live.tracker import follow
from ferlib.live.video import Video, in_time, video_writer
from ferlib.paths import expanded
from ferlib.words import printable

Read = tuple[Path, Frame | None, Faces, FerlibError | None]
"""A file, one of its pictures with its faces, or why there is none."""


@dataclass(frozen=True)
class _Wanted:
    """What a call of `predict_files` wants of each file; `targets` are the places of annotated copies."""

    network: Network
    detector: str
    roi: Region | None
    crops: bool
    every: int
    least: float
    targets: dict[Path, Path]


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
    model: Network | str | Path | None = None,
) -> Summary:
    """Name the emotions in photos and videos; print a table, and write what is asked for.

    Faces are followed through videos; the table tells when one comes or changes its emotion. A file that
    cannot be read gets one line on stderr and the others are done all the same. Every file that is written
    appears under its name only when it is whole; a call that is interrupted leaves its finished lines in
    ``NAME.partial``.

    Args:
        patterns: Files, folders (with all folders below) and glob patterns such as ``holiday/*.jpg``.
        out: Folder for annotated copies; photos above ``media.MOST_PIXELS`` become smaller, videos MP4.
        json_file: Where to write JSON lines, one a photo or analysed frame, with the list of its faces.
        csv_file: Where to write a CSV, one row a face; a frame without faces has one row without emotion.
        summary_file: Where to write a CSV, one row a face of a video; a picture, ``.png``, comes beside.
        every: Analyse every so many frames of a video.
        roi: As for `ferlib.predict`, as are ``detector`` and ``model``.
        detector: See there.
        crops: Take each photo for a face that is cut out already.
        min_confidence: Emotions less probable than this are called unsure.
        progress: Show a bar with the remaining time where stderr is a terminal.
        model: See there.

    Raises:
        FerlibError: If nothing can be done at all: no network, no detector, results cannot be written.
    """
    if crops and roi is not None:
        raise FerlibError("photos of faces alone are not searched: give either --crops or --roi")
    network, start = chosen(model), time.perf_counter()
    faces.check(detector)  # an unusable detector fails here, once
    out, json_file, csv_file, summary_file = (
        expanded(name) if name else None for name in (out, json_file, csv_file, summary_file)
    )
    found, problems = expand(patterns, out)
    paths = [path for path, _ in found]
    targets = naming.targets(found, out) if out else {}
    picture = summary_file.with_suffix(".png") if summary_file else None
    naming.check_results([*paths, *targets.values()], csv_file, json_file, summary_file, picture)
    if out:
        naming.make_folder(out)
    wanted = _Wanted(network, detector, roi, crops, every, min_confidence, targets)
    timeline = Timeline(network.classes, min_confidence) if summary_file else None
    with _results_kept(), _bar(paths, progress) as bar:
        with Rows(network.classes, bar, csv_file, json_file, min_confidence) as rows:
            for problem in problems:
                _complain(bar, problem)
            bad, people, frames = _write_down(_read_all(paths, wanted), wanted, rows, timeline, bar)
        if timeline:
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
    total = 0 if hidden else len(paths)
    for path in filter(media.is_video, [] if hidden else paths):
        with suppress(FerlibError):  # which is told when its turn comes
            total += max(0, Video(path).frames - 1)
    return tqdm(total=total, unit="frame", disable=hidden, leave=False)


def _write_down(
    results: Iterator[Read], wanted: _Wanted, rows: Rows, timeline: Timeline | None, bar: tqdm
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
        if video and timeline:
            timeline.add(path, frame.seconds, found)
        people, frames = people + len(found), frames + video
        bar.update(wanted.every if video else 1)
    return bad, people, frames


def _complain(bar: tqdm, text: str) -> None:
    bar.write(f"ferlib: {printable(text)}", file=sys.stderr)


def _read_all(paths: list[Path], wanted: _Wanted) -> Iterator[Read]:
    """Read files in order; what goes wrong with one is its last result."""
    decoded = _decoded_ahead([path for path in paths if not media.is_video(path)])
    for path in paths:
        results = _film(path, wanted) if media.is_video(path) else _photo(path, next(decoded), wanted)
        try:
            yield from results
        except FerlibError as error:
            yield path, None, Faces(), error
        except (cv2.error, MemoryError) as error:
            yield path, None, Faces(), FerlibError(f"{path}: cannot be handled ({error!r:.90})")


def _decoded_ahead(paths: list[Path]) -> Iterator[Future]:
    """Decode photos in a thread, two ahead of the one that is searched."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque()
        for path in paths:
            waiting.append(pool.submit(media.read_photo, path))
            if len(waiting) > 2:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _photo(path: Path, decoded: Future, wanted: _Wanted) -> Iterator[Read]:
    """Search a photo, classify its faces and write its annotated copy."""
    frame = decoded.result()
    found = whole(frame) if wanted.crops else search(frame, wanted.detector, wanted.roi)
    (people,) = classify([frame], [found], wanted.network)
    if target := wanted.targets.get(path):
        media.write_photo(target, draw.annotated(frame.image, people, frame.scale, wanted.least))
    yield path, frame, people, None


def _film(path: Path, wanted: _Wanted) -> Iterator[Read]:
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
