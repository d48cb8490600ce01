"""Emotions in files: photos, folders, videos in; a table, CSV, JSON, annotated copies out."""

import glob
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from ferlib import draw, faces, media
from ferlib.labels import FerlibError
from ferlib.live import Region, find
from ferlib.media import Frame, Video
from ferlib.network import Face, Network, load_model
from ferlib.results import Rows

BATCH_FRAMES, BATCH_BYTES = 16, 64_000_000
"""Frames of a video that are held at once, and the memory they may take: whichever is reached first."""


@dataclass(frozen=True)
class Summary:
    """What came of a call of `predict_files`."""

    files: int
    faces: int
    failed: int


def predict_files(
    patterns: Iterable[str | Path],
    *,
    out: str | Path | None = None,
    json_file: str | Path | None = None,
    csv_file: str | Path | None = None,
    every: int = 1,
    roi: Region | None = None,
    detector: str = "haar",
    progress: bool = True,
    model: Network | None = None,
) -> Summary:
    """Name the emotions in photos and videos; print a table, and write what is asked for.

    A file that cannot be read gets one line on stderr and the others are done all the same. Every file
    that is written appears under its name only when it is whole.

    Args:
        patterns: Files, folders (with all folders below) and glob patterns such as ``holiday/*.jpg``.
        out: Folder for annotated copies: photos keep their format, those above ``media.MOST_PIXELS`` become
            smaller, videos become MP4 without sound.
        json_file: Where to write JSON lines, one a photo or analysed frame, with the list of its faces.
        csv_file: Where to write a CSV, one row a face; a frame without faces has one row without emotion.
        every: Analyse every so many frames of a video.
        roi: As for `predict`.
        detector: As for `predict`.
        progress: Show a bar with the remaining time where stderr is a terminal.
        model: As for `predict`.

    Returns:
        How many files were done and failed, and how many faces were found.

    Raises:
        FerlibError: If nothing can be done at all: no network, no detector, results cannot be written.
    """
    network = model or load_model()
    faces.detect(np.zeros((48, 48, 3), np.uint8), detector=detector)  # an unusable detector fails here, once
    found, problems = expand(patterns, Path(out) if out else None)
    targets = _targets(found, Path(out)) if out else {}
    _check_results([*(path for path, _ in found), *targets.values()], csv_file, json_file)
    if out:
        _make_folder(Path(out))
    counts = []
    try:
        with (
            _bar([path for path, _ in found], progress) as bar,
            Rows(network.classes, bar, csv_file, json_file) as rows,
        ):
            for problem in problems:
                _complain(bar, problem)
            for path, _ in found:
                analysed = _analysed(path, network, detector, roi, every, targets.get(path))
                counts.append(_tell(path, analysed, rows, bar))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FerlibError(f"the results cannot be written ({error.strerror})") from None
    done = [count for count in counts if count is not None]
    return Summary(len(done), sum(done), len(counts) - len(done) + len(problems))


def _bar(paths: list[Path], progress: bool) -> tqdm:
    """Return a bar that counts photos and frames of videos alike."""
    total = sum(_frames(path) for path in paths)
    return tqdm(total=total, unit="frame", disable=None if progress else True, leave=False)


def _frames(path: Path) -> int:
    try:
        return max(1, Video(path).frames) if media.is_video(path) else 1
    except FerlibError:
        return 1


def _tell(path: Path, analysed: Iterator[tuple[Frame, list[Face]]], rows: Rows, bar: tqdm) -> int | None:
    """Write down what is found in a file; return the number of faces, None if the file failed."""
    start, count = bar.n, 0
    try:
        for frame, people in analysed:
            if frame.complaint:
                _complain(bar, frame.complaint)
            rows.add(path, frame, people)
            count += len(people)
            bar.update(start + frame.index + 1 - bar.n)
    except FerlibError as error:
        text = str(error)
        _complain(bar, text if str(path) in text else f"{path}: {text}")
        return None
    except (cv2.error, MemoryError) as error:
        _complain(bar, f"{path}: cannot be handled ({error!r:.90})")
        return None
    finally:
        bar.update(start + _frames(path) - bar.n)
    return count


def _complain(bar: tqdm, text: str) -> None:
    bar.write(f"ferlib: {text}", file=sys.stderr)


def expand(
    patterns: Iterable[str | Path], out: Path | None = None
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Find the files that paths, folders and glob patterns stand for.

    Args:
        patterns: As for `predict_files`.
        out: A folder whose files are left out: the annotated copies of an earlier call.

    Returns:
        Pairs of a file and its path below the folder that was named (its name, if it was named itself),
        every file once; and a sentence for each pattern that stands for nothing.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    problems = []
    for pattern in patterns:
        if not str(pattern):  # from an unset variable of a shell; Path takes it for the current folder
            problems.append("'': an empty name stands for no file")
            continue
        path = Path(pattern).expanduser()
        named = (
            [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        )
        pairs = [pair for name in named for pair in _below(name, out)]
        if not pairs:
            problem = "no photo or video in it" if path.is_dir() else "there is no such file or folder"
            problems.append(f"{pattern}: {problem}")
        for file, relative in pairs:
            found.setdefault(file.resolve(), (file, relative))
    return list(found.values()), problems


def _below(path: Path, out: Path | None) -> list[tuple[Path, Path]]:
    if not path.is_dir():
        return [(path, Path(path.name))]
    skipped = out.resolve() if out else None
    pairs = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(folder, name).resolve() != skipped
        )
        files = [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
        known = (*media.PHOTO_SUFFIXES, *media.VIDEO_SUFFIXES)
        pairs += [(file, file.relative_to(path)) for file in files if file.suffix.lower() in known]
    return pairs


def _targets(found: list[tuple[Path, Path]], out: Path) -> dict[Path, Path]:
    """Choose a path for the annotated copy of every file, none of them one of the files themselves."""
    originals = {path.resolve() for path, _ in found}
    targets, taken = {}, set()
    for path, relative in found:
        suffix = path.suffix.lower() if path.suffix.lower() in media.WRITABLE_SUFFIXES else ".png"
        target = out / relative.with_suffix(".mp4" if media.is_video(path) else suffix)
        stem, number = target.stem, 2
        while str(target).casefold() in taken:  # a.jpg of two folders, or film.avi beside film.mov
            target, number = target.with_name(f"{stem}_{number}{target.suffix}"), number + 1
        if target.resolve() in originals:
            raise FerlibError(f"annotated copies in {out} would replace {path}: choose another folder")
        taken.add(str(target).casefold())
        targets[path] = target
    return targets


def _check_results(taken: Iterable[Path], *results: str | Path | None) -> None:
    """Refuse a file for results that is a folder, or that is read or written as something else, too."""
    others = {path.resolve() for path in taken}
    for path in (Path(result) for result in results if result):
        if path.is_dir():
            raise FerlibError(f"{path}: cannot be written, it is a folder; name a file in it")
        if path.resolve() in others:
            raise FerlibError(f"{path} would be written over: give the results a file of their own")
        others.add(path.resolve())


def _make_folder(out: Path) -> None:
    """Fail before the first of thousands of photos if no annotated copy can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise FerlibError(f"{out}: annotated copies cannot be written there ({error.strerror})") from None


def _analysed(
    path: Path,
    network: Network,
    detector: str,
    roi: Region | None,
    every: int,
    target: Path | None,
) -> Iterator[tuple[Frame, list[Face]]]:
    """Yield the analysed frames of a file with their faces, and write its annotated copy."""
    if not media.is_video(path):
        frame = media.read_photo(path)
        people = find([frame], network, detector, roi)[0]
        if target:
            media.write_photo(target, draw.annotated(frame.image, people, frame.scale))
        yield frame, people
        return
    video, people = Video(path), []
    with ExitStack() as stack:
        write = stack.enter_context(media.video_writer(target, video.rate)) if target else None
        for batch in _batches(video.read(every, all_frames=write is not None)):
            answers = iter(find([frame for frame in batch if frame.wanted], network, detector, roi))
            for frame in batch:
                people = next(answers) if frame.wanted else people
                if write:
                    write(draw.annotated(frame.image, people))
                if frame.wanted:
                    yield frame, people


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Group frames so that their faces are classified together; a damaged end loses no frame before it."""
    batch, size, problem = [], 0, None
    try:
        for frame in frames:
            batch.append(frame)
            size += frame.image.nbytes
            if len(batch) == BATCH_FRAMES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except FerlibError as error:
        problem = error
    if batch:
        yield batch
    if problem:
        raise problem
