"""Reads FER-2013 from Kaggle's zip, its unpacked folders, or the competition's csv, checking every image."""

import csv
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from tqdm import tqdm

from ferlib.demo import Faces
from ferlib.labels import CLASSES, IMAGE_SIZE, KAGGLE_SPLITS, SPLITS, FerlibError

RENUMBERED = (
    "The files in test/ carry no PublicTest_ or PrivateTest_ in their names, so the official split is lost: "
    "they are divided by class into halves with a fixed seed, and results are not comparable with others'."
)

_FOLDERS = ("train", "test")
_PREFERRED = ("archive.zip", "fer2013.zip", "fer2013.csv", "icml_face_data.csv", "fer2013.tar.gz")
_PIXELS = IMAGE_SIZE * IMAGE_SIZE


def locate(path: Path, missing_ok: bool = False) -> Path | None:
    """Find the data set at or inside a path.

    Args:
        path: A zip, csv or tar.gz, a folder with ``train/`` and ``test/``, or a folder with one of these.
        missing_ok: Return None, instead of raising, for a folder with nothing of the kind.

    Returns:
        The file, or the folder that holds ``train/`` or ``test/``.

    Raises:
        FerlibError: Nothing, or more than one possible file, stands there.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise FerlibError(
            f"{path}: no such file or folder; give archive.zip, its unpacked folder, or fer2013.csv."
        )
    inside = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    for folder in (path, *inside):
        if any((folder / name).is_dir() for name in _FOLDERS):
            return folder
    for folder in (path, *inside):
        files = [entry for entry in sorted(folder.iterdir()) if _is_container(entry)]
        preferred = [entry for name in _PREFERRED for entry in files if entry.name == name]
        if preferred or len(files) == 1:
            return (preferred or files)[0]
        if files:
            names = ", ".join(entry.name for entry in files)
            raise FerlibError(f"{folder}: cannot tell which of {names} is FER-2013; name the file itself.")
    if missing_ok:
        return None
    raise FerlibError(
        f"{path}: holds neither train/ and test/ nor archive.zip or fer2013.csv; put one there."
    )


def read(path: Path) -> tuple[Faces, tuple[str, ...]]:
    """Read all images of a data set.

    Args:
        path: What ``locate`` returned.

    Returns:
        The images in the order of the files or rows, and warnings for the user.

    Raises:
        FerlibError: The first problem found, naming file, member or row.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        if path.name.endswith((".tar.gz", ".tgz", ".tar")):
            return _read_tar(path)
        if path.suffix == ".zip":
            raise FerlibError(f"{path}: not a zip file, or cut off at its end; download it again.")
        with path.open("rb") as file:
            return _read_csv(file, str(path)), ()
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError) as problem:
        reason = str(problem).partition("\n")[0].rstrip(":")  # of a tar it lists all that was tried
        raise FerlibError(f"{path}: cannot be read to its end ({reason}); download it again.") from problem


def _is_container(entry: Path) -> bool:
    return entry.name.endswith((".zip", ".csv", ".tar.gz", ".tgz")) and entry.name != "ferplus.csv"


def _read_folder(folder: Path) -> tuple[Faces, tuple[str, ...]]:
    paths = [path for name in _FOLDERS for path in (folder / name).rglob("*")]
    for path in paths:
        if path.is_symlink() and not path.exists() and not _is_clutter(path.name):
            raise FerlibError(f"{path}: is a link that leads nowhere; mend or remove it.")
    members = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return _read_images(members, lambda member: (folder / member).read_bytes(), str(folder))


def _read_zip(path: Path) -> tuple[Faces, tuple[str, ...]]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if not member.endswith("/")]
        for member in members:
            _refuse_escape(member, path)
        table = _choose_csv(members)
        if table and not any(set(_FOLDERS) & set(PurePosixPath(member).parts) for member in members):
            with archive.open(table) as file:
                return _read_csv(file, f"{path}: {table}"), ()
        return _read_images(members, archive.read, str(path))


def _read_tar(path: Path) -> tuple[Faces, tuple[str, ...]]:
    with tarfile.open(path) as archive:
        members = [member.name for member in archive if member.isfile()]
        for member in members:
            _refuse_escape(member, path)
        table = _choose_csv(members)
        if table is None:
            raise FerlibError(f"{path}: holds no fer2013.csv; give the competition's fer2013.tar.gz.")
        return _read_csv(archive.extractfile(table), f"{path}: {table}"), ()


def _choose_csv(members: list[str]) -> str | None:
    tables = [member for member in members if member.endswith(".csv") and not _is_clutter(member)]
    known = [table for name in _PREFERRED for table in tables if PurePosixPath(table).name == name]
    return next(iter(known or tables), None)


def _refuse_escape(member: str, path: Path) -> None:
    parts = PurePosixPath(member.replace("\\", "/")).parts
    if ".." in parts or member.startswith(("/", "\\")) or ":" in member:
        raise FerlibError(f"{path}: member {member!r} points outside the archive; do not trust this file.")


def _is_clutter(member: str) -> bool:
    """Tell whether an operating system left this file behind, such as ``.DS_Store``."""
    parts = PurePosixPath(member).parts
    return "__MACOSX" in parts or parts[-1].startswith(".") or parts[-1] in ("Thumbs.db", "desktop.ini")


def _read_images(
    members: Iterable[str], content: Callable[[str], bytes], where: str
) -> tuple[Faces, tuple[str, ...]]:
    """Read a ``train/ test/`` layout; ``content`` returns the bytes of a member."""
    placed = sorted(_places(members, where))
    _check_layout(placed, where)
    names = [PurePosixPath(member).name for _, _, member in placed]
    labels = np.array([CLASSES.index(emotion) for _, emotion, _ in placed], np.int64)
    images = np.empty((len(placed), IMAGE_SIZE, IMAGE_SIZE, 1), np.uint8)
    for n, (_, _, member) in enumerate(_progress(placed, where)):
        images[n, ..., 0] = _decode(content(member), f"{where}: {member}")
    splits, notes = _splits(placed, names, images, labels, where)
    return Faces(images, labels, splits, np.array(names)), notes


def _places(members: Iterable[str], where: str) -> Iterator[tuple[str, str, str]]:
    """Yield folder, class and member of every image, leaving out what stands outside ``train/ test/``."""
    roots = set()
    for member in members:
        parts = PurePosixPath(member).parts
        folder = next((part for part in parts[:-1] if part in _FOLDERS), None)
        if folder is None or _is_clutter(member):
            continue
        start = parts.index(folder)
        roots.add(parts[:start])
        if len(parts) != start + 3 or parts[start + 1] not in CLASSES:
            raise FerlibError(
                f"{where}: {member} is not in a class folder; name it {folder}/<class>/<image> "
                f"with a class of {', '.join(CLASSES)}."
            )
        yield folder, parts[start + 1], member
    if len(roots) > 1:
        found = " and ".join(sorted("/".join((*root, "train")) for root in roots))
        raise FerlibError(f"{where}: holds more than one data set ({found}); keep one of them.")


def _check_layout(placed: list[tuple[str, str, str]], where: str) -> None:
    present = {(folder, emotion) for folder, emotion, _ in placed}
    if not present:
        raise FerlibError(
            f"{where}: holds no train/<class>/ and test/<class>/ images; give FER-2013's archive.zip."
        )
    for folder in _FOLDERS:
        if folder not in {found for found, _ in present}:
            raise FerlibError(f"{where}: the split {folder}/ is missing; unpack the archive again.")
        for emotion in CLASSES:
            if (folder, emotion) not in present:
                raise FerlibError(f"{where}: {folder}/{emotion}/ holds no images; unpack the archive again.")


def _decode(content: bytes, where: str) -> np.ndarray:
    """Return the uint8 (48, 48) pixels of one image file."""
    if content.startswith(b"\xff\xd8") and b"\xff\xd9" not in content[-32:]:
        raise FerlibError(f"{where}: the JPEG is cut off; replace the file.")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if image is None:
        raise FerlibError(f"{where}: cannot be read as an image; replace or remove the file.")
    if image.shape != (IMAGE_SIZE, IMAGE_SIZE) or image.dtype != np.uint8:
        kind = "grey" if image.ndim == 2 else "colour"
        raise FerlibError(
            f"{where}: is a {8 * image.itemsize}-bit {kind} image of {image.shape[1]}x{image.shape[0]} "
            f"pixels; FER-2013 has 8-bit grey ones of {IMAGE_SIZE}x{IMAGE_SIZE}, so convert it."
        )
    return image


def _splits(placed, names, images, labels, where) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the split of every image from folder and file name, or seeded halves of a renumbered test/."""
    prefixes = [name.partition("_")[0] for name in names]
    for (folder, _, member), prefix in zip(placed, prefixes, strict=True):
        if prefix in KAGGLE_SPLITS and (folder == "train") != (prefix == "Training"):
            raise FerlibError(f"{where}: {member} stands in {folder}/ but its name says {prefix}; move it.")
    in_test = np.array([folder == "test" for folder, _, _ in placed])
    official = np.array([prefix in KAGGLE_SPLITS for prefix in prefixes])
    if not official[in_test].any():
        return _halves(in_test, images, labels), (RENUMBERED,)
    for (_, _, member), unnamed in zip(placed, in_test & ~official, strict=True):
        if unnamed:
            raise FerlibError(
                f"{where}: {member} is named neither PublicTest_ nor PrivateTest_; rename or remove it."
            )
    splits = np.array([SPLITS.index(KAGGLE_SPLITS.get(prefix, "train")) for prefix in prefixes], np.int64)
    _check_splits(splits, labels, where)
    return splits, ()


def _halves(in_test: np.ndarray, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    splits = np.zeros(len(labels), np.int64)
    for label in range(len(CLASSES)):
        members = np.flatnonzero(in_test & (labels == label))
        # By pixels, not by name, so that every copy of the same images is halved alike.
        members = members[np.argsort([images[n].tobytes() for n in members], kind="stable")]
        members = np.random.default_rng([2013, label]).permutation(members)
        splits[members[: len(members) // 2]], splits[members[len(members) // 2 :]] = 1, 2
    return splits


def _check_splits(splits: np.ndarray, labels: np.ndarray, where: str) -> None:
    for usage, split in KAGGLE_SPLITS.items():
        counts = np.bincount(labels[splits == SPLITS.index(split)], minlength=len(CLASSES))
        if not counts.any():
            raise FerlibError(f"{where}: holds no {usage} images; all three splits are needed.")
        if not counts.all():
            missing = CLASSES[counts.argmin()]
            raise FerlibError(f"{where}: holds no {usage} images of {missing}; download it again.")


def _read_csv(file, where: str) -> Faces:
    """Read ``fer2013.csv`` or ``icml_face_data.csv`` from a stream of bytes."""
    try:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        header = [column.strip() for column in next(rows, [])]
        columns = [_column(header, name, where) for name in ("emotion", "pixels", "Usage")]
        records = [
            _parse_row(row, columns, f"{where}: line {rows.line_num}")
            for row in _progress(filter(None, rows), where)
        ]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise FerlibError(f"{where}: is not a csv of text ({problem}); give fer2013.csv.") from problem
    if not records:
        raise FerlibError(f"{where}: holds no rows below its header; download it again.")
    labels, images, splits = (np.array(values) for values in zip(*records, strict=True))
    _check_splits(splits, labels, where)
    names = np.array([f"row_{number:06d}" for number in range(len(records))])
    return Faces(images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1), labels, splits, names)


def _column(header: list[str], name: str, where: str) -> int:
    if name not in header:
        raise FerlibError(
            f"{where}: has no column {name!r} but {', '.join(header) or 'no header at all'}; "
            "give fer2013.csv or icml_face_data.csv, whose columns are emotion, pixels and Usage."
        )
    return header.index(name)


def _parse_row(row: list[str], columns: list[int], where: str) -> tuple[int, np.ndarray, int]:
    """Return label, uint8 (2304,) pixels and split code of one csv row."""
    if len(row) <= max(columns):
        raise FerlibError(
            f"{where}: has {len(row)} fields instead of {max(columns) + 1}; download the file again."
        )
    emotion, pixels, usage = (row[column].strip() for column in columns)
    if emotion not in map(str, range(len(CLASSES))):
        raise FerlibError(
            f"{where}: emotion is {emotion!r}, expected a code from 0 to {len(CLASSES) - 1}; mend it."
        )
    if usage not in KAGGLE_SPLITS:
        raise FerlibError(
            f"{where}: Usage is {usage!r}, expected one of {', '.join(KAGGLE_SPLITS)}; mend it."
        )
    return int(emotion), _parse_pixels(pixels, where), SPLITS.index(KAGGLE_SPLITS[usage])


def _parse_pixels(text: str, where: str) -> np.ndarray:
    try:
        values = np.fromstring(text, dtype=np.int64, sep=" ")
    except ValueError:
        odd = next((word for word in text.split() if not word.isdecimal()), text[:20])
        raise FerlibError(f"{where}: a pixel is {odd!r}, expected a number from 0 to 255; mend it.") from None
    if len(values) != _PIXELS:
        raise FerlibError(
            f"{where}: has {len(values)} pixels instead of {_PIXELS}; mend the row or download again."
        )
    if len(odd := values[(values < 0) | (values > 255)]):
        raise FerlibError(f"{where}: a pixel is {odd[0]}, expected a number from 0 to 255; mend it.")
    return values.astype(np.uint8)


def _progress(items: Iterable, where: str) -> Iterable:
    """Show a bar on terminals while reading."""
    name = Path(where.partition(": ")[0]).name
    return tqdm(items, desc=f"reading {name}", unit=" images", leave=False, disable=None)
