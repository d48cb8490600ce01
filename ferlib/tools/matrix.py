"""What `ferlib train` runs, row by seed: about how long it takes, and where, here or on workers of dask."""

import os
import sys
from collections.abc import Iterable
from contextlib import contextmanager
from functools import cache, partial

import numpy as np
import pandas as pd
from tqdm import tqdm

from ferlib import paths
from ferlib.data import fer2013
from ferlib.data.fer2013 import Dataset, Split
from ferlib.labels import CLASSES, FerlibError
from ferlib.train import experiments, machine, models, record, trainer
from ferlib.train.experiments import Experiment
from ferlib.train.fitting import Fitting
from ferlib.train.record import Run

TRAINING_PASSES = 3
"""A training step computes the outputs, and gradients for weights and for inputs: three times the work."""


def plan(ids: Iterable[str], seeds: Iterable[int], profile: str, dataset: Dataset) -> pd.DataFrame:
    """Say of each run whether it is finished, and of others how long they take at most.

    A row that was finished with another seed on this device takes as long again. Other times follow from
    the computations of the network and the speed of runs that were finished here, or, without any, of two
    batches trained now. Runs that shared the device with others tell nothing. Rows without ImageNet weights
    to be had count as they stand.

    Returns one row a run: experiment, seed, profile, state ("finished", "recorded" or "to train"), epochs at
    most, seconds to go. Runs that teach come before those that they teach.
    """
    alone = [run for run in record.runs(dataset) if run.result.get("sharing", 1) == 1]
    finished = [run for run in alone if run.result["device"] == machine.name()]
    chosen, rows = trainer.choose_profile(profile), []
    wanted = trainer.lookup(ids, seeds, dataset, profile)
    for id, several in trainer.teachers(row for row, _, run in wanted if run is None):
        wanted = trainer.lookup([id], range(several), dataset, chosen) + wanted
    for row, seed, run in wanted:
        if run is not None:
            state = "finished" if run.origin == "runs" else "recorded"
            rows.append((row.id, seed, run.profile, state, run.result["epochs"], 0.0))
        else:
            scaled = experiments.at(row, chosen)
            seconds = _seconds(scaled, finished, len(dataset.train))
            rows.append((row.id, seed, chosen, "to train", scaled.epochs, seconds))
    return pd.DataFrame(rows, columns=["experiment", "seed", "profile", "state", "epochs", "seconds"])


def describe_plan(planned: pd.DataFrame) -> str:
    """Write a plan as a table for people, the sum at its end."""
    missing = planned[planned["state"] == "to train"]
    text = planned.assign(seconds=planned["seconds"].map(_duration)).rename(columns={"seconds": "time"})
    total = f"{len(missing)} of {len(planned)} runs to train, about {_duration(missing['seconds'].sum())}"
    return f"{text.to_string(index=False)}\n\n{total} on {machine.name()}"


def _seconds(row: Experiment, finished: list[record.Run], images: int) -> float:
    """Estimate the training time of a scaled row from runs that were finished on this device."""
    for run in finished:
        if experiments.key(run.experiment) == experiments.key(row):
            return run.result["train_seconds"]
    samples = [
        _sample(run.history["seconds"], _computations(run.experiment, images, 1))
        for run in finished
        if len(run.history) > 1 and not run.experiment.frozen
    ]
    compiling, per_second = np.median(samples, axis=0) if samples else _trial()
    return compiling + _computations(row, images, row.epochs) / per_second


def _sample(seconds: pd.Series, computations: float) -> tuple[float, float]:
    later = seconds[1:].median()
    return max(0.0, seconds.iloc[0] - later), computations / later


@cache
def _trial() -> tuple[float, float]:
    """Train the deep network on two batches of noise, twice."""
    row = experiments.find("deep_plain")
    images = np.random.default_rng(0).integers(0, 256, (2 * row.batch_size, 48, 48, 1), dtype="uint8")
    labels = np.arange(len(images)) % len(CLASSES)
    noise = Split("train", images, labels, labels.astype(str))
    fitting = Fitting(row, 0, noise, noise)
    seconds = pd.Series([fitting.epoch()["seconds"] for _ in range(2)])
    return _sample(seconds, _computations(row, len(images), 1))


def _computations(row: Experiment, available: int, epochs: int) -> float:
    """Multiply-accumulate operations of some epochs; of a frozen backbone those of its only pass."""
    images = min(row.images or available, available)
    passes = 1 if row.frozen else TRAINING_PASSES * epochs
    return _macs(row.model, row.switches) * images * passes


@cache
def _macs(model: str, switches: tuple) -> int:
    return models.macs(models.build(model, **dict(switches) | {"pretrained": False}))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


DEATHS = 10
"""Workers that may die over one run of a local cluster; it goes on from its last epoch each time."""

PATIENCE = 10
"""Seconds to wait for a scheduler's answer."""


def train_matrix(
    ids: Iterable[str],
    seeds: Iterable[int],
    profile: str,
    dataset: Dataset,
    workers: int | None = None,
    scheduler: str | None = None,
    until: float | None = None,
) -> list[Run]:
    """Train as ``trainer.obtain`` does, here, or on so many workers, or on those of a running scheduler.

    Workers write into the same ``runs/`` folder and read the data at the same path, so on several machines
    both lie on shared storage. The run of a worker that dies is taken up by another where it was stored.
    """
    options = {"seeds": seeds, "profile": profile, "until": until}
    if workers is None and scheduler is None:
        return trainer.obtain(ids, dataset, **options)
    with _client(workers, scheduler) as client:
        return trainer.obtain(ids, dataset, **options, trainer=partial(_distribute, client))


@contextmanager
def _client(workers: int | None, scheduler: str | None):
    """Connect to a scheduler, or to one started here with workers that share the cores."""
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise FerlibError(
                f"no scheduler answers at {scheduler} ({error}); start one with: dask scheduler"
            ) from None
        with client:
            yield client
        return
    cores = str(max(1, (os.cpu_count() or 1) // workers))
    environment = {
        "OMP_NUM_THREADS": cores,
        "TF_NUM_INTRAOP_THREADS": cores,
        # Workers share a GPU, so none may take all of its memory at once.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        f"FERLIB_{trainer.SHARING}": str(workers),
    }
    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "env": environment}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}),
        LocalCluster(**options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _distribute(
    client, missing: list[tuple[Experiment, int]], dataset: Dataset, profile: str, until: float | None
) -> dict[tuple[Experiment, int], Run]:
    """Train runs on workers and read them from the shared folder as they finish."""
    from distributed import as_completed

    where = (str(dataset.location or "demo"), dataset.fingerprint, str(paths.runs()))
    futures = {
        client.submit(_train_remotely, *pair, profile, *where, until, pure=False, priority=-number): pair
        for number, pair in enumerate(missing)
    }
    found = {}
    with trainer.progress_bar(len(missing)) as bar:
        for future in as_completed(futures):
            row, seed = futures[future]
            if future.status != "finished":
                raise FerlibError(f"{row.id} seed {seed} failed on its worker: {future.exception()}")
            if not future.result():
                continue  # out of time
            run = record.find(experiments.at(row, profile), seed, profile, dataset.fingerprint)
            if run is None:
                raise FerlibError(
                    f"{row.id} seed {seed} is finished but not in {paths.runs()}; give all the same folder"
                )
            found[row, seed] = run
            bar.update()
            tqdm.write(trainer.summary(run), file=sys.stderr)
    return found


def _train_remotely(
    row: Experiment, seed: int, profile: str, source: str, fingerprint: str, runs: str, until: float | None
) -> bool:
    """Train one run on a worker and say whether it was finished; it lies in the folder `runs` then."""
    os.environ["FERLIB_RUNS"] = runs
    dataset = fer2013.load(source, own_classes=True)
    if dataset.fingerprint != fingerprint:
        raise FerlibError(f"{source} holds other images on this worker than where the command was given")
    try:
        trainer.train(row, seed, dataset, profile=profile, until=until)
    except trainer.OutOfTime:
        return False
    return True
