"""Search for better settings of a row with Optuna; poor trials end early."""

import inspect
import sys
from dataclasses import fields, replace

import numpy as np

from ferlib import paths
from ferlib.data.fer2013 import Dataset
from ferlib.labels import FerlibError
from ferlib.train import experiments, models, trainer
from ferlib.train.experiments import Experiment

WEIGHT_DECAY = (1e-5, 1e-1)
"""Range that is searched, on a logarithmic scale."""

STARTUP_TRIALS = 5
"""Trials that are drawn at random and not ended early; later ones learn from all before."""


def tune(experiment_id: str, dataset: Dataset, *, trials: int, storage: str | None, profile: str) -> str:
    """Search for settings with the best PublicTest accuracy; return them as an experiment row.

    Trials and their results are kept in the storage, a file in ``runs/tune/`` or the database of this URL, so
    a study goes on where it was stopped, and the same command on several machines with one database shares
    the work. The row's own settings are tried first, its weight decay raised to the least that is searched.
    Only the training split and PublicTest are read.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    profile = trainer.choose_profile(profile)
    row = experiments.find(experiment_id)
    if row.teachers:
        raise FerlibError(f"{row.id} is taught by other networks, too; tune {row.teachers[0]} in its place")
    scaled = experiments.at(row, profile)
    name = f"{row.id}-{profile}-{experiments.key(scaled)}-{dataset.fingerprint[:8]}"
    study = optuna.create_study(
        study_name=name,
        storage=_storage(optuna, storage),
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS),
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=STARTUP_TRIALS, n_warmup_steps=max(1, scaled.epochs // 5)
        ),
    )
    if all(trial.state == optuna.trial.TrialState.FAIL for trial in study.trials):
        own = {name: getattr(row, name) for name in ("learning_rate", "strength")}
        # A logarithmic scale has no 0; its lower end takes next to nothing off the weights.
        own["weight_decay"] = float(np.clip(row.weight_decay, *WEIGHT_DECAY))
        own |= {} if _dropout(row) is None else {"dropout": _dropout(row)}
        study.enqueue_trial(own)
    study.optimize(lambda trial: _accuracy(trial, row, dataset, profile), n_trials=trials, callbacks=[_tell])
    return _describe(study, row)


def _accuracy(trial, row: Experiment, dataset: Dataset, profile: str) -> float:
    """Train one trial and return its best PublicTest accuracy, 0..1."""
    import optuna

    # One seed for all: trials shall differ by their settings alone.
    fitting = trainer.start(experiments.at(_changed(trial, row), profile), 0, dataset)
    while not fitting.finished:
        line = fitting.epoch()
        trial.report(line["valid_accuracy"], line["epoch"])
        if trial.should_prune():
            raise optuna.TrialPruned
    return max(line["valid_accuracy"] for line in fitting.history)


def _changed(trial, row: Experiment) -> Experiment:
    """Return the row with the settings that a trial suggests, as far as the row has them."""
    switches = dict(row.switches)
    changes = {
        "learning_rate": trial.suggest_float(
            "learning_rate", row.learning_rate / 10, row.learning_rate * 10, log=True
        ),
        "weight_decay": trial.suggest_float("weight_decay", *WEIGHT_DECAY, log=True),
    }
    if _dropout(row) is not None:
        switches["dropout"] = trial.suggest_float("dropout", 0.0, 0.7)
    if row.policy != "none":
        changes["strength"] = trial.suggest_float("strength", 0.0, 2.0)
    return replace(row, **changes, switches=tuple(switches.items()))


def _dropout(row: Experiment) -> float | None:
    """Return a row's dropout, its network's own where the row does not say, None where there is none."""
    parameter = inspect.signature(models.MODELS[row.model]).parameters.get("dropout")
    return parameter and dict(row.switches).get("dropout", parameter.default)


def _storage(optuna, url: str | None):
    """Open the study's storage, a file here or a database anywhere."""
    if url is None:
        file = paths.runs() / "tune" / "studies.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    try:
        return optuna.storages.RDBStorage(url)
    except Exception as error:  # whatever the database's driver raises, or that there is none
        reason = str(error.__cause__ or error).partition("\n")[0]  # such as which driver is missing
        raise FerlibError(f"the storage {url} can't be opened: {reason}") from error


def _tell(study, trial) -> None:
    """Write one line about a trial that ended."""
    settings = ", ".join(f"{name} {value:.3g}" for name, value in trial.params.items())
    result = f"PublicTest {trial.value:.1%}" if trial.state.name == "COMPLETE" else trial.state.name.lower()
    print(f"trial {trial.number}: {result} with {settings}", file=sys.stderr)


def _describe(study, row: Experiment) -> str:
    best = _changed(study.best_trial, row)
    chosen = [
        f"    {field.name}={getattr(best, field.name)!r},"
        for field in fields(best)
        if getattr(best, field.name) != field.default
    ]
    reached = f"# PublicTest {study.best_value:.1%}, the best of {len(study.trials)} trials"
    return "\n".join([reached, "Experiment(", *chosen, ")"])
