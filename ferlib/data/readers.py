"""Reads FER-2013 from Kaggle's zip, its unpacked folders, or the competition's csv, checking every image."""

import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from ferlib.data import decoding, layout
from ferlib.data.demo import Faces
from ferlib.data.layout import is_clutter
from ferlib.labels import CLASSES, IMAGE_SIZE, FerlibError
from ferlib.words import listed

DEPTH = 3
"""Folders below the one named that are searched for the data set."""

_PREFERRED = ("archive.zip", "fer2013.zip", "fer2013.csv", "icml_face_data.csv", "fer2013.tar.gz")
_TABLES = ("fer2013.csv", "icml_face_data.csv")
_TARS = (".tar.gz", ".tgz", ".tar")


class Reading(NamedTuple):
    """Images in the order of the files or rows, warnings for the user, and classes in code order."""

    faces: Faces
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = CLASSES


def locate(path: Path, missing_ok: bool = False) -> Path | None:
    """Find the data set at or inside a path, the nearest one, at most `DEPTH` folders deeper.

    Args:
        path: A zip, csv or tar, a folder with ``train/`` and ``test/``, or a folder with one of these.
        missing_ok: Return None, instead of raising, for a folder with nothing of the kind.

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
    os.listdir(path)  # raises where it must not be opened; a folder below may be such, as lost+found is
    level = [path]
    for _ in range(DEPTH + 1):
        entries = [entry for folder in level for entry in sorted(folder.glob("*"))]
        entries = [entry for entry in entries if not is_clutter(entry.name)]
        if found := sorted({entry.parent for entry in entries if _is_split(entry)}):
            return _only(found, path, "folder")
        files = [entry for entry in entries if _is_container(entry)]
        named = [entry for name in _PREFERRED for entry in files if entry.name.casefold() == name]
        if files:
            return named[0] if named else _only(files, path, "file")
        level = [entry for entry in entries if os.path.isdir(entry)]
    if missing_ok:
        return None
    raise FerlibError(
        f"{path}: holds neither train/ and test/ nor archive.zip or fer2013.csv; put one there."
    )


def _is_split(entry: Path) -> bool:
    return layout.is_split(entry.name) and os.path.isdir(entry)


def _only(found: list[Path], path: Path, kind: str) -> Path:
    if len(found) > 1:
        names = ", ".join(entry.relative_to(path).as_posix() for entry in found)
        raise FerlibError(f"{path}: cannot tell which of {names} is FER-2013; name the {kind} itself.")
    return found[0]


def _is_container(entry: Path) -> bool:
    name = entry.name.casefold()
    return name.endswith((".zip", ".csv", *_TARS)) and name != "ferplus.csv" and os.path.isfile(entry)


def read(path: Path) -> Reading:
    """Read all images of what ``locate`` returned, or name the first problem with its file, member or row."""
    try:
        if path.is_dir():
            return _read_folder(path)
        name = path.name.casefold()
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        if name.endswith(".zip"):
            raise FerlibError(f"{path}: not a zip file, or cut off at its end; download it again.")
        if name.endswith(_TARS):
            return _read_tar(path)
        with path.open("rb") as file:
            return Reading(decoding.read(file, str(path)))
    except FerlibError:
        raise
    except Exception as problem:  # Python's readers of damaged archives raise errors of many kinds
        reason = str(problem).partition("\n")[0].rstrip(":")  # of a tar it lists all that was tried
        remedy = "allow reading it" if isinstance(problem, PermissionError) else "download it again"
        raise FerlibError(f"{path}: cannot be read to its end ({reason}); {remedy}.") from problem


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder and below, also behind links, but for clutter."""
    seen = set()
    for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # each would be read twice, and links that lead to each other never end
            raise FerlibError(
                f"{place}: leads to {real}, which is here by another name, too; remove one of them."
            )
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        for file in (Path(place, name) for name in sorted(names) if not is_clutter(name)):
            if not os.path.exists(file):
                raise FerlibError(f"{file}: is a link that leads nowhere; mend or remove it.")
            yield file


def _refuse(problem: OSError):
    raise FerlibError(f"{problem.filename}: cannot be opened ({problem.strerror}); allow reading it.")


def _read_folder(folder: Path) -> Reading:
    members = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    return _read_images(members, lambda member: (folder / member).read_bytes(), str(folder))


def _read_zip(path: Path) -> Reading:
    with zipfile.ZipFile(path) as archive:
        _refuse_odd_names(archive.namelist(), path)
        members = [info.filename for info in archive.infolist() if not info.is_dir()]
        has_splits = any(layout.is_split(part) for member in members for part in PurePosixPath(member).parts)
        table = None if has_splits else _choose_csv(members, path)
        if table is None:
            return _read_images(members, archive.read, str(path))
        with archive.open(table) as file:
            return Reading(decoding.read(file, f"{path}: {table}"))


def _read_tar(path: Path) -> Reading:
    with tarfile.open(path) as archive:
        members = [member.name for member in archive if member.isfile()]
        while archive.fileobj.read(2**20):  # to the end, where the checksum of all is
            pass
        _refuse_odd_names(members, path)
        table = _choose_csv(members, path)
        if table is None:
            raise FerlibError(f"{path}: holds no fer2013.csv; give the competition's fer2013.tar.gz.")
        return Reading(decoding.read(archive.extractfile(table), f"{path}: {table}"))


def _choose_csv(members: Iterable[str], path: Path) -> str | None:
    names = {member: PurePosixPath(member).name.casefold() for member in members if not is_clutter(member)}
    tables = [member for member, name in names.items() if name.endswith(".csv") and name != "ferplus.csv"]
    known = [member for table in _TABLES for member in tables if names[member] == table]
    if not known and len(tables) > 1:
        raise FerlibError(f"{path}: cannot tell which of {listed(tables)} is FER-2013; unpack that one.")
    return next(iter(known + tables), None)


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


def _read_images(members: list[str], content: Callable[[str], bytes], where: str) -> Reading:
    """Read a ``train/ test/`` layout; ``content`` returns a member's bytes."""
    placed, left_out = layout.places(members, where)
    classes, emotion_of, notes = layout.classes(placed, where)
    labels = np.array([classes.index(emotion_of[place.emotion]) for place in placed], np.int64)
    images = np.empty((len(placed), IMAGE_SIZE, IMAGE_SIZE, 1), np.uint8)
    for n, place in enumerate(decoding.progress(placed, where)):
        said = f"{where}: {place.member}"
        images[n, ..., 0] = decoding.grey(content(place.member), said, any_size=classes != CLASSES)
    splits, doubts = layout.splits(placed, images, labels, where)
    layout.check_splits(splits, labels, classes, where)
    names = np.array([place.name for place in placed])
    return Reading(Faces(images, labels, splits, names), left_out + notes + doubts, classes)
