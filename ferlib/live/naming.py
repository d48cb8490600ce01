"""Which files `ferlib predict` reads and writes: paths, folders and patterns in, names of copies out."""

import glob
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ferlib.labels import FerlibError
from ferlib.live import media
from ferlib.paths import destination, expanded, refuse_unwritable, remove_leftovers

PARTIAL = ".partial"
"""What the names of files end in that are not finished."""


def expand(
    patterns: Iterable[str | Path], out: Path | None = None
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Find the files that paths, folders and patterns stand for, but for earlier annotated copies in ``out``.

    Returns:
        Pairs of a file and its path below the folder that was named (its name, if it was named itself),
        every file once; and a sentence for each pattern that stands for nothing.
    """
    found: dict[str, tuple[Path, Path]] = {}
    problems = []
    for pattern in patterns:
        if not str(pattern):  # from an unset variable of a shell; Path takes it for the current folder
            problems.append("'': an empty name stands for no file")
            continue
        path = expanded(pattern)
        named = [path] if os.path.exists(path) else [Path(name) for name in sorted(_matching(path.parts))]
        pairs = [pair for name in named for pair in _below(name, out)]
        if not pairs:
            missing = "there is no such file or folder that can be looked at"
            problem = "no photo or video in it" if os.path.isdir(path) else missing
            problems.append(f"{pattern}: {problem}")
        for file, relative in pairs:
            found.setdefault(os.path.realpath(file), (file, relative))
    return list(found.values()), problems


def _matching(parts: tuple[str, ...]) -> set[str]:
    """Return what a pattern stands for; ``**`` follows no links to folders, for these may lead up again."""
    if "**" not in parts:
        return set(glob.glob(str(Path(*parts))))
    at, found = parts.index("**"), set()
    for top in glob.glob(str(Path(*parts[:at]))):
        for folder, folders, _ in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found |= _matching((glob.escape(folder), *parts[at + 1 :]))
    return found


def _below(path: Path, out: Path | None) -> list[tuple[Path, Path]]:
    """Return the photos and videos at a path or below it."""
    if not os.path.isdir(path):
        return [(path, Path(path.name))]
    skipped = os.path.realpath(out) if out else None
    pairs = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(Path(folder, name)) != skipped
        )
        files = [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
        known = (*media.PHOTO_SUFFIXES, *media.VIDEO_SUFFIXES)
        pairs += [(file, file.relative_to(path)) for file in files if file.suffix.lower() in known]
    return pairs


def targets(found: list[tuple[Path, Path]], out: Path) -> dict[Path, Path]:
    """Choose a path for the annotated copy of every file, none of them one of the files themselves."""
    originals = {os.path.realpath(path) for path, _ in found}
    targets, taken = {}, set()
    for path, relative in found:
        suffix = path.suffix.lower() if path.suffix.lower() in media.WRITABLE_SUFFIXES else ".png"
        target = out / relative.with_suffix(".mp4" if media.is_video(path) else suffix)
        stem, number = target.stem, 2
        while str(target).casefold() in taken:  # a.jpg of two folders, or film.avi beside film.mov
            target, number = target.with_name(f"{stem}_{number}{target.suffix}"), number + 1
        if os.path.realpath(target) in originals:
            raise FerlibError(f"annotated copies in {out} would replace {path}: choose another folder")
        taken.add(str(target).casefold())
        targets[path] = target
    return targets


def check_results(taken: Iterable[Path], *results: str | Path | None) -> None:
    """Refuse results that are no file, or whose file, finished or not, is read or written as another, too."""
    others = {os.path.realpath(path) for path in taken}
    for path in (Path(result) for result in results if result):
        try:
            real = os.path.realpath(destination(path))
        except OSError as error:
            raise FerlibError(f"{path}: cannot be written, {error.strerror}; name a file") from None
        for name in (real, real + PARTIAL):
            if name in others:
                raise FerlibError(f"{name} would be written over: give the results a file of their own")
            others.add(name)


@contextmanager
def unfinished(target: str | Path, is_worth_keeping: Callable[[], bool]) -> Iterator[IO[str]]:
    """Open a file for lines of results, which is called ``NAME.partial`` until it is whole.

    An interrupted one keeps that name, if it is worth keeping, until a whole file has all of its lines.
    """
    with named(target):
        place = destination(Path(target))
        place.parent.mkdir(parents=True, exist_ok=True)
        file = open_unfinished(place)
    try:
        yield file
    except BaseException:
        with suppress(OSError):  # a full disk, which was told already
            file.close()
        if is_worth_keeping():
            print(f"ferlib: what was finished is kept in {file.name}", file=sys.stderr)
        else:
            Path(file.name).unlink()
        raise
    file.close()
    _finish(file.name, place)


@contextmanager
def named(target: str | Path) -> Iterator[None]:
    """Let an error tell the file that the user named."""
    try:
        yield
    except OSError as error:
        error.filename = str(target)
        raise


def open_unfinished(target: Path) -> IO[str]:
    """Open ``NAME.partial`` for lines of results; if there is one already, the name gets a number."""
    numbers = itertools.chain([""], (f".{number}" for number in itertools.count(2)))
    while True:
        path = target.with_name(target.name + PARTIAL + next(numbers))
        with suppress(FileExistsError):
            return path.open("x", encoding="utf-8", errors="backslashreplace", newline="", buffering=1)


def _finish(unfinished: str, target: Path) -> None:
    """Give a file of results its name, and remove what interrupted calls left that it begins with."""
    os.replace(unfinished, target)
    ours = re.compile(re.escape(target.name + PARTIAL) + r"(\.\d+)?")  # and not a copy by another name
    left = [path for path in target.parent.iterdir() if ours.fullmatch(path.name)]
    for path in left:
        with suppress(OSError):
            if not path.is_symlink() and target.read_bytes().startswith(path.read_bytes()):
                path.unlink()


def make_folder(out: Path) -> None:
    """Fail before the first of thousands of photos if no annotated copy can be written."""
    try:
        refuse_unwritable(out)
        remove_leftovers(out, "**/.ferlib-*")
    except OSError as error:
        problem = f"annotated copies cannot be written there ({error.strerror}); name another folder"
        raise FerlibError(f"{out}: {problem}") from None
