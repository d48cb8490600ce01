"""The demo data set: drawn faces in place of FER-2013, so that everything runs and is tested without it.

It contains a few planted copies and blank images, so that an audit has a ground truth to be tested against.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ferlib.data.portrait import face
from ferlib.labels import CLASSES, KAGGLE_SPLITS
from ferlib.paths import written_atomically

VERSION = 1
"""Raised whenever the drawn faces change, so that cached ones are drawn anew."""

SIZES = (2800, 350, 350)
"""Faces in train, valid and test of the usual demo data set: 80:10:10, as in FER-2013."""

SMALLEST = 70
"""Least faces in a split, so that even the rarest class occurs."""

SHARES = np.array([4953, 547, 5121, 8989, 6077, 4002, 6198]) / 35887
"""Share of each class in FER-2013, in code order: the imbalance that the demo faces copy."""

PLANTED_COPIES = 4
"""The first so many faces of valid and of test are exact copies of faces of train."""

PLANTED_MIRRORED = 3
"""The next so many faces of valid and of test are mirrored and brightened copies of faces of train."""

PLANTED_CONFLICTS = 2
"""The first so many faces of train stand in train once more under another label."""

PLANTED_BLANKS = 2
"""The last so many images of train are one flat grey."""

_REPLACED = max(2 * PLANTED_CONFLICTS, PLANTED_COPIES + PLANTED_MIRRORED)  # faces whose labels may change


class Faces(NamedTuple):
    """Labelled images of all splits, in no particular order.

    Attributes:
        images: uint8 (n, 48, 48, 1).
        labels: int64 (n,), position in ``CLASSES``.
        splits: int64 (n,), position in ``SPLITS``.
        names: str (n,), file name without folder.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    names: np.ndarray


def faces(sizes: tuple[int, int, int] = SIZES, seed: int = 0) -> Faces:
    """Draw a labelled data set with the imbalance of FER-2013 and a few planted flaws.

    Args:
        sizes: Images in train, valid and test; at least ``SMALLEST`` each, so that every class occurs.
        seed: The same seed draws the same pixels.

    Returns:
        Faces of all splits, named as in Kaggle's folders.
    """
    if min(sizes) < SMALLEST:
        raise ValueError(f"a split of {min(sizes)} demo faces cannot hold every class: ask for {SMALLEST}")
    labels = [_labels(size, np.random.default_rng([seed, split])) for split, size in enumerate(sizes)]
    splits = np.repeat(np.arange(3), sizes)
    labels = np.concatenate(labels)
    images = np.stack([face(label, np.random.default_rng([seed, 3, n])) for n, label in enumerate(labels)])
    _plant(images, labels, np.cumsum([0, *sizes[:2]]))
    within = np.concatenate([np.arange(size) for size in sizes])
    prefixes = tuple(KAGGLE_SPLITS)
    names = [f"{prefixes[split]}_{number:08d}.jpg" for split, number in zip(splits, within, strict=True)]
    return Faces(images[..., np.newaxis], labels, splits, np.array(names))


def _labels(size: int, generator: np.random.Generator) -> np.ndarray:
    """Return shuffled labels in FER-2013's shares, every class at least once."""
    edges = np.rint(np.cumsum(SHARES) * size).astype(int)
    labels = np.repeat(np.arange(len(CLASSES)), np.diff(edges, prepend=0))
    generator.shuffle(labels)
    while len(set(labels[_REPLACED:])) < len(CLASSES):  # planting would take the last face of a class away
        generator.shuffle(labels)
    return labels


def _plant(images: np.ndarray, labels: np.ndarray, starts: np.ndarray) -> None:
    """Plant copies between splits, conflicting labels and blanks, in place."""
    source = PLANTED_CONFLICTS
    for n in range(PLANTED_CONFLICTS):
        images[source + n] = images[n]
        labels[source + n] = (labels[n] + 1) % len(CLASSES)
    source *= 2
    for start in starts[1:]:
        for n in range(PLANTED_COPIES + PLANTED_MIRRORED):
            copy = images[source]
            if n >= PLANTED_COPIES:
                copy = cv2.add(cv2.flip(copy, 1), 12)
            images[start + n], labels[start + n] = copy, labels[source]
            source += 1
    images[starts[1] - PLANTED_BLANKS : starts[1]] = np.array([128, 10])[:, np.newaxis, np.newaxis]


def votes(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw what ten people see in drawn faces: mostly the label, in three of ten faces mostly something else.

    Args:
        labels: int64 (n,), positions in ``CLASSES``.
        seed: The same seed draws the same votes.

    Returns:
        uint8 (n, 10), ten votes a row; the seven emotions, then contempt, unknown and no face.
    """
    generator, everyone = np.random.default_rng([seed, 4]), np.arange(len(labels))
    other = generator.integers(0, len(CLASSES), len(labels))
    shares = np.full((len(labels), len(CLASSES) + 3), 0.02)
    shares[everyone, np.where(generator.random(len(labels)) < 0.7, labels, other)] = 0.82
    return generator.multinomial(10, shares).astype(np.uint8)


def write_zip(drawn: Faces, path: Path) -> Path:
    """Write faces as Kaggle's ``archive.zip``: ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``."""
    with written_atomically(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for member, content in _jpegs(drawn):
            archive.writestr(member, content)
    return path


def write_folders(drawn: Faces, folder: Path) -> Path:
    """Write faces as the unpacked archive: folders ``train/<class>/`` and ``test/<class>/``."""
    for member, content in _jpegs(drawn):
        (folder / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / member).write_bytes(content)
    return folder


def write_csv(drawn: Faces, path: Path, header: str = "emotion,pixels,Usage") -> Path:
    """Write faces as ``fer2013.csv``, with the pixels that a reader of their JPEG files would see.

    Args:
        drawn: The faces.
        path: File to write.
        header: Column names in any order and with any blanks; ``icml_face_data.csv`` has other ones.
    """
    usages = tuple(KAGGLE_SPLITS)
    with written_atomically(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(header + "\n")
        for (_, content), label, split in zip(_jpegs(drawn), drawn.labels, drawn.splits, strict=True):
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            values = {"emotion": label, "pixels": " ".join(map(str, image.ravel())), "Usage": usages[split]}
            file.write(",".join(str(values[column.strip()]) for column in header.split(",")) + "\n")
    return path


def _jpegs(drawn: Faces) -> Iterator[tuple[str, bytes]]:
    """Yield path inside Kaggle's layout and JPEG bytes of each face."""
    for image, label, split, name in zip(*drawn, strict=True):
        content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        yield f"{'test' if split else 'train'}/{CLASSES[label]}/{name}", content
