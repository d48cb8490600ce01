"""What ten people see in each image: the votes of FER+, kept in the package and joined by content.

The images in Kaggle's archive are JPEGs of quality 95, so their pixels differ from those of the competition's
csv by a few grey levels. A sketch of an image is therefore made of sums over its 36 JPEG blocks, in steps so
coarse that the two kinds of copy seldom fall apart, and an image near the edge of a step is looked up on both
sides of it. That finds an image in a zip, in folders (also renumbered ones) and in a csv; only the few images
that look alike and were voted on differently are told apart by name or row.

Votes are integers (n, 10) throughout, columns as in ``COLUMNS``.
"""

import hashlib
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from ferlib import paths
from ferlib.data.fer2013 import Dataset, Split
from ferlib.labels import CLASSES, KAGGLE_SPLITS, FerlibError

COLUMNS = (*CLASSES, "contempt", "unknown", "no face")
"""What could be voted for, in the order of the columns of every table of votes here."""

FILE = Path(__file__).parent / "ferplus" / "votes.npz"
"""The votes of 35,706 images, filed by ``tests/filed.py``; its neighbour LICENSE says whose they are."""

ENOUGH = 5
"""Least votes for the seven emotions that make an image one of an emotion at all."""

AGREED = 6
"""Votes, of ten, for the same emotion from which people are said to agree."""

_SUMS, _STEP, _EDGE = 12, 2048, 256  # sums in a sketch, its steps, and how far copies may differ
_KEY_BYTES = 5
_STORED = ("keys", "votes", "twins", "twin_numbers", "twin_rows")
_LEAST_AGREEMENT = 0.4  # of labels with votes: 0.65 in FER-2013, below 0.2 where rows are shuffled
_FEW = 50  # images with a majority, below which agreement says nothing


def of(split: Split) -> np.ndarray | None:
    """Return the votes on the images of a split.

    Args:
        split: FER-2013's images, or some of them, from whatever source; or drawn faces with drawn votes.

    Returns:
        uint8 (n, 10), columns as in ``COLUMNS``, about ten votes a row; rows of images that FER+ leaves out
        are zero. None where fewer than half of the images are known, for these are not FER-2013's, and where
        somebody sorted them into classes that nobody voted for.

    Raises:
        FerlibError: The votes contradict the labels so often that they must belong to other images.

    Source: Barsoum et al. 2016, Training Deep Networks for Facial Expression Recognition with
        Crowd-Sourced Label Distribution.
    """
    if split.votes is not None:
        return split.votes
    if not set(split.classes) <= set(CLASSES):
        return None
    found = _joined(split)
    if 2 * (found >= 0).sum() < max(len(split), 1):
        return None
    votes = np.where(found[:, np.newaxis] >= 0, _table()["votes"][found], 0).astype(np.uint8)
    seen, labels = majority(votes), np.array([CLASSES.index(name) for name in split.classes])[split.labels]
    agreement = (seen == labels)[seen >= 0]
    if len(agreement) >= _FEW and agreement.mean() < _LEAST_AGREEMENT:
        raise FerlibError(
            f"{split.name}: the labels agree with FER+'s votes on only {agreement.mean():.0%} of "
            f"{len(agreement):,} images, so one of them was shuffled; get FER-2013 anew."
        )
    return votes


def distribution(votes: np.ndarray) -> np.ndarray:
    """Return the share of each of the seven emotions, a single vote counted as noise.

    Returns:
        float32 (n, 7), rows sum to one; a row of zeros where no emotion has two votes.

    Source: Barsoum et al. 2016, whose program sets single votes to zero.
    """
    emotions = votes[:, : len(CLASSES)]
    kept = np.where(emotions > 1, emotions, 0).astype(np.float32)
    return kept / np.maximum(kept.sum(axis=1, keepdims=True), 1)


def majority(votes: np.ndarray) -> np.ndarray:
    """Return the emotion with more votes than any other answer: int64 (n,), position in ``CLASSES``.

    It is -1 where two answers share the first place, and where contempt, unknown or no face takes it.

    Args:
        votes: Integers (n, 10), from `of`.
    """
    best, first = votes.max(axis=1, keepdims=True), votes.argmax(axis=1)
    unique = ((votes == best).sum(axis=1) == 1) & (best[:, 0] > 0)
    return np.where(unique & (first < len(CLASSES)), first, -1)


def as_people_see(split: Split) -> Split:
    """Return the images that the crowd gives an emotion, labelled by it.

    Args:
        split: As for `of`; all of it comes back as it is where nobody voted.
    """
    cast = of(split)
    seen = split.labels if cast is None else majority(cast)
    return replace(split, labels=np.asarray(seen, "int64")).take(np.flatnonzero(seen >= 0))


def more_than_half(votes: np.ndarray) -> np.ndarray:
    """Return the truth of FER+'s own protocol: the emotion or contempt with more than half of the votes.

    Single votes are counted as noise and left out first.

    Returns:
        int64 (n,), position in the first eight of ``COLUMNS``; -1 for images that the protocol leaves out.

    Source: Barsoum et al. 2016, whose program calls this mode "majority".
    """
    kept = np.where(votes > 1, votes, 0).astype(int)
    first = kept.argmax(axis=1)
    clear = 2 * kept.max(axis=1) > kept.sum(axis=1)
    return np.where(clear & (first <= len(CLASSES)), first, -1)


def enough(votes: np.ndarray) -> np.ndarray:
    """Return which images have ``ENOUGH`` votes for the seven emotions, and not all single: bool (n,)."""
    emotions = votes[:, : len(CLASSES)]
    return (emotions.sum(axis=1, dtype=int) >= ENOUGH) & (emotions.max(axis=1) > 1)


def agreed(votes: np.ndarray) -> np.ndarray:
    """Return on which images at least ``AGREED`` of ten people name the same of seven emotions: bool (n,)."""
    return votes[:, : len(CLASSES)].max(axis=1) >= AGREED


def describe(dataset: Dataset) -> str:
    """Say in one line how many images of each split have votes."""
    tables = [(split, of(split)) for split in dataset.splits]
    if all(votes is None for _, votes in tables):
        return "votes        none: FER+ voted on FER-2013's images, not on these"
    known = (
        f"{split.name} {0 if votes is None else votes.any(axis=1).sum():,} of {len(split):,}"
        for split, votes in tables
    )
    source = "drawn" if dataset.is_demo else "FER+"
    return f"votes        {', '.join(known)} images ({source})"


def sketch(images: np.ndarray) -> np.ndarray:
    """Return sums over the blocks of each image, which copies share but for a few grey levels: (n, 12)."""
    blocks = np.asarray(images).reshape(len(images), 6, 8, 6, 8).sum(axis=(2, 4), dtype=np.int64)
    return blocks.reshape(len(images), 36) @ _signs()


def key(steps: np.ndarray) -> np.ndarray:
    """Return the number, below 2**40, under which a sketch divided by ``_STEP`` is filed: uint64 (n,)."""
    return (steps.astype(np.uint64) @ _multipliers()) >> np.uint64(64 - 8 * _KEY_BYTES)


def _joined(split: Split) -> np.ndarray:
    """Return the row in the table of votes for every image: int64 (n,), -1 where there is none."""
    keys, sketches = _table()["keys"], sketch(split.images)
    found = _filed(keys, key(sketches // _STEP))
    for image in np.flatnonzero(found < 0):
        found[image] = _filed(keys, _possible_keys(sketches[image])).max()
    return _settled(split, sketches, found)


def _possible_keys(sketch: np.ndarray) -> np.ndarray:
    """Return the keys that copies of an image may have, whose sums differ by up to ``_EDGE``: uint64 (m,)."""
    sides = [sorted({int(total - _EDGE) // _STEP, int(total + _EDGE) // _STEP}) for total in sketch]
    return key(np.array(list(itertools.product(*sides))))


def _filed(keys: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the position of each asked key among the sorted keys, -1 where it is not among them."""
    places = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[places] == asked, places, -1)


def _settled(split: Split, sketches: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Tell twins apart by name or row; leave out those that cannot be told apart."""
    table = _table()
    twins, kinds = table["twins"].tolist(), ("row", *KAGGLE_SPLITS)
    rows, numbers = (
        dict(zip(table[told].tolist(), twins, strict=True)) for told in ("twin_rows", "twin_numbers")
    )
    for image in np.flatnonzero(np.isin(found, twins)):
        prefix, _, number = str(split.names[image]).partition(".")[0].partition("_")
        place = None
        if prefix in kinds and number.isdecimal():
            place = (rows if prefix == "row" else numbers).get(int(number))
        possible = _possible_keys(sketches[image])
        found[image] = place if place is not None and table["keys"][place] in possible else -1
    return found


@cache
def _table() -> dict[str, np.ndarray]:
    """Return the stored votes: keys uint64 (m,) ascending, votes uint8 (m, 10), and how to tell twins apart.

    ``twins`` are the positions that share a key; ``twin_numbers`` are the numbers in their names in Kaggle's
    archive and ``twin_rows`` their rows in the competition's csv.
    """
    try:
        stored = paths.arrays(FILE)  # a zip, whose checksums tell damage
        table = {name: stored[name] for name in _STORED}
    except Exception as error:  # a damaged file raises errors of many kinds
        raise FerlibError(f"the votes in {FILE} can't be read ({error}): reinstall ferlib") from error
    weights = 256 ** np.arange(_KEY_BYTES - 1, -1, -1, dtype=np.uint64)
    return table | {"keys": weights @ table["keys"].astype(np.uint64)}


def _signs() -> np.ndarray:
    """Return which blocks each sum adds or subtracts: int64 (36, 12), fixed for ever by the stored keys."""
    bits = np.unpackbits(_bytes("signs", 36 * _SUMS // 8)).reshape(36, _SUMS)
    return bits.astype(np.int64) * 2 - 1


def _multipliers() -> np.ndarray:
    """Return odd numbers that spread sketches over all keys: uint64 (12,), fixed likewise."""
    return _bytes("multipliers", 8 * _SUMS).view("<u8") | np.uint64(1)


def _bytes(purpose: str, size: int) -> np.ndarray:
    """Return arbitrary bytes that no release of NumPy draws otherwise: uint8 (size,)."""
    return np.frombuffer(hashlib.shake_256(purpose.encode()).digest(size), np.uint8)
