"""The committed record recomputed: its figures from its predictions, and what its weights predict.

The text's figures are recomputed by `ferlib.report.repeated`; the README's from faces.csv, live.csv and
speed.csv need measuring anew, by ``ferlib bench``.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ferlib.data.audit import Audit
from ferlib.data.fer2013 import Dataset
from ferlib.evaluate import metrics, private_test
from ferlib.labels import FerlibError
from ferlib.live.network import Network
from ferlib.train import predicting, record, targets
from ferlib.train.record import Run

SAME = 1e-6
"""Largest difference of a figure that counts as the same: how exactly optimizers end."""

CLOSE = 0.01
"""Likewise of a probability that weights give again, on another processor or in half precision."""


def reproduce(dataset: Dataset, audit: Audit, shipped: Iterable[Network]) -> pd.DataFrame:
    """Recompute what the record says of a dataset.

    Returns one row a recorded run, then one for each split that weights predict again: ``what``, ``figures``
    (how many were compared), ``difference`` (the largest; missing where there is nothing to compare with),
    ``of`` (its name) and ``same`` (bool).
    """
    runs = record.read_record(dataset)
    if not runs:
        raise FerlibError("the record holds no run of these images: nothing to reproduce")
    table = record.read_results().set_index("file")
    rows = [_figures(run, table.loc[run.recorded_file.name], dataset, audit) for run in runs]
    rows += [_weights(run, dataset) for run in runs if run.weights]
    rows += [row for network in shipped for row in _shipped(network, runs, dataset)]
    found = pd.DataFrame(rows, columns=["what", "figures", "difference", "of", "allowed"])
    return found.assign(same=found["difference"] <= found["allowed"]).drop(columns="allowed")


def describe(found: pd.DataFrame) -> str:
    """Write what was found, by `reproduce` or of chapters, as a table for people with a sentence below."""
    verdict = np.where(found["same"], "same", "differs")
    difference = ["–" if np.isnan(one) else f"{one:.2g}" for one in found["difference"]]
    shown = found.assign(verdict=verdict, difference=difference)
    table = shown[["what", "figures", "verdict", "difference", "of"]].to_string(index=False)
    return f"{table}\n\n{found['same'].sum()} of {len(found)} are the same"


def _figures(run: Run, recorded: pd.Series, dataset: Dataset, audit: Audit) -> tuple:
    again = pd.Series(private_test.figures(run, dataset, audit), dtype="float64")
    apart = (again - recorded[again.index].astype("float64")).abs().fillna(np.inf)
    name = f"{run.experiment.id}, seed {run.seed} ({run.profile})"
    return name, len(again), float(apart.max()), str(apart.idxmax()), SAME


def _weights(run: Run, dataset: Dataset) -> tuple:
    part = targets.judged(run.experiment, dataset.valid)
    again = record.rounded(predicting.predict(run.model(), part))
    apart = np.abs(again.probabilities - run.valid.probabilities).max()
    return f"weights of {run.experiment.id}, PublicTest", len(part), float(apart), "probability", CLOSE


def _shipped(network: Network, runs: list[Run], dataset: Dataset) -> list[tuple]:
    """Compare a shipped network's answers with the record of its run."""
    source, rows = network.metadata["source"], []
    wanted = tuple(source.get(name) for name in ("experiment", "seed", "profile", "fingerprint"))
    for run in runs:
        if (run.experiment.id, run.seed, run.profile, run.result["fingerprint"]) != wanted:
            continue
        splits = (("PublicTest", dataset.valid, run.valid), ("PrivateTest", dataset.test, run.test))
        for name, split, recorded in splits:
            told = metrics.with_temperature(recorded, network.temperature).probabilities
            apart = float(np.abs(network.probabilities(split.images) - told).max())
            rows.append((f"shipped {run.experiment.id}, {name}", len(split), apart, "probability", CLOSE))
    missing = (f"shipped {source.get('experiment')}", 0, np.nan, "its run is not in the record", CLOSE)
    return rows or [missing]
