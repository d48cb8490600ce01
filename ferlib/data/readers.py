"""Reads FER-2013 from Kaggle's zip, its unpacked folders, or the competition's csv, checking every image."""

import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from ferlib.data import decoding, layout
from ferlib.data.demo import Faces
from ferlib.data.layout import is_clutter
from ferlib.labels import CLASSES, IMAGE_SIZE, FerlibError
from ferlib.words import listed

MOST_IMAGES = 1_000_000
"""Images that a data set may have; they are held in memory once, 2.3 kB each."""

DEPTH = 3
"""Folders below the one named that are searched for the data set."""

_PREFERRED = (
    *("archive.zip", "fer2013.zip", "fer2013.csv", "icml_face_data.csv", "fer2013.tar.gz", "fer2013.tar"),
)
_TABLES = ("fer2013.csv", "icml_face_data.csv", "fer2013", "icml_face_data")
_CONTAINERS = (".zip", ".csv", ".tar.gz", ".tgz", ".tar")
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, OverflowError, RuntimeError, UnicodeDecodeError),
)
"""What Python's readers of archives raise on damaged ones."""


class Reading(NamedTuple):
    """What a reader returns.

    Attributes:
        faces: The images in the order of the files or rows.
        notes: Warnings for the user.
        classes: Names of the classes in code order.
    """

    faces: Faces
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = CLASSES


def locate(path: Path, missing_ok: bool = False) -> Path | None:
    """Find the data set at or inside a path, the nearest one.

    Args:
        path: A zip, csv or tar, a folder with ``train/`` and ``test/``, or a folder with one of these
            at most `DEPTH` folders deeper.
        missing_ok: Return None, instead of raising, for a folder with nothing of the kind.

    Returns:
        The file, or the folder that holds ``train/`` or ``test/``.

    Raises:
        FerlibError: Nothing, or more than one possible file or folder, stands there.
    """
    if os.path.isfile(path):  # Path's own methods raise where a path can't be looked at
        return path
    if not os.path.isdir(path):
        raise FerlibError(
            f"{path}: no such file or folder that can be looked at; "
            "give archive.zip, its unpacked folder, or fer2013.csv."
        )
    level = [path]
    for _ in range(DEPTH + 1):
        inside = {folder: _entries(folder, folder == path) for folder in level}
        if found := [folder for folder in level if any(_is_split(entry) for entry in inside[folder])]:
            return _only(found, path, "folder")
        for entries in inside.values():
            files = [entry for entry in entries if _is_container(entry)]
            named = [entry for name in _PREFERRED for entry in files if entry.name.casefold() == name]
            if files:
                return named[0] if named else _only(files, path, "file")
        level = [entry for entries in inside.values() for entry in entries if os.path.isdir(entry)]
    if missing_ok:
        return None
    raise FerlibError(
        f"{path}: holds neither train/ and test/ nor archive.zip or fer2013.csv; put one there."
    )


def _entries(folder: Path, named: bool) -> list[Path]:
    """List a folder without clutter; one that may not be opened counts as empty, but for the one named."""
    try:
        return sorted(entry for entry in folder.iterdir() if not is_clutter(entry.name))
    except OSError as problem:
        return _refuse(problem) if named else []


def _refuse(problem: OSError):
    told = f"{problem.filename}: cannot be opened ({problem.strerror}); allow reading it."
    raise FerlibError(told) from None


def _is_split(entry: Path) -> bool:
    return layout.is_split(entry.name) and os.path.isdir(entry)


def _only(found: list[Path], path: Path, kind: str) -> Path:
    if len(found) > 1:
        names = ", ".join(entry.relative_to(path).as_posix() for entry in found)
        raise FerlibError(f"{path}: cannot tell which of {names} is FER-2013; name the {kind} itself.")
    return found[0]


def _is_container(entry: Path) -> bool:
    name = entry.name.casefold()
    if name == "ferplus.csv" or not os.path.isfile(entry):
        return False
    return name.endswith(_CONTAINERS) or not entry.suffix and _looks_like_data(entry)


def _looks_like_data(file: Path) -> bool:
    """Tell from its beginning whether a file without suffix is a zip, a tar or fer2013.csv."""
    try:
        with file.open("rb") as opened:
            start = opened.read(512)
    except OSError:
        return False
    header = start.partition(b"\n")[0].lower()
    is_table = b"emotion" in header and b"pixels" in header
    return is_table or start.startswith((b"PK\x03\x04", b"\x1f\x8b")) or start[257:262] == b"ustar"


def read(path: Path) -> Reading:
    """Read all images of a data set.

    Args:
        path: What ``locate`` returned.

    Returns:
        The images, notes on what was left out or is doubtful, and the class names.

    Raises:
        FerlibError: The first problem found, naming file, member or row.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        name = path.name.casefold()
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        if name.endswith(".zip"):
            raise FerlibError(f"{path}: not a zip file, or cut off at its end; download it again.")
        if name.endswith((".tar.gz", ".tgz", ".tar")) or not path.suffix and tarfile.is_tarfile(path):
            return _read_tar(path)
        with path.open("rb") as file:
            return Reading(decoding.read(file, path.stat().st_size, str(path)))
    except _DAMAGE as problem:
        reason = str(problem).partition("\n")[0].rstrip(":")  # of a tar it lists all that was tried
        remedy = "allow reading it" if isinstance(problem, PermissionError) else "download it again"
        raise FerlibError(f"{path}: cannot be read to its end ({reason}); {remedy}.") from problem


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder and below, also behind links, but for clutter.

    Raises:
        FerlibError: A folder cannot be listed, or links lead to it twice.
    """
    seen = set()
    for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # each would be read twice, and links that lead to each other never end
            raise FerlibError(
                f"{place}: leads to {real}, which is here by another name, too; remove one of them."
            )
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        for name in [name for name in folders if os.path.islink(os.path.join(place, name))]:
            if os.path.commonpath([real, linked := os.path.realpath(os.path.join(place, name))]) == linked:
                folders.remove(name)  # it leads back to a folder above, and so round for ever
        yield from (Path(place, name) for name in sorted(names) if not is_clutter(name))


def _read_folder(folder: Path) -> Reading:
    sizes = {}
    for path in files_below(folder):
        if path.is_symlink() and not path.exists():
            raise FerlibError(f"{path}: is a link that leads nowhere; mend or remove it.")
        if path.is_file():
            sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    return _read_images(sizes, lambda member: (folder / member).read_bytes(), str(folder))


def _read_zip(path: Path) -> Reading:
    with zipfile.ZipFile(path) as archive:
        _refuse_odd_names(archive.namelist(), path)
        sizes = {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}
        table = _choose_csv(sizes, path)
        if table is None or any(map(layout.is_image_of_split, sizes)):
            return _read_images(sizes, archive.read, str(path))
        with archive.open(table) as file:
            return Reading(decoding.read(file, sizes[table], f"{path}: {table}"))


def _read_tar(path: Path) -> Reading:
    with tarfile.open(path) as archive:
        members, size = [], 0
        for member in archive:
            size += member.size
            if size > decoding.MOST_TABLE_BYTES:
                raise FerlibError(
                    f"{path}: unpacks to more than {decoding.MOST_TABLE_BYTES:,} bytes; do not trust it."
                )
            if member.isfile():
                members.append(member.name)
        while archive.fileobj.read(2**20):  # to the end, where the checksum of all is
            pass
        _refuse_odd_names(members, path)
        table = _choose_csv(members, path)
        if table is None:
            raise FerlibError(f"{path}: holds no fer2013.csv; give the competition's fer2013.tar.gz.")
        return Reading(
            decoding.read(archive.extractfile(table), archive.getmember(table).size, f"{path}: {table}")
        )


def _choose_csv(members: Iterable[str], path: Path) -> str | None:
    names = {member: PurePosixPath(member).name.casefold() for member in members if not is_clutter(member)}
    for known in _TABLES:
        if found := [member for member, name in names.items() if name == known]:
            return found[0]
    others = [member for member, name in names.items() if name.endswith(".csv") and name != "ferplus.csv"]
    if len(others) > 1:
        raise FerlibError(f"{path}: cannot tell which of {listed(others)} is FER-2013; unpack that one.")
    return next(iter(others), None)


def _refuse_odd_names(members: list[str], path: Path) -> None:
    """Refuse names that lead out of the archive, and two members of one name."""
    seen = set()
    for member in members:
        parts = PurePosixPath(member.replace("\\", "/")).parts
        if ".." in parts or member.startswith(("/", "\\")) or ":" in member:
            raise FerlibError(
                f"{path}: member {member!r} points outside the archive; do not trust this file."
            )
        if member in seen and not member.endswith("/") and not is_clutter(member):
            raise FerlibError(f"{path}: holds {member} twice; pack it again.")
        seen.add(member)


def _read_images(sizes: dict[str, int], content: Callable[[str], bytes], where: str) -> Reading:
    """Read a ``train/ test/`` layout from members of these sizes; ``content`` returns a member's bytes."""
    placed, left_out = layout.places(sizes, where)
    if len(placed) > MOST_IMAGES:
        raise FerlibError(f"{where}: holds {len(placed):,} images, more than {MOST_IMAGES:,}; take fewer.")
    classes, emotion_of, notes = layout.classes(placed, where)
    labels = np.array([classes.index(emotion_of[place.emotion]) for place in placed], np.int64)
    images = np.empty((len(placed), IMAGE_SIZE, IMAGE_SIZE, 1), np.uint8)
    for n, place in enumerate(decoding.progress(placed, where)):
        said = f"{where}: {place.member}"
        if sizes[place.member] > decoding.MOST_PICTURE_BYTES:
            raise FerlibError(f"{said} has more than {decoding.MOST_PICTURE_BYTES:,} bytes; shrink it.")
        images[n, ..., 0] = decoding.grey(content(place.member), said, any_size=classes != CLASSES)
    splits, doubts = layout.splits(placed, images, labels, where)
    layout.check_splits(splits, labels, classes, where)
    names = np.array([layout.shown(place.name) for place in placed])
    return Reading(Faces(images, labels, splits, names), left_out + notes + doubts, classes)
