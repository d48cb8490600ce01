"""Split and class of each file of a data set, from its folders and name as people spell them."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from ferlib.labels import CLASSES, KAGGLE_SPLITS, RESERVED, SPLITS, FerlibError
from ferlib.words import listed

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "publictest"), "valid"),
    **dict.fromkeys(("test", "testing", "privatetest"), "test"),
}
"""Folder names, in small letters, to split name."""

CLASS_FOLDERS = {
    **dict.fromkeys(("angry", "anger"), "angry"),
    **dict.fromkeys(("disgust", "disgusted", "disgusting"), "disgust"),
    **dict.fromkeys(("fear", "fearful", "afraid", "scared"), "fear"),
    **dict.fromkeys(("happy", "happiness", "joy", "joyful"), "happy"),
    **dict.fromkeys(("sad", "sadness"), "sad"),
    **dict.fromkeys(("surprise", "surprised", "surprising"), "surprise"),
    "neutral": "neutral",
    **{str(code): emotion for code, emotion in enumerate(CLASSES)},
}
"""Folder names, in small letters, to class name; digits are the codes of fer2013.csv."""

USAGES = {usage.casefold(): SPLITS.index(split) for usage, split in KAGGLE_SPLITS.items()}
"""Usage column and file prefix, in small letters, to position in ``SPLITS``."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

_CLUTTER = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"}

HALVED = (
    "The files in {}/ carry no PublicTest_ or PrivateTest_ in their names, so the official split is lost: "
    "they are divided by class into halves with a fixed seed, and results are not comparable with others'."
)
TAKEN = (
    "The file names do not tell the official split: {} are taken as they stand, and results are comparable "
    "with others' only if these are FER-2013's own."
)


class Place(NamedTuple):
    """Where an image stands: its split and class folder as they are spelled, and its path in the data set."""

    folder: str
    emotion: str
    member: str

    @property
    def name(self) -> str:
        """File name without folder."""
        return PurePosixPath(self.member).name

    @property
    def split(self) -> str:
        """Split that the folder is named after."""
        return SPLIT_FOLDERS[self.folder.casefold()]

    @property
    def usage(self) -> int | None:
        """Position in ``SPLITS`` that the file's own name tells, as Kaggle's do, or None."""
        return USAGES.get(self.name.partition("_")[0].casefold())


def is_clutter(member: str) -> bool:
    """Tell whether an operating system or editor left this behind, such as ``.DS_Store``, anywhere above."""
    parts = PurePosixPath(member).parts
    return any(part.startswith(".") or part.casefold() in _CLUTTER for part in parts)


def is_split(folder: str) -> bool:
    """Tell whether a folder is named after a split."""
    return folder.casefold() in SPLIT_FOLDERS


def places(members: Iterable[str], where: str) -> tuple[list[Place], tuple[str, ...]]:
    """Find images in ``<split>/<class>/`` folders, at any depth: sorted, with notes on what was left out."""
    roots: dict[tuple[str, ...], list[Place]] = {}
    outside, notes = [], []
    for member in sorted(set(members)):
        parts = PurePosixPath(member).parts
        if is_clutter(member):
            continue
        if len(parts) >= 3 and is_split(parts[-3]):
            roots.setdefault(parts[:-3], []).append(Place(parts[-3], parts[-2], member))
        elif any(map(is_split, parts[:-1])):
            raise FerlibError(
                f"{where}: {member} is not in a class folder; name it <split>/<class>/<image>, such as "
                f"train/{CLASSES[0]}/{parts[-1]}."
            )
        elif PurePosixPath(member).suffix.casefold() in IMAGE_SUFFIXES:
            outside.append(member)
    if outside:
        notes.append(_left_out("outside train/ and test/", outside))
    found = _only_root(roots, where, notes)
    if not found:
        raise FerlibError(
            f"{where}: holds no train/<class>/ and test/<class>/ images; give FER-2013's archive.zip."
        )
    for needed in (("train",), ("test", "valid")):
        if not any(place.split in needed for place in found):
            raise FerlibError(f"{where}: the split {needed[0]}/ is missing; unpack the archive again.")
    for split in SPLITS:
        if len(names := sorted({place.folder for place in found if place.split == split})) > 1:
            both = listed([f"{name}/" for name in names])
            raise FerlibError(f"{where}: holds {both}, which mean the same split; keep one of them.")
    return found, tuple(notes)


def _left_out(reason: str, members: list[str]) -> str:
    count, more = ("1 image", "") if len(members) == 1 else (f"{len(members):,} images", ", ...")
    return f"Left out, as {reason}: {count} ({members[0]}{more})."


def _only_root(roots: dict[tuple[str, ...], list[Place]], where: str, notes: list[str]) -> list[Place]:
    """Return the images of the one data set, also where a second folder holds the same files once more."""
    first, *others = sorted(roots, key=lambda root: (len(root), root)) or [()]
    for other in others:
        one, two = ([place[:2] + (place.name,) for place in roots[root]] for root in (first, other))
        if one != two:
            found = " and ".join("/".join((*root, roots[root][0].folder)) for root in (first, other))
            raise FerlibError(f"{where}: holds more than one data set ({found}); keep one of them.")
        same = f"{'/'.join(first) or 'the folder above'} holds files of the same names"
        notes.append(_left_out(same, [place.member for place in roots[other]]))
    return roots.get(first, [])


def classes(found: list[Place], where: str) -> tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]:
    """Read the class folders: FER-2013's seven under any usual name, or a data set's own.

    Return class names in code order, class name of each folder as it is spelled, and notes.
    """
    emotion_of = {place.emotion: _emotion(place.emotion) for place in found}
    odd = {folder for folder, emotion in emotion_of.items() if emotion is None}
    names = tuple(emotion for emotion in CLASSES if emotion in emotion_of.values())
    notes = []
    if odd and names == CLASSES:
        folders = sorted({f"{place.folder}/{place.emotion}/" for place in found if place.emotion in odd})
        raise FerlibError(
            f"{where}: holds {listed(folders)} beside FER-2013's seven classes; move that elsewhere."
        )
    if odd:
        emotion_of = {folder: folder for folder in emotion_of}
        names = tuple(sorted(emotion_of))
        if unfit := [name for name in names if not name.isprintable() or name in RESERVED]:
            raise FerlibError(
                f"{where}: {unfit[0]!r} cannot name a class, as it is not plain text or means something else "
                "in tables; rename that folder in each split."
            )
    elif any(folder.isdecimal() for folder in emotion_of):
        codes = ", ".join(f"{code} {emotion}" for code, emotion in enumerate(CLASSES))
        notes.append(f"Class folders with digits are read as fer2013.csv's codes: {codes}.")
    if names != CLASSES:
        notes.append(f"These are classes of their own, not FER-2013's seven: {listed(names)}.")
    return names, emotion_of, tuple(notes)


def _emotion(folder: str) -> str | None:
    """Return the class of FER-2013 that a folder is named after, also as ``0_angry``."""
    small = folder.casefold().strip()
    return CLASS_FOLDERS.get(small) or CLASS_FOLDERS.get(re.sub(r"^\d+[\s._-]+", "", small))


def splits(
    found: list[Place], images: np.ndarray, labels: np.ndarray, where: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the split of every image: by file name as in Kaggle's copy, by folder, or as seeded halves.

    They are int64 (n,), positions in ``SPLITS``; notes come with them.
    """
    folders = {place.split: place.folder for place in found}
    by_folder = np.array([SPLITS.index(place.split) for place in found], np.int64)
    held_out, three = by_folder > 0, len(folders) == len(SPLITS)
    for place, split in zip(found, by_folder, strict=True):
        if place.usage is None or place.usage == split or (split and place.usage and not three):
            continue
        said = tuple(KAGGLE_SPLITS)[place.usage]
        raise FerlibError(
            f"{where}: {place.member} stands in {place.folder}/ but its name says {said}; move it."
        )
    unnamed = held_out & np.array([place.usage is None for place in found])
    if three:
        used = {usage: folders[split] for usage, split in KAGGLE_SPLITS.items() if split != "train"}
        used = " and ".join(f"{folder}/ as {usage}" for usage, folder in used.items())
        return by_folder, (TAKEN.format(used),) if unnamed.any() else ()
    if unnamed[held_out].all():
        (folder,) = (folder for split, folder in folders.items() if split != "train")
        return _halves(held_out, images, labels), (HALVED.format(folder),)
    if unnamed.any():
        raise FerlibError(
            f"{where}: {found[unnamed.argmax()].member} is named neither PublicTest_ nor PrivateTest_; "
            "rename or remove it."
        )
    return np.array([place.usage or 0 for place in found], np.int64), ()


def _halves(held_out: np.ndarray, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    halves = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(held_out & (labels == label))
        # By pixels, not by name, so that every copy of the same images is halved alike.
        members = members[np.argsort([images[n].tobytes() for n in members], kind="stable")]
        members = np.random.default_rng([2013, label]).permutation(members)
        halves[members[: len(members) // 2]], halves[members[len(members) // 2 :]] = 1, 2
    return halves


def check_splits(splits: np.ndarray, labels: np.ndarray, names: tuple[str, ...], where: str) -> None:
    """Refuse a data set that lacks a split, or a class in one of them."""
    for usage, split in KAGGLE_SPLITS.items():
        counts = np.bincount(labels[splits == SPLITS.index(split)], minlength=len(names))
        if not counts.all():
            lacking = f" of {names[counts.argmin()]}" if counts.any() else ""
            raise FerlibError(
                f"{where}: holds no {split} ({usage}) images{lacking}; add some, or download it again."
            )
