"""What a command would train, and about how long that takes."""

from collections.abc import Iterable
from functools import cache

import numpy as np
import pandas as pd

from ferlib.data.fer2013 import Dataset, Split
from ferlib.labels import CLASSES
from ferlib.train import experiments, machine, models, record, trainer
from ferlib.train.experiments import Experiment
from ferlib.train.fitting import Fitting

TRAINING_PASSES = 3
"""A training step computes the outputs, and gradients for weights and for inputs: three times the work."""


def plan(ids: Iterable[str], seeds: Iterable[int], profile: str, dataset: Dataset) -> pd.DataFrame:
    """Say of each run whether it is finished, and of others how long they take at most.

    A row that was finished with another seed on this device takes as long again. Other times follow from
    the computations of the network and the speed of runs that were finished here, or, without any, of two
    batches trained now. Runs that shared the device with others tell nothing. Rows without ImageNet weights
    to be had count as they stand.

    Args:
        ids: Rows of the experiment table.
        seeds: Seeds of each row.
        profile: ``"auto"`` or a key of ``experiments.PROFILES``.
        dataset: Images.

    Returns:
        One row a run: experiment, seed, profile, state ("finished", "recorded" or "to train"), epochs at
        most, seconds to go.
    """
    here = machine.name()
    alone = (run for run in record.runs(dataset) if run.result.get("sharing", 1) == 1)
    finished = [run for run in alone if run.result["device"] == here]
    rows = []
    for row, seed, run in trainer.lookup(ids, seeds, dataset, profile):
        if run is not None:
            state = "finished" if run.origin == "runs" else "recorded"
            rows.append((row.id, seed, run.profile, state, run.result["epochs"], 0.0))
            continue
        scaled = experiments.at(row, trainer.choose_profile(profile))
        seconds = _seconds(scaled, finished, len(dataset.train))
        rows.append((row.id, seed, trainer.choose_profile(profile), "to train", scaled.epochs, seconds))
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
