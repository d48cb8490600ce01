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

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None

PARTIAL = ".partial"
"""What the names of files end in that are not finished."""


def expand(
    patterns: Iterable[str | Path], out: Path | None = None
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Find the files that paths, folders and glob patterns stand for.

    Args:
        patterns: As for `predict_files`.
        out: A folder whose files are left out: the annotated copies of an earlier call.

    Returns:
        Pairs of a file and its path below the folder that was named (its name, if it was named itself),
        every file once; and a sentence for each pattern that stands for nothing, and for photos left out.
    """
    found: dict[str, tuple[Path, Path]] = {}
    problems = []
    for pattern in patterns:
        if not str(pattern):  # from an unset variable of a shell; Path takes it for the current folder
            problems.append("'': an empty name stands for no file")
            continue
        path = expanded(pattern)
        named = [path] if os.path.exists(path) else [Path(name) for name in sorted(_matching(path.parts))]
        pairs, unread = [], []
        for name in named:
            below, left_out = _below(name, out)
            pairs, unread = pairs + below, unread + left_out
        if unread:
            problems.append(f"{pattern}: {_left_out(unread)}")
        elif not pairs:
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


def _below(path: Path, out: Path | None) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Return the photos and videos at a path or below it, and the photos that cannot be read here."""
    if not os.path.isdir(path):
        return [(path, Path(path.name))], []
    skipped = os.path.realpath(out) if out else None
    pairs, unread = [], []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(Path(folder, name)) != skipped
        )
        files = [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
        known = (*media.PHOTO_SUFFIXES, *media.VIDEO_SUFFIXES)
        known += media.HEIF_SUFFIXES if media.reads_heif() else ()
        pairs += [(file, file.relative_to(path)) for file in files if file.suffix.lower() in known]
        others = {*media.HEIF_SUFFIXES, *media.RAW_SUFFIXES}.difference(known)
        unread += [file for file in files if file.suffix.lower() in others]
    return pairs, unread


def _left_out(unread: list[Path]) -> str:
    """Say which photos are left out and what makes them readable."""
    heif = sum(path.suffix.lower() in media.HEIF_SUFFIXES for path in unread)
    told = []
    if heif:
        told.append(f"{heif} HEIC photo{'s' * (heif > 1)} skipped: run pip install pillow-heif to read them")
    if raw := len(unread) - heif:
        told.append(f"{raw} raw photo{'s' * (raw > 1)} skipped: develop them into JPEG first")
    return "; ".join(told)


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

    An interrupted one keeps that name, and the lines that were finished, until a whole file has all of them.

    Args:
        target: Where it goes in the end; its folder is made if missing.
        is_worth_keeping: Says of an interrupted file whether it stays under its unfinished name.

    Raises:
        OSError: It can't be written; the error names the target.
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
            file = path.open("x", encoding="utf-8", errors="backslashreplace", newline="", buffering=1)
            _held(file)
            return file


def _finish(unfinished: str, target: Path) -> None:
    """Give a file of results its name, and remove what interrupted calls left of the same lines."""
    os.replace(unfinished, target)
    ours = re.compile(re.escape(target.name + PARTIAL) + r"(\.\d+)?")  # and not a copy by another name
    left = [path for path in target.parent.iterdir() if ours.fullmatch(path.name)]
    left = [path for path in left if path.is_file() and not path.is_symlink()]
    has = set(target.read_bytes().split(b"\n")) if left else set()
    for path in left:
        with suppress(OSError):
            with path.open("rb") as opened:
                *lines, cut = opened.read().split(b"\n")  # a kill may come within a line
                spare = _held(opened) and has.issuperset(lines) and any(line.startswith(cut) for line in has)
            if spare:
                path.unlink()


def _held(file: IO) -> bool:
    """Hold a file as long as it is open, and say whether nobody else does."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def make_folder(out: Path) -> None:
    """Fail before the first of thousands of photos if no annotated copy can be written."""
    try:
        refuse_unwritable(out)
        remove_leftovers(out, "**/.ferlib-*")
    except OSError as error:
        problem = f"annotated copies cannot be written there ({error.strerror}); name another folder"
        raise FerlibError(f"{out}: {problem}") from None
