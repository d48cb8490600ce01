"""Emotions in files: photos, folders, videos in; a table, CSV, JSON, annotated copies out."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from tqdm import tqdm

from ferlib import faces
from ferlib.faces import DETECTORS, Found
from ferlib.labels import FerlibError
from ferlib.live import draw, media, naming
from ferlib.live.answers import Faces, Rows
from ferlib.live.draw import Timeline, picture_beside
from ferlib.live.media import Frame
from ferlib.live.naming import expand
from ferlib.live.network import Network, chosen
from ferlib.live.reading import Region, classify, search, whole, why_nobody
from ferlib.live.tracker import follow
from ferlib.live.video import Video, in_time, video_writer
from ferlib.paths import expanded
from ferlib.words import printable

BATCH_PHOTOS, BATCH_BYTES = 16, 64_000_000
"""Photos whose faces are classified together, and the memory they may take: whichever is reached first."""

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
    picture = picture_beside(summary_file) if summary_file else None
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
    total = 0 if hidden else sum(_frames(path) for path in paths)
    return tqdm(total=total, unit="frame", disable=hidden, leave=False)


def _frames(path: Path) -> int:
    with suppress(FerlibError):
        return max(1, Video(path).frames) if media.is_video(path) else 1
    return 1


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
    """Read files in order: photos in batches, the next ones decoded meanwhile; videos one by one."""
    decoded = _decoded_ahead([path for path in paths if not media.is_video(path)])
    batch: list[tuple[Path, Frame | FerlibError]] = []
    for path in paths:
        video = media.is_video(path)
        if not video:
            batch.append((path, next(decoded)))
        held = sum(frame.image.nbytes for _, frame in batch if isinstance(frame, Frame))
        if video or len(batch) >= BATCH_PHOTOS or held >= BATCH_BYTES:
            yield from _photos(batch, wanted)
            batch = []
        if video:
            # A generator that raised has ended, so what goes wrong is its last result.
            film = _film(path, wanted)
            for result in iter(lambda: _tried(path, next, film, None), None):  # noqa: B023
                yield (path, None, Faces(), result) if isinstance(result, FerlibError) else result
    yield from _photos(batch, wanted)


def _decoded_ahead(paths: list[Path]) -> Iterator[Frame | FerlibError]:
    """Decode photos in a thread, two ahead of the one that is searched."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque()
        for path in paths:
            waiting.append(pool.submit(_tried, path, media.read_photo, path))
            if len(waiting) > 2:
                yield waiting.popleft().result()
        yield from (one.result() for one in waiting)


def _tried(path: Path, work: Callable, *given):
    """Return what a function returns, or the problem with a file that it has raised."""
    try:
        return work(*given)
    except FerlibError as error:
        return error
    except (cv2.error, MemoryError) as error:
        return FerlibError(f"{path}: cannot be handled ({error!r:.90})")


def _photos(batch: list[tuple[Path, Frame | FerlibError]], wanted: _Wanted) -> Iterator[Read]:
    """Search photos one by one, classify their faces together, and write their annotated copies."""
    places = [
        frame if isinstance(frame, FerlibError) else _tried(path, _places, frame, wanted)
        for path, frame in batch
    ]
    good = [n for n, found in enumerate(places) if isinstance(found, Found)]
    answers = iter(classify([batch[n][1] for n in good], [places[n] for n in good], wanted.network))
    for (path, frame), found in zip(batch, places, strict=True):
        people, problem = (Faces(), found) if isinstance(found, FerlibError) else (next(answers), None)
        if not problem and (target := wanted.targets.get(path)):
            problem = _tried(path, _annotate, target, frame, people, wanted.least)
        yield path, frame, people, problem


def _places(frame: Frame, wanted: _Wanted) -> Found:
    return whole(frame) if wanted.crops else search(frame, wanted.detector, wanted.roi)


def _annotate(target: Path, frame: Frame, people: Faces, least: float) -> None:
    media.write_photo(target, draw.annotated(frame.image, people, frame.scale, least))


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
