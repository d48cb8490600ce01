"""Finds FER-2013, reads it once into a cache, and hands it out as three splits."""

import contextlib
import hashlib
import http.client
import json
import os
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ferlib import paths
from ferlib.data import demo, readers
from ferlib.labels import CLASSES, IMAGE_SIZE, KAGGLE_SPLITS, SPLITS, FerlibError
from ferlib.words import listed, printable

KAGGLE = "msambare/fer2013/versions/1"
"""Public copy of FER-2013 on Kaggle that needs no login; its version is fixed, so its pixels are too."""

DEMO_SOURCE = "demo faces, not FER-2013"

_LAYOUT = 2  # of the cache; raised when what is stored, or its order, changes


@dataclass(frozen=True)
class Split:
    """Images of one split with their labels, in canonical order.

    Attributes:
        name: "train", "valid" or "test".
        images: uint8 (n, 48, 48, 1), read-only memory map.
        labels: int64 (n,), position in ``classes``.
        names: str (n,), file name without folder, or "row_000123" (counted from 0) from a csv.
        classes: Names of the classes in code order.
        votes: uint8 (n, 10), what ten people see in drawn faces; None for images, whose votes FER+ has.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    classes: tuple[str, ...] = CLASSES
    votes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """Return the images at ``indices`` (or where a mask is true), in that order."""
        columns = {name: getattr(self, name) for name in ("images", "labels", "names", "votes")}
        return replace(self, **{name: one if one is None else one[indices] for name, one in columns.items()})

    def only(self, classes: tuple[str, ...]) -> "Split":
        """Return the images of some classes, their labels re-coded to the position in ``classes``.

        Raises:
            FerlibError: There is no such class.
        """
        if missing := [name for name in classes if name not in self.classes]:
            raise FerlibError(f"this data set has no class {missing[0]}, only {listed(self.classes)}.")
        labels = recoded(self.labels, self.classes, classes)
        kept = labels >= 0
        return replace(self.take(kept), labels=labels[kept], classes=tuple(classes))


def recoded(labels: np.ndarray, known: tuple[str, ...], classes: tuple[str, ...]) -> np.ndarray:
    """Return labels, positions in the known classes, as positions in some of these, or -1: int64 (n,)."""
    codes = np.full(len(known), -1)
    codes[[known.index(name) for name in classes]] = np.arange(len(classes))
    return codes[labels]


@dataclass(frozen=True)
class Dataset:
    """The three splits and where they came from.

    Attributes:
        train: Training (28,709 images in FER-2013).
        valid: PublicTest (3,589).
        test: PrivateTest (3,589).
        source: What it is, for people, without the folder it lies in.
        fingerprint: SHA-256 over pixels, labels and splits; the same for zip, folders and csv.
        location: File or folder it was read from; None for demo faces.
        is_demo: Whether these are drawn faces.
        notes: Warnings to show beside results.
    """

    train: Split
    valid: Split
    test: Split
    source: str
    fingerprint: str
    location: Path | None
    is_demo: bool
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[Split, Split, Split]:
        """The splits in the order of ``SPLITS``."""
        return self.train, self.valid, self.test


def load(source: str | Path | None = None, *, own_classes: bool = False) -> Dataset:
    """Load FER-2013, or demo faces where it cannot be had.

    Looks, in this order, at ``source``, ``FERLIB_DATA``, the folder ``data/``, Kaggle's public copy
    (downloaded once, about 60 MB; not with ``FERLIB_OFFLINE=1``), and at last draws demo faces.

    Args:
        source: Kaggle's ``archive.zip``, its unpacked folder, ``fer2013.csv`` (also in a zip or tar.gz),
            a folder holding one of these, or "demo".
        own_classes: Take classes that are not FER-2013's seven, too; `Split.classes` names them.

    Returns:
        The data set, its images memory-mapped from the cache.

    Raises:
        FerlibError: The source named is missing or not sound.

    Source: Goodfellow et al. 2013, Challenges in Representation Learning.
    """
    source = source or os.environ.get("FERLIB_DATA") or None
    if str(source) == "demo":
        return drawn()
    if source is not None:
        found = readers.locate(paths.expanded(source))
    elif not (os.path.isdir(paths.data()) and (found := readers.locate(paths.data(), missing_ok=True))):
        found = (downloaded := _from_kaggle()) and readers.locate(downloaded)
    return _opened(found, own_classes) if found else drawn()


def drawn(sizes: tuple[int, int, int] = demo.SIZES, seed: int = 0) -> Dataset:
    """Return demo faces as a data set; arguments as for `demo.faces`."""
    stamp = json.dumps([_LAYOUT, demo.VERSION, sizes, seed])
    return _cached("demo", stamp, lambda: readers.Reading(demo.faces(sizes, seed)), DEMO_SOURCE, None)


def counts(dataset: Dataset) -> pd.DataFrame:
    """Count images per class and split.

    Returns:
        Classes in alphabetical order as rows; columns train, valid, test and total.
    """
    names = dataset.train.classes
    columns = {split.name: np.bincount(split.labels, minlength=len(names)) for split in dataset.splits}
    frame = pd.DataFrame(columns, index=pd.Index(names, name="emotion")).loc[sorted(names)]
    return frame.assign(total=frame.sum(axis=1))


def subset(split: Split, n: int, seed: int) -> Split:
    """Draw a smaller split with the same share of each class.

    Args:
        split: Split to draw from.
        n: Images wanted; the whole split comes back where it has no more.
        seed: The same seed draws the same images.
    """
    if n >= len(split):
        return split
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(split))
    # Rank within the class, as a share of the class: the smallest n shares are spread evenly over classes.
    shares = np.empty(len(split))
    for label in range(len(split.classes)):
        members = shuffled[split.labels[shuffled] == label]
        shares[members] = (np.arange(len(members)) + 0.5) / max(len(members), 1)
    return split.take(np.sort(np.argsort(shares, kind="stable")[:n]))


def describe(dataset: Dataset, *more: str) -> str:
    """Say, and with more lines, where the data came from and how many images it has."""
    table = counts(dataset)
    table.loc["total"] = table.sum()
    usages = {split: f"{split} ({usage})" for usage, split in KAGGLE_SPLITS.items()}
    lines = [
        f"source       {dataset.source}",
        f"location     {dataset.location or 'drawn by ferlib'}",
        f"fingerprint  {dataset.fingerprint}",
        f"cache        {paths.cache()}",
        *more,
        *(f"note         {note}" for note in dataset.notes),
    ]
    numbers = table.rename(columns=usages).to_string(formatters=["{:,}".format] * (len(usages) + 1))
    return "\n".join([*map(printable, lines), "", numbers])


def _opened(path: Path, own_classes: bool) -> Dataset:
    path = path.resolve()
    source = f"FER-2013 from {path.name}"
    dataset = _cached(str(path), _stamp(path), lambda: readers.read(path), source, path)
    names = dataset.train.classes
    if names == CLASSES:
        return dataset
    if not own_classes:
        raise FerlibError(
            f"{path}: holds the classes {listed(names)} instead of FER-2013's seven; "
            "ferlib train takes them, but this is about FER-2013."
        )
    return replace(dataset, source=f"classes of its own from {path.name}")


def _stamp(path: Path) -> str:
    """Return a text that changes whenever the source changes."""
    digest = hashlib.sha256(str(_LAYOUT).encode())
    for file in [path] if os.path.isfile(path) else readers.files_below(path):
        status = file.stat()
        digest.update(os.fsencode(file) + f"|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _cached(identity: str, stamp: str, read, source: str, location: Path | None) -> Dataset:
    """Map the images from the cache, reading the source where it is new or has changed."""
    place = hashlib.sha256(os.fsencode(identity)).hexdigest()[:12]
    base = paths.cache() / f"images-{place}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    images_file, facts_file = base.with_suffix(".npy"), base.with_suffix(".npz")

    def make() -> None:
        _store(read(), images_file, facts_file)
        for outdated in set(paths.cache().glob(f"images-{place}-*")) - {images_file, facts_file}:
            outdated.unlink(missing_ok=True)

    splits, fingerprint, notes = paths.kept(lambda: _stored(images_file, facts_file), make)
    if location is None:
        splits = [replace(split, votes=demo.votes(split.labels, seed)) for seed, split in enumerate(splits)]
    return Dataset(*splits, source, fingerprint, location, location is None, notes)


def _stored(images_file: Path, facts_file: Path) -> tuple[list[Split], str, tuple[str, ...]]:
    """Return splits, fingerprint and notes from the cache, or raise anything if it is damaged.

    The fingerprint is computed anew each time: it is a checksum of the images, and costs a tenth of a second.
    """
    images = np.load(images_file, mmap_mode="r")
    facts = paths.arrays(facts_file)  # a zip, whose own checksums guard the rest
    labels, names, sizes = facts["labels"], facts["names"], facts["sizes"]
    classes, notes = (tuple(map(str, facts[name])) for name in ("classes", "notes"))
    fingerprint = str(facts["fingerprint"])
    fits = images.dtype == np.uint8 and images.shape == (len(labels), IMAGE_SIZE, IMAGE_SIZE, 1)
    if not fits or _fingerprint(images, labels, sizes, classes) != fingerprint:
        raise ValueError(f"{images_file} is not what was written")
    ends = np.cumsum(sizes)
    splits = [
        Split(name, images[end - size : end], labels[end - size : end], names[end - size : end], classes)
        for name, size, end in zip(SPLITS, sizes, ends, strict=True)
    ]
    return splits, fingerprint, notes


def _store(reading: readers.Reading, images_file: Path, facts_file: Path) -> None:
    """Write images in canonical order, then the facts, whose presence says that both are complete."""
    faces, notes, classes = reading
    digests = [hashlib.sha256(image).hexdigest() for image in faces.images]
    order = np.lexsort([faces.names, faces.labels, digests, faces.splits])
    images, labels = faces.images[order], faces.labels[order].astype(np.int64)
    names, sizes = faces.names[order], np.bincount(faces.splits, minlength=len(SPLITS))
    fingerprint = _fingerprint(images, labels, sizes, classes)
    with paths.written_atomically(images_file) as temporary:
        np.save(temporary, images)
    with paths.written_atomically(facts_file) as temporary:
        facts = {"labels": labels, "names": names, "sizes": sizes}
        words = {"notes": np.array(notes, str), "classes": np.array(classes, str)}
        np.savez(temporary, fingerprint=fingerprint, **facts, **words)


def _fingerprint(images: np.ndarray, labels: np.ndarray, sizes: np.ndarray, classes: tuple[str, ...]) -> str:
    """Return the SHA-256 over splits, labels and pixels, and over class names that are not FER-2013's."""
    digest = hashlib.sha256(np.asarray(sizes, "<i8").tobytes())
    digest.update(labels.astype("<i8").tobytes())
    digest.update(images)
    if classes != CLASSES:
        digest.update("\n".join(classes).encode())
    return digest.hexdigest()


def _from_kaggle() -> Path | None:
    """Return the folder of Kaggle's public copy, downloaded if need be, or None without network."""
    owner, name, _, version = KAGGLE.split("/")
    cache = Path(os.environ.get("KAGGLEHUB_CACHE") or paths.expanded("~/.cache/kagglehub"))
    folder = cache / "datasets" / owner / name
    is_whole = os.path.isfile(folder / f"{version}.complete")
    if is_whole and os.path.isdir(folder / "versions" / version):
        return folder / "versions" / version
    if paths.offline() or not _is_online():
        return None
    import kagglehub  # takes a second, and only this one download needs it

    print(f"Downloading FER-2013 from kaggle.com/datasets/{owner}/{name} (60 MB, once)", file=sys.stderr)
    try:
        return Path(kagglehub.dataset_download(KAGGLE))
    except Exception as problem:  # the client raises many kinds; any of them only means no download
        raise FerlibError(
            f"kaggle.com/datasets/{owner}/{name}: the download failed ({problem}); try again, "
            f"put archive.zip into {paths.data()}, or set FERLIB_DATA=demo."
        ) from problem


def _is_online(timeout: float = 3.0) -> bool:
    """Tell within a few seconds whether Kaggle answers; name look-ups alone can hang for longer."""
    answers = []

    def ask():
        question = urllib.request.Request("https://www.kaggle.com", method="HEAD")
        with contextlib.suppress(OSError, http.client.HTTPException):
            with contextlib.suppress(urllib.error.HTTPError):  # a refusal is an answer, too
                urllib.request.urlopen(question, timeout=timeout).close()
            answers.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout + 1)
    return bool(answers)
