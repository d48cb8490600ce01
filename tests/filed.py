"""How the table of votes that ships was made."""

from pathlib import Path

import numpy as np

from ferlib.data.votes import _KEY_BYTES, _STEP, _possible_keys, key, sketch


def store(target: Path, images: np.ndarray, votes: np.ndarray, numbers: np.ndarray, rows: np.ndarray) -> None:
    """Write the table of votes that `votes.of` looks images up in.

    Args:
        target: The npz file; `votes.FILE` is the one that ships.
        images: uint8 (n, 48, 48, 1), the images voted on.
        votes: uint8 (n, 10), columns as in ``votes.COLUMNS``.
        numbers: int (n,), numbers in their names in Kaggle's archive, such as 32055462.
        rows: int (n,), their rows in the competition's csv, counted from 0.
    """
    sketches = sketch(images)
    keys = key(sketches // _STEP)
    twin = _twins(sketches, keys, votes)
    first = np.unique(np.column_stack([keys, votes]).astype(np.uint64), axis=0, return_index=True)[1]
    entries = np.concatenate([first[~twin[first]], np.flatnonzero(twin)])
    entries = entries[np.lexsort([rows[entries], keys[entries]])]
    twins = np.flatnonzero(twin[entries])
    places = 8 * np.arange(_KEY_BYTES - 1, -1, -1, dtype=np.uint64)[:, np.newaxis]
    np.savez_compressed(
        target,
        keys=(keys[entries] >> places).astype(np.uint8),  # a plane a byte: sorted ones compress well
        votes=votes[entries].astype(np.uint8),
        twins=twins.astype(np.int32),
        twin_numbers=numbers[entries[twins]].astype(np.int64),
        twin_rows=rows[entries[twins]].astype(np.int32),
    )


def _twins(sketches: np.ndarray, keys: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Return which images a copy of an image with other votes could be taken for: bool (n,)."""
    twin, order = np.zeros(len(keys), bool), np.argsort(keys, kind="stable")
    filed = keys[order]
    for image, near in enumerate(sketches):
        possible = _possible_keys(near)
        starts, ends = (np.searchsorted(filed, possible, side) for side in ("left", "right"))
        others = np.concatenate([order[start:end] for start, end in zip(starts, ends, strict=True)])
        others = others[(votes[others] != votes[image]).any(axis=1)]
        twin[others], twin[image] = True, twin[image] or len(others) > 0
    return twin
