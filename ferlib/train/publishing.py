"""The committed record: runs copied beside the table of their results."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ferlib import paths
from ferlib.data.fer2013 import Dataset
from ferlib.labels import FerlibError
from ferlib.train import experiments, record
from ferlib.train.experiments import Experiment
from ferlib.train.record import Run

IDENTITY = ("experiment", "seed", "profile", "fingerprint")
"""Columns of results.csv that tell runs apart: publishing a run again replaces its row."""


def recorded(experiment: Experiment, seed: int, profile: str, fingerprint: str) -> Run | None:
    """Return the run of a scaled row if it stands in the committed record, else None."""
    if profile not in experiments.TRAINED:  # of an earlier table: its rows may have changed since
        earlier = f"{experiment.id}-{profile}-*-{fingerprint[:8]}-seed{seed}.npz"
        return next((record.load_run(file) for file in sorted(paths.record().glob(earlier))), None)
    file = record.recorded_file(experiment, seed, profile, fingerprint)
    return replace(record.load_run(file), experiment=experiment) if file.exists() else None


def publish(runs: Iterable[Run]) -> Path:
    """Copy runs into the committed record and merge their results into its table.

    Rows of other runs, seeds and datasets stay; a run published before is replaced, and so is one of the same
    row and seed that was trained with fewer epochs.

    Args:
        runs: Finished runs.

    Returns:
        The record's ``results.csv``.
    """
    table = paths.record() / "results.csv"
    rows = []
    for run in runs:
        record.save(run, run.recorded_file)
        beside = record.weights_beside(run.recorded_file)
        if run.directory and beside.exists():  # those of the run before, which results must not outlive
            keep_weights(run) if run.weights else beside.unlink()
        rows.append(run.result | {"key": experiments.key(run.experiment), "file": run.recorded_file.name})
    before = read_results()
    merged = pd.concat([before, pd.DataFrame(rows)], ignore_index=True)
    merged = merged.drop_duplicates(list(IDENTITY), keep="last").sort_values(list(IDENTITY))
    same = merged.groupby(["experiment", "fingerprint"])["profile"]
    merged = merged[(merged["profile"] != "cpu") | ~same.transform(lambda made: (made == "full").any())]
    with paths.written_atomically(table) as temporary:
        merged.to_csv(temporary, index=False)
    for name in set(before.get("file", ())) - set(merged["file"]):  # rows that were changed and ran again
        file = paths.record() / name
        file.unlink(missing_ok=True)
        record.weights_beside(file).unlink(missing_ok=True)
    return table


def keep_weights(run: Run) -> None:
    """Copy the weights of a run into the record, so that `Run.model` works there too, and drop all others.

    Args:
        run: The run whose network ships.
    """
    target = record.weights_beside(run.recorded_file)
    with paths.written_atomically(target) as temporary:
        shutil.copyfile(run.weights, temporary)
    for other in set(paths.record().glob("*.weights.h5")) - {target}:
        other.unlink()


def publish_finished(dataset: Dataset) -> str:
    """Publish every finished run of this dataset but quick ones, and say what was done."""
    candidates = [run for run in record.runs(dataset) if run.profile != "quick"]
    tested = [run for run in candidates if run.test is not None]
    if not tested:
        raise FerlibError(
            f"nothing to record: {len(candidates)} runs that are not quick in {paths.runs()}, none with test "
            "predictions; train with --profile full, then say ferlib record, which opens the test split"
        )
    table = publish(tested)
    left = len(candidates) - len(tested)
    return f"{len(tested)} runs are in {table.parent}" + (f"; {left} without test were left" if left else "")


def read_results() -> pd.DataFrame:
    """Return the record's table, one row a run, of every dataset; empty where there is no record.

    Raises:
        FerlibError: The table is damaged.
    """
    table = paths.record() / "results.csv"
    if not table.exists():
        return pd.DataFrame()
    try:
        results = pd.read_csv(table, dtype={"key": str, "fingerprint": str})
        whole = not results.empty and results[[*IDENTITY, "file"]].notna().all(axis=None)
    except (ValueError, KeyError):  # no table at all, and columns that are missing
        whole = False
    if not whole:
        raise FerlibError(
            f"{table} is damaged or cut off; restore it from version control with: git checkout -- {table}"
        )
    return results


def read_record(dataset: Dataset) -> list[Run]:
    """Return the recorded runs of this dataset whose rows are still in the table as they ran.

    Raises:
        FerlibError: The table names a file that is missing or can't be read.
    """
    table = read_results()
    if table.empty:
        return []
    mine = table[table["fingerprint"] == dataset.fingerprint]
    return record.current(record.load_run(paths.record() / name) for name in mine["file"])
