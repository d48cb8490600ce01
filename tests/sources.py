"""Small data sets, sound and unsound, in every container."""

import io
import tarfile
import zipfile
from collections import Counter

import cv2
import numpy as np
import pytest

from ferlib import paths
from ferlib.data import demo, fer2013
from ferlib.labels import CLASSES, KAGGLE_SPLITS, FerlibError

OUTCOMES = Counter()
"""Damaged files by kind and outcome, which the end of a slow run prints."""

SURVIVED = Counter()
"""Kills survived by kind of work, which it prints, too."""

PAGES = Counter()
"""Reports opened in a browser, by width in pixels and colours."""

BACKENDS = Counter()
"""Tests passed on another backend than TensorFlow."""

HAPPY = "train/happy/Training_00000003.jpg"
"""A member of every archive written here."""

ICML = "emotion, Usage, pixels"
"""Header of the competition's second csv, blanks included."""


def tiny() -> demo.Faces:
    """One image of each class in each split; no two alike."""
    labels, splits = np.tile(np.arange(len(CLASSES)), 3), np.repeat(np.arange(3), len(CLASSES))
    ramp = np.linspace(0, 200, 48 * 48).reshape(48, 48)
    images = np.stack([np.roll(ramp, 110 * n) for n in range(len(labels))]).astype(np.uint8)[..., np.newaxis]
    usages = tuple(KAGGLE_SPLITS)
    names = [f"{usages[split]}_{n:08d}.jpg" for n, split in enumerate(splits)]
    return demo.Faces(images, labels, splits, np.array(names))


def tiny_table(path, header="emotion,pixels,Usage"):
    """Write that as a csv whose header is spelled in some way, its columns in that order."""
    rows = [line.split(",") for line in demo.write_csv(tiny(), path).read_text().splitlines()[1:]]
    order = [("emotion", "pixels", "usage").index(column.strip().lower()) for column in header.split(",")]
    path.write_text("\n".join([header, *(",".join(row[place] for place in order) for row in rows), ""]))
    return path


def refused(path, *words) -> None:
    """Check that a source is refused in one sentence with these words, and that no cache is left."""
    with pytest.raises(FerlibError) as caught:
        fer2013.load(path)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and ". " not in message
    for word in (path.name, *words):
        assert word in message
    assert not [file for file in paths.cache().rglob("*") if file.is_file()]


def mail(path, members: dict[str, bytes]):
    """Write a zip of these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def pack(path, members: dict[str, bytes]):
    """Write a tar.gz of these members."""
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def picture(*shape, dtype=np.uint8, kind=".jpg") -> bytes:
    return cv2.imencode(kind, np.full(shape, 100, dtype))[1].tobytes()
