"""Whether a finished run, and the table of them, can be what training wrote and nobody changed."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ferlib.train.experiments import PROFILES
from ferlib.train.predicting import Predictions

FIGURES = ("images", "parameters", "macs", "epochs", "best_epoch", "valid_accuracy", "train_seconds")
"""Figures that every finished run has."""

TEXTS = (
    *("experiment", "profile", "device", "backend", "versions", "fingerprint", "commit", "date"),
    *("views", "key", "file", "precision", "opened"),
)
"""Columns of results.csv that are not figures."""


def refuse_odd(about: dict, parts: dict[str, Predictions | None]) -> None:
    """Refuse what is said about a run if it can't be so, or if its predictions say otherwise.

    Args:
        about: Experiment, seed, profile and result as they stand in the file.
        parts: Split name to the predictions on it, None before they are made.

    Raises:
        ValueError: Saying what is odd.
    """
    identity = {name: about[name] for name in ("seed", "profile")} | {"experiment": about["experiment"]["id"]}
    result = about["result"]
    if type(identity["seed"]) is not int or identity["seed"] < 0:
        raise ValueError("its seed is not a number from 0")
    if identity["profile"] not in PROFILES:
        raise ValueError(f"its profile is none of {', '.join(PROFILES)}")
    if not str(identity["experiment"]).isidentifier():
        raise ValueError("its experiment is no name of a row")
    if {name: result.get(name) for name in identity} != identity:
        raise ValueError("its result is of another run")
    if not re.fullmatch("[0-9a-f]{64}", str(result.get("fingerprint"))):
        raise ValueError("its result has no fingerprint of a data set")
    for name in FIGURES:
        if not isinstance(result.get(name), int | float) or not math.isfinite(result[name]):
            raise ValueError(f"its result has no {name}")
    if not isinstance(result.get("device"), str):
        raise ValueError("its result has no device")
    for name, part in parts.items():
        told = result.get(f"{name}_accuracy")
        if part is None and (name == "valid" or told is not None):
            raise ValueError(f"its {name} predictions are missing")
        if part is None:
            continue
        if not len(part) or not np.isin(part.labels, range(len(part.classes))).all():
            raise ValueError(f"its {name} predictions have no images or labels of no class")
        if not np.isfinite(part.probabilities).all():
            raise ValueError(f"its {name} predictions are not finite")
        if told is None or not abs(told - part.accuracy) < 0.5 / len(part):  # not even one image apart
            raise ValueError(
                f"its {name} predictions have accuracy {part.accuracy:.4f}, not {told} as it says"
            )


def odd_table(results: pd.DataFrame) -> str | None:
    """Return what is odd in results.csv, as the end of a sentence, or None.

    Args:
        results: The table, one row a run, with the columns experiment, seed, profile, fingerprint and file.
    """
    if "key" not in results:
        return "lacks the column key"
    for row in results.itertuples():
        whole = f"{row.experiment}-{row.profile}-{row.key}-{row.fingerprint[:8]}-seed{row.seed}.npz"
        if row.file != whole or Path(whole).name != whole:
            return f"names {row.file!r} as the file of {row.experiment}, which is not that run's"
    if twice := results["file"][results["file"].duplicated()].tolist():
        return f"has the row of {twice[0]} twice"
    for name in results.columns.difference(TEXTS):
        if not pd.api.types.is_numeric_dtype(results[name]):
            return f"has what is not a number in the column {name}"
    return None
