"""Looks every image over: copies within and between splits, blank and flat images, images without a face."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from ferlib import faces, paths
from ferlib.data.fer2013 import Dataset
from ferlib.labels import CLASSES

BLANK, LOW_CONTRAST = 4.0, 20.0
"""Standard deviations of grey values below which an image counts as blank, and as low in contrast."""

NEAR = 0.95
"""Correlation of two reduced images from which they count as near copies of each other.

Looked at by eye on FER-2013, fourteen random pairs a range: all are copies above 0.965, thirteen between 0.95
and 0.965, eleven between 0.93 and 0.95. A false hit only makes the leak-free set a little smaller.
"""

_REDUCED = 16  # side, pixels, of the images that near copies are searched among
_BLOCK = 1024  # images compared at once with all of the training split
_VERSION = 4  # of the cached answers; raised when a threshold or a method changes


@dataclass(frozen=True)
class Audit:
    """What is known of every image.

    Attributes:
        images: One row an image, splits one after another, with the columns split, index (position in the
            split), name, label (position in ``CLASSES``), exact_group (number of the group of identical
            images, -1 without a copy), conflicting (its copies have other labels), leaked (an exact copy
            stands in train; of valid and test), near_leaked (likewise an exact or near copy), partner (where
            in train the copy most like it stands, -1 without one), contrast (standard deviation of grey
            values), low_contrast, blank and faceless.
    """

    images: pd.DataFrame

    def leak_free(self, split: str) -> np.ndarray:
        """Return which images of a split have no copy, exact or near, in the training split: bool (n,)."""
        return ~self.images.loc[self.images["split"] == split, "near_leaked"].to_numpy()

    def summary(self) -> pd.DataFrame:
        """Count the images of each split by what was found; one row a finding.

        Returns:
            Int64; missing where a finding says nothing of a split: only test images are leaked.
        """
        has_copy = self.images["exact_group"] >= 0
        place = ["split", "exact_group"]
        found = {
            "images": has_copy | True,
            "identical to another of the split": has_copy & self.images.duplicated(place, keep=False),
            "copies beyond the first": has_copy & self.images.duplicated(place),
            "identical under another label": self.images["conflicting"],
            "exact copy in train": self.images["leaked"],
            "exact or near copy in train": self.images["near_leaked"],
            "exact copy in the other test split": self._in_both_tests(),
            "low contrast": self.images["low_contrast"],
            "blank": self.images["blank"],
            "no face found": self.images["faceless"],
        }
        table = pd.DataFrame(found).groupby(self.images["split"], sort=False).sum().T.astype("Int64")
        table.loc["exact copy in train":"exact copy in the other test split", "train"] = pd.NA
        return table.rename_axis("finding").rename_axis(columns=None)

    def _in_both_tests(self) -> pd.Series:
        """Say which images of PublicTest or PrivateTest stand in the other one, too.

        They count as leak-free: PublicTest chooses among finished epochs, no network learns from it.
        """
        tests = self.images[(self.images["split"] != "train") & (self.images["exact_group"] >= 0)]
        in_both = tests.groupby("exact_group")["split"].transform("nunique") > 1
        return in_both.reindex(self.images.index, fill_value=False)

    def describe(self) -> str:
        """Write the summary for people to read."""
        conflicting = self.images.loc[self.images["conflicting"], "exact_group"].nunique()
        lines = [
            self.summary().map(lambda count: "–" if pd.isna(count) else f"{count:,}").to_string(),
            "",
            f"groups of identical images under different labels  {conflicting:,}",
            *(f"leak-free images of {name}  {self.leak_free(name).sum():,}" for name in ("valid", "test")),
        ]
        return "\n".join(lines)

    def write_csv(self, target: str | Path) -> None:
        """Write all that is known, one row an image, labels as words."""
        with paths.written_atomically(paths.expanded(target)) as temporary:
            self.images.assign(label=np.take(CLASSES, self.images["label"])).to_csv(temporary, index=False)


def audit(dataset: Dataset) -> Audit:
    """Look over every image; the answers are cached, so that this takes its time once for each data set."""
    file = paths.cache() / f"audit-{dataset.fingerprint[:16]}-{_VERSION}.npz"
    listed = [
        {"split": split.name, "index": np.arange(len(split)), "name": split.names, "label": split.labels}
        for split in dataset.splits
    ]
    listed = pd.concat(map(pd.DataFrame, listed), ignore_index=True)

    def make() -> None:
        images = np.concatenate([np.asarray(split.images) for split in dataset.splits])[..., 0]
        nearest, likeness = _nearest(listed, images)
        found = _exact_copies(listed, images) | {"partner": np.where(likeness >= NEAR, nearest, -1)}
        found["near_leaked"] = found["leaked"] | (found["partner"] >= 0)
        found["contrast"] = images.reshape(len(images), -1).std(axis=1)
        found["low_contrast"], found["blank"] = (found["contrast"] < most for most in (LOW_CONTRAST, BLANK))
        found["faceless"] = ~_have_faces(images)
        with paths.written_atomically(file) as temporary:
            np.savez_compressed(temporary, **found)

    def read() -> pd.DataFrame:
        return listed.assign(**paths.arrays(file))  # a zip, whose checksums tell damage

    return Audit(paths.kept(read, make))


def _exact_copies(listed: pd.DataFrame, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return exact_group, conflicting and leaked."""
    group = pd.factorize(pd.Series([image.tobytes() for image in images]))[0]
    is_train = (listed["split"] == "train").to_numpy()
    return {
        "exact_group": np.where(np.bincount(group)[group] > 1, group, -1),
        "conflicting": (listed["label"].groupby(group).transform("nunique") > 1).to_numpy(),
        "leaked": np.isin(group, group[is_train]) & ~is_train,
    }


def _nearest(listed: pd.DataFrame, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place in train of what is most like each image of valid and test, and how like: both (n,).

    A mirrored image is a copy, too; a blank one is like nothing.
    """
    train = (listed["split"] == "train").to_numpy()
    known, known_mirrored = _reduced(images[train]), _reduced(images[train, :, ::-1])
    positions, nearest = np.flatnonzero(~train), np.full(len(listed), -1)
    most = np.full(len(listed), -1, "float32")
    for start in range(0, len(positions), _BLOCK):
        block = positions[start : start + _BLOCK]
        asked = _reduced(images[block])
        likeness = np.maximum(asked @ known.T, asked @ known_mirrored.T)
        nearest[block], most[block] = likeness.argmax(axis=1), likeness.max(axis=1)
    return nearest, most


def _reduced(images: np.ndarray) -> np.ndarray:
    """Reduce images to vectors whose scalar product is their correlation, float32 (n, 256).

    Brightness and contrast drop out; a blank image, which correlates with nothing, becomes zero.
    """
    small = np.stack([cv2.resize(i, (_REDUCED, _REDUCED), interpolation=cv2.INTER_AREA) for i in images])
    flat = small.reshape(len(small), -1).astype("float32")
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > BLANK * _REDUCED)


def _have_faces(images: np.ndarray) -> np.ndarray:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(faces.has_face, images)
        answers = tqdm(answers, "searching for faces", len(images), mininterval=2)
        return np.fromiter(answers, bool, len(images))
