"""Runs of the experiment table: each resumable, saved once finished, and never trained twice."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import monotonic, time

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from ferlib import paths
from ferlib.data.fer2013 import Dataset
from ferlib.train import backbones, experiments, machine, models, predicting, record, targets
from ferlib.train.experiments import EXPERIMENTS, Experiment
from ferlib.train.fitting import Fitting
from ferlib.train.record import Run
from ferlib.words import listed

CHECKPOINT = "checkpoint.npz"

CHECKPOINT_SECONDS = paths.number("CHECKPOINT_SECONDS", 30.0)
"""Training that a killed process loses at most, beside the epoch that it was in."""

SHARING = "SHARING"
"""Setting, after ``FERLIB_``, that says how many runs share this device, which makes each of them slower."""


class OutOfTime(Exception):
    """A run was stopped in time, its state stored."""


def train(
    experiment: Experiment,
    seed: int,
    dataset: Dataset,
    *,
    profile: str,
    until: float | None = None,
    on_epoch: Callable[[Fitting], None] | None = None,
) -> Run:
    """Train one row, or go on where it was stopped, or return it if it was finished.

    Now and then all that is needed to go on is stored, so a process may be killed at any moment and loses
    `CHECKPOINT_SECONDS` or an epoch at most. Only the training split and PublicTest are read.

    Args:
        experiment: Row of the experiment table, before scaling.
        seed: Seed of everything random, 0 or more.
        dataset: Images.
        profile: One of ``experiments.PROFILES``.
        until: Seconds since 1970; an epoch that would end later is not begun.
        on_epoch: Called after each epoch; what it raises stops the run, which stays resumable.

    Returns:
        The finished run, best weights beside it.

    Raises:
        OutOfTime: The next epoch would end after `until`; the same call goes on from here.
        FerlibError: A setting is no number.
        OSError: The run's folder can't be written.
    """
    row = experiments.at(experiment, profile)
    if run := _finished(row, seed, profile, dataset):
        return run
    folder = record.directory(row, seed, profile, dataset.fingerprint)
    paths.refuse_unwritable(folder)  # what is found out only after hours of training helps nobody
    sharing = paths.number(SHARING, 1, least=1)
    fitting = start(row, seed, dataset, _teachers(row, dataset, profile, until))
    _resume(fitting, folder / CHECKPOINT)
    stored = monotonic()
    while not fitting.finished:
        if until is not None and time() + _next_epoch(fitting) > until:
            raise OutOfTime
        fitting.epoch()
        in_time = until is None or time() + _next_epoch(fitting) <= until
        if monotonic() - stored >= CHECKPOINT_SECONDS or not in_time:
            with paths.written_atomically(folder / CHECKPOINT) as temporary:
                np.savez(temporary, **fitting.state())
            stored = monotonic()
        if on_epoch:
            on_epoch(fitting)
        if run := _finished(row, seed, profile, dataset):  # by another process meanwhile
            return run
    return _finish(fitting, folder, dataset, profile, sharing)


def _next_epoch(fitting: Fitting) -> float:
    """Return the seconds that the next epoch takes, its evaluation included, at a guess."""
    return 1.2 * fitting.history[-1]["seconds"] if fitting.history else 0.0


def obtain(
    ids: Iterable[str],
    dataset: Dataset,
    *,
    seeds: Iterable[int] = (0,),
    profile: str = "auto",
    comparable: bool = False,
    until: float | None = None,
    trainer: Callable | None = None,
) -> list[Run]:
    """Return finished runs, training what is missing, the first seed of all rows first.

    With profile ``"auto"`` a full run of this dataset serves, made here or recorded, without a GPU also a
    quick one; what is missing is trained, full on a GPU and quick without. A named profile takes and makes
    only runs of its own in ``runs/``. Where a row needs ImageNet weights that can't be had, its variant from
    random weights runs instead, under its own name.

    Args:
        ids: Rows of the experiment table.
        dataset: Images.
        seeds: Seeds of each row.
        profile: ``"auto"`` or one of ``experiments.PROFILES``.
        comparable: Leave rows out that could only be trained quickly where others were not: they could not
            be compared.
        until: Seconds since 1970 at which to stop, every unfinished run with its state stored.
        trainer: Trains the missing runs, given ``(row, seed)`` pairs, dataset, profile and until,
            and returns those that it finished in a dict by pair; None trains one after the other here.

    Returns:
        Runs in the order of seeds within ids; a variant that stands for two rows comes once. The runs of a
        row share a profile: where some of its seeds were run in full and others can't be now, the others are
        left out. So are those that `until` did not leave time for.
    """
    seeds, found = list(seeds), {}
    for row, seed, run in lookup(ids, seeds, dataset, profile):
        if run is None and row.id in experiments.WITHOUT_WEIGHTS:
            row, run = _stand_in(row, seed, dataset, profile)
        found[row, seed] = run
    chosen = choose_profile(profile)
    found = _of_one_scale(found, chosen, comparable)
    missing = sorted((pair for pair, run in found.items() if run is None), key=lambda pair: pair[1])
    for id, several in teachers(row for row, _ in missing):
        obtain([id], dataset, seeds=range(several), profile=chosen, until=until, trainer=trainer)
    found |= (trainer or _train_all)(missing, dataset, chosen, until)
    return [run for run in found.values() if run is not None]


def _of_one_scale(found: dict, profile: str, comparable: bool) -> dict:
    """Leave out what is quick, or would be, where other seeds of its row, or rows to compare, are full."""
    quick = {pair for pair, run in found.items() if (run.profile if run else profile) == "quick"}
    full = {row for row, seed in found if (row, seed) not in quick}
    if left := [f"{row.id} seed {seed}" for row, seed in found if row in full and (row, seed) in quick]:
        print(f"left out, for other seeds were run in full: {listed(left)}", file=sys.stderr)
    without = quick if comparable and full else {(row, seed) for row, seed in quick if row in full}
    return {pair: run for pair, run in found.items() if pair not in without}


def lookup(
    ids: Iterable[str], seeds: Iterable[int], dataset: Dataset, profile: str
) -> list[tuple[Experiment, int, Run | None]]:
    """Return each row with each seed and the finished run that serves, if there is one; see `obtain`.

    Raises:
        FerlibError: There is no such row or profile.
    """
    wanted = [(experiments.find(id), seed) for id in ids for seed in seeds]
    return [(row, seed, _existing(row, seed, dataset, profile)) for row, seed in wanted]


def start(row: Experiment, seed: int, dataset: Dataset, teachers: Iterable[keras.Model] = ()) -> Fitting:
    """Return a row, scaled to a profile, before its first epoch; the test split is not touched."""
    train, valid = targets.parts(row, seed, dataset)
    return Fitting(row, seed, train, valid, taught=targets.lessons(row, train, teachers))


def teachers(rows: Iterable[Experiment]) -> list[tuple[str, int]]:
    """Return the rows that teach some rows, and how many runs of each."""
    return list(dict.fromkeys(row.teachers[:2] for row in rows if row.teachers))


def _teachers(row: Experiment, dataset: Dataset, profile: str, until: float | None) -> list[keras.Model]:
    """Return the networks that teach a row, trained first where they are missing."""
    if row.teachers is None:
        return []
    id, seeds, *_ = row.teachers
    runs = obtain([id], dataset, seeds=range(seeds), profile=profile, until=until)
    if len(runs) < seeds:
        raise OutOfTime
    return [run.model() for run in runs]


def has_gpu() -> bool:
    """Say whether Keras sees a GPU."""
    return bool(machine.gpus())


def choose_profile(profile: str = "auto") -> str:
    """Return the profile to train in: ``"auto"`` is full where Keras sees a GPU and quick where not."""
    return profile if profile != "auto" else "full" if has_gpu() else "quick"


def _existing(row: Experiment, seed: int, dataset: Dataset, profile: str) -> Run | None:
    """Find a run that serves, in the best profile."""
    if profile != "auto":
        return _finished(experiments.at(row, profile), seed, profile, dataset)
    for name in ["full"] if has_gpu() else reversed(experiments.PROFILES):
        named = (experiments.at(row, name), seed, name)
        if run := _finished(*named, dataset) or record.recorded(*named, dataset.fingerprint):
            return run
    return None


def _finished(row: Experiment, seed: int, profile: str, dataset: Dataset) -> Run | None:
    """Find a finished run in `runs/`, and remove what a process left that was killed right after it."""
    run = record.find(row, seed, profile, dataset.fingerprint)
    if run is not None:
        with suppress(OSError):
            (run.directory / CHECKPOINT).unlink(missing_ok=True)
        paths.remove_leftovers(run.directory)
    return run


def _stand_in(row: Experiment, seed: int, dataset: Dataset, profile: str) -> tuple[Experiment, Run | None]:
    """Return the row, or its variant from random weights.

    The variant stands in where ImageNet weights can't be had, and where it was trained in full and the row
    would be trained quickly.
    """
    variant = EXPERIMENTS[experiments.WITHOUT_WEIGHTS[row.id]]
    run = _existing(variant, seed, dataset, profile)
    better = run is not None and run.profile != choose_profile(profile)
    if not better and _weights_available(row.model):
        return row, None
    reason = "was run in full" if better else "runs, as there are no ImageNet weights to be had"
    print(f"{row.id}: instead {variant.id} {reason}", file=sys.stderr)
    return variant, run


_weights_available = cache(backbones.weights_available)


def _train_all(
    missing: list[tuple[Experiment, int]], dataset: Dataset, profile: str, until: float | None
) -> dict[tuple[Experiment, int], Run]:
    """Train one run after the other, each with its share of a bar and a line at its end."""
    done = {}
    with progress_bar(len(missing)) as bar, suppress(OutOfTime):
        for row, seed in missing:
            epochs = experiments.at(row, profile).epochs
            bar.set_description_str(name := f"{row.id} seed {seed}", refresh=False)

            def advance(fitting: Fitting, name=name, epochs=epochs) -> None:
                last = fitting.history[-1]
                told = f"{name} epoch {last['epoch']}/{epochs} PublicTest {last['valid_accuracy']:.1%}"
                bar.set_description_str(told, refresh=False)
                bar.update(len(done) + last["epoch"] / epochs - bar.n)

            run = train(row, seed, dataset, profile=profile, until=until, on_epoch=advance)
            done[row, seed] = run
            bar.update(len(done) - bar.n)
            tqdm.write(summary(run), file=sys.stderr)
    return done


def progress_bar(runs: int) -> tqdm:
    """Return a bar for some runs on stderr, shown if there are any."""
    # A log keeps every state of a bar, so a file gets one now and then, a terminal many. The bar grows
    # by shares of a run, which tqdm would wait to add up to what the first of them was.
    options = {"mininterval": 0.2 if sys.stderr.isatty() else 30, "miniters": 0, "disable": not runs}
    return tqdm(total=runs, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}", **options)


def summary(run: Run) -> str:
    """Return what a run reached, in one line."""
    result = run.result
    return (
        f"{run.experiment.id} seed {run.seed} ({run.profile}): PublicTest {result['judged_accuracy']:.1%} at "
        f"epoch {result['best_epoch']} of {result['epochs']}, {result['train_seconds']:.0f} s"
    )


def _resume(fitting: Fitting, checkpoint: Path) -> None:
    """Take up where a stopped process left off; a damaged or other code's checkpoint serves for nothing."""
    try:
        fitting.restore(paths.arrays(checkpoint))
    except FileNotFoundError:
        pass
    except Exception as error:  # a damaged file raises errors of many kinds
        told = f"{fitting.experiment.id} seed {fitting.seed} starts over: {checkpoint} can't be taken up"
        print(f"{told} ({type(error).__name__})", file=sys.stderr)


def _finish(fitting: Fitting, folder: Path, dataset: Dataset, profile: str, sharing: int) -> Run:
    """Store weights, then the run itself, whose file says that all is there; drop what is of no more use."""
    valid, row = fitting.keep_best(), fitting.experiment
    trained = fitting.training_accuracy()
    history = pd.DataFrame(fitting.history, columns=list(record.HISTORY))
    run = Run(row, fitting.seed, profile, {"sharing": sharing}, history, valid, directory=folder)
    with paths.written_atomically(folder / record.WEIGHTS_FILE) as temporary:
        paths.reserve(temporary, 5 * fitting.network.count_params() + 2**20)  # float32, names, and some room
        fitting.network.save_weights(temporary)
    if fitting.precision != "float32":  # in which everybody else will compute
        part = targets.judged(row, dataset.valid)
        run = replace(run, valid=record.rounded(predicting.predict(run.model(), part)))
    run = replace(run, result=run.result | _result(run, fitting, dataset) | {"clean_train_accuracy": trained})
    record.save(run, folder / record.RUN_FILE)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return run


def _result(run: Run, fitting: Fitting, dataset: Dataset) -> dict:
    best = run.history.iloc[fitting.best_epoch - 1]
    seconds = run.history["seconds"]
    return {
        "experiment": run.experiment.id,
        "seed": run.seed,
        "profile": run.profile,
        "images": fitting.images,
        "parameters": fitting.network.count_params(),
        "macs": models.macs(fitting.network),
        "epochs": len(run.history),
        "best_epoch": fitting.best_epoch,
        "train_accuracy": float(best["accuracy"]),
        "valid_accuracy": run.valid.accuracy,  # by FER-2013's labels, whatever the row is taught
        "judged_accuracy": float(best["valid_accuracy"]),  # by what the row is taught
        "train_seconds": float(seconds.sum()),
        # The first epoch also compiles.
        "seconds_per_epoch": float(seconds[1:].median() if len(seconds) > 1 else seconds.iloc[0]),
        "steps_per_epoch": fitting.steps,
        "precision": fitting.precision,
        "device": machine.name(),
        "backend": keras.backend.backend(),
        "versions": " ".join(f"{name} {version}" for name, version in machine.versions().items()),
        "fingerprint": dataset.fingerprint,
        "commit": machine.commit(),
        "date": machine.now(),
    }
