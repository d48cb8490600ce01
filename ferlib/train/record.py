"""Finished runs, one file each in ``runs/``, and the committed record of them beside the table of results."""

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from ferlib import paths
from ferlib.data.fer2013 import Dataset
from ferlib.labels import FerlibError
from ferlib.train import experiments, models
from ferlib.train.experiments import PROFILES, Experiment
from ferlib.train.predicting import Predictions

RUN_FILE = "run.npz"
WEIGHTS_FILE = "best.weights.h5"
PARTS = ("valid", "test", "test_tta")
HISTORY = ("epoch", "loss", "accuracy", "valid_loss", "valid_accuracy", "learning_rate", "seconds")
"""Columns of a run's history; ``seconds`` are of training alone, PublicTest not counted."""
IDENTITY = ("experiment", "seed", "profile", "fingerprint")
"""Columns of results.csv that tell runs apart: publishing a run again replaces its row."""


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        experiment: The row as it ran, scaled to the profile.
        seed: Seed of initial weights, order, dropout and augmentation.
        profile: Key of ``experiments.PROFILES``.
        result: One row of results.csv.
        history: One row an epoch, columns `HISTORY`.
        valid: Predictions on PublicTest with the best weights, rounded to float16.
        test: Likewise on PrivateTest, once `with_test` has stored them.
        test_tta: Likewise, averaged over several views of each image.
        directory: Folder of run and weights, None when read from the record.
        origin: ``"runs"`` or ``"record"``.
    """

    experiment: Experiment
    seed: int
    profile: str
    result: dict
    history: pd.DataFrame
    valid: Predictions
    test: Predictions | None = None
    test_tta: Predictions | None = None
    directory: Path | None = None
    origin: str = "runs"

    @property
    def weights(self) -> Path | None:
        """File of the best weights, None if they are elsewhere: the record has those of what ships alone."""
        file = self.directory / WEIGHTS_FILE if self.directory else weights_beside(self.recorded_file)
        return file if file.exists() else None

    @property
    def recorded_file(self) -> Path:
        """Where the committed record keeps this run, if it does."""
        return recorded_file(self.experiment, self.seed, self.profile, self.result["fingerprint"])

    def model(self) -> keras.Model:
        """Rebuild the network with its best weights, in float32.

        Raises:
            FerlibError: The weights are not here, or are damaged.
        """
        remedy = f"train it with: ferlib train {self.experiment.id} --profile {self.profile}"
        file = self.weights
        if file is None:
            raise FerlibError(
                f"the weights of {self.experiment.id} (seed {self.seed}, {self.profile}) are not here, only "
                f"its results; {remedy}"
            )
        switches = dict(self.experiment.switches) | {"pretrained": False}
        network = models.build(self.experiment.model, len(self.valid.classes), **switches)
        try:
            network.load_weights(file)
        except Exception as error:  # a damaged file raises errors of many kinds
            mend = f"delete the folder {self.directory} and {remedy}"
            if self.directory is None:
                mend = f"restore them from version control with: git checkout -- {file}"
            raise FerlibError(
                f"the weights {file} can't be read whole ({type(error).__name__}); {mend}"
            ) from error
        return network


def directory(experiment: Experiment, seed: int, profile: str, fingerprint: str) -> Path:
    """Return the folder of a run of a scaled row; another row, profile or dataset is another folder."""
    version = f"{profile}-{experiments.key(experiment)}-{fingerprint[:8]}"
    return paths.runs() / experiment.id / version / f"seed{seed}"


def recorded_file(experiment: Experiment, seed: int, profile: str, fingerprint: str) -> Path:
    """Return the file of a run in the committed record; the arguments are those of `directory`."""
    named = directory(experiment, seed, profile, fingerprint).relative_to(paths.runs())
    return paths.record() / f"{'-'.join(named.parts)}.npz"


def weights_beside(file: Path) -> Path:
    """Return where the record keeps the weights of a run, beside its file, if it does."""
    return file.with_suffix(".weights.h5")


def rounded(predictions: Predictions) -> Predictions:
    """Round probabilities to float16, as they are stored, so that later figures agree with the first."""
    half = predictions.probabilities.astype("float16").astype("float32")
    return replace(predictions, probabilities=half)


def save(run: Run, target: Path) -> None:
    """Write all of a run but its weights, folder and origin as one npz file, atomically."""
    about = {"experiment": asdict(run.experiment)}
    about |= {name: getattr(run, name) for name in ("seed", "profile", "result")}
    arrays = {"run": np.array(json.dumps(about))}
    arrays |= {f"history_{name}": run.history[name].to_numpy() for name in HISTORY}
    for name in PARTS:
        arrays |= _packed(name, getattr(run, name))
    with paths.written_atomically(target) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_run(source: Path) -> Run:
    """Read a run from its folder under ``runs/`` or its file in the record.

    Raises:
        FerlibError: There is no finished run, or its file can't be read or is not as training wrote it.
    """
    in_runs = source.suffix != ".npz"
    file = source / RUN_FILE if in_runs else source
    try:
        arrays = paths.arrays(file)
        about = json.loads(str(arrays["run"]))
        parts = {name: _unpacked(name, arrays) for name in PARTS}
        _refuse_odd(about, {name: parts[name] for name in ("valid", "test")})
        return Run(
            experiment=_experiment(about["experiment"]),
            **{name: about[name] for name in ("seed", "profile", "result")},
            history=pd.DataFrame({name: arrays[f"history_{name}"] for name in HISTORY}),
            **parts,
            directory=source if in_runs else None,
            origin="runs" if in_runs else "record",
        )
    except FileNotFoundError:
        raise FerlibError(f"there is no finished run at {source}; train it with: ferlib train") from None
    except Exception as error:  # a damaged file raises errors of many kinds
        raise FerlibError(f"the run {file} can't be read ({error}); delete it and train again") from error


def find(experiment: Experiment, seed: int, profile: str, fingerprint: str) -> Run | None:
    """Return the run of a scaled row if it was finished in ``runs/``, else None."""
    folder = directory(experiment, seed, profile, fingerprint)
    return replace(load_run(folder), experiment=experiment) if (folder / RUN_FILE).exists() else None


def runs(dataset: Dataset) -> list[Run]:
    """Return the finished runs of this dataset in ``runs/`` whose rows are still in the table as they ran."""
    files = sorted(paths.runs().glob(f"*/*-{dataset.fingerprint[:8]}/seed*/{RUN_FILE}"))
    return current(load_run(file.parent) for file in files)


def with_test(run: Run, test: Predictions, test_tta: Predictions, **figures) -> Run:
    """Return a run with its PrivateTest predictions, stored with it where it has a folder.

    Args:
        run: A finished run.
        test: Predictions on PrivateTest; kept rounded to float16.
        test_tta: Likewise, averaged over several views.
        **figures: Fields to add to the run's result, such as ``test_accuracy``.
    """
    result = run.result | figures
    changed = replace(run, test=rounded(test), test_tta=rounded(test_tta), result=result)
    if run.directory is not None:
        save(changed, run.directory / RUN_FILE)
    return changed


def current(found: Iterable[Run]) -> list[Run]:
    """Keep runs of rows that the table has, unchanged but for names and notes, which are taken from it."""
    kept = []
    for run in found:
        row = experiments.EXPERIMENTS.get(run.experiment.id)
        scaled = experiments.at(row, run.profile) if row else None
        if scaled and experiments.key(scaled) == experiments.key(run.experiment):
            kept.append(replace(run, experiment=scaled))
    return kept


def _experiment(values: dict) -> Experiment:
    """Rebuild a row; fields that this version does not know are left out."""

    def tuples(value):
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    known = {field.name for field in fields(Experiment)} & set(values)
    return Experiment(**{name: tuples(values[name]) for name in known})


def _refuse_odd(about: dict, parts: dict[str, Predictions | None]) -> None:
    """Raise ValueError if a run can't be what training wrote: its identity names files and joins tables."""
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
    for name, part in parts.items():
        told = result.get(f"{name}_accuracy")
        if part is None:
            if name == "valid" or told is not None:
                raise ValueError(f"its {name} predictions are missing")
        elif told is None or not abs(told - part.accuracy) < 0.5 / len(part):  # not even one image apart
            found = f"{part.accuracy:.4f}"
            raise ValueError(f"its {name} predictions have accuracy {found}, not {told} as it says")


def _packed(name: str, predictions: Predictions | None) -> dict[str, np.ndarray]:
    if predictions is None:
        return {}
    return {
        f"{name}_probabilities": predictions.probabilities.astype("float16"),
        f"{name}_labels": predictions.labels.astype("int8"),
        f"{name}_names": np.char.encode(predictions.names.astype(str), "utf-8"),
        f"{name}_classes": np.array(predictions.classes),
    }


def _unpacked(name: str, arrays: dict[str, np.ndarray]) -> Predictions | None:
    if f"{name}_probabilities" not in arrays:
        return None
    return Predictions(
        labels=arrays[f"{name}_labels"].astype("int64"),
        probabilities=arrays[f"{name}_probabilities"].astype("float32"),
        names=np.char.decode(arrays[f"{name}_names"], "utf-8"),
        classes=tuple(str(c) for c in arrays[f"{name}_classes"]),
    )


def recorded(experiment: Experiment, seed: int, profile: str, fingerprint: str) -> Run | None:
    """Return the run of a scaled row if it stands in the committed record, else None."""
    file = recorded_file(experiment, seed, profile, fingerprint)
    return replace(load_run(file), experiment=experiment) if file.exists() else None


def publish(runs: Iterable[Run]) -> Path:
    """Copy finished runs into the committed record and merge their results into its table.

    Rows of other runs, seeds and datasets stay; a run published before is replaced.

    Returns:
        The record's ``results.csv``.
    """
    table = paths.record() / "results.csv"
    rows = []
    for run in runs:
        save(run, run.recorded_file)
        beside = weights_beside(run.recorded_file)
        if run.directory and beside.exists():  # those of the run before, which results must not outlive
            keep_weights(run) if run.weights else beside.unlink()
        rows.append(run.result | {"key": experiments.key(run.experiment), "file": run.recorded_file.name})
    before = read_results()
    merged = pd.concat([before, pd.DataFrame(rows)], ignore_index=True)
    merged = merged.drop_duplicates(list(IDENTITY), keep="last").sort_values(list(IDENTITY))
    with paths.written_atomically(table) as temporary:
        merged.to_csv(temporary, index=False)
    for name in set(before.get("file", ())) - set(merged["file"]):  # rows that were changed and ran again
        file = paths.record() / name
        file.unlink(missing_ok=True)
        weights_beside(file).unlink(missing_ok=True)
    return table


def keep_weights(run: Run) -> None:
    """Copy the weights of a run into the record, so that `Run.model` works there too.

    Those of other networks with the same teachers, people or labels, are dropped: they ship no longer.
    """
    target = weights_beside(run.recorded_file)
    with paths.written_atomically(target) as temporary:
        shutil.copyfile(run.weights, temporary)
    for other in set(paths.record().glob("*.weights.h5")) - {target}:
        row = experiments.EXPERIMENTS.get(other.name.partition("-")[0])
        if row is None or (row.target == "label") == (run.experiment.target == "label"):
            other.unlink()


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
        named = pd.read_csv(table, header=None, nrows=1, dtype=str).iloc[0]
        # Pandas renames columns of no name or of one twice, and takes rows that are too long for indexed.
        straight = list(results) == list(named) and isinstance(results.index, pd.RangeIndex)
        whole = straight and not results.empty and results[[*IDENTITY, "key", "file"]].notna().all(axis=None)
    except (ValueError, KeyError):  # no table at all, and columns that are missing
        whole = False
    if not whole:
        raise _changed(table, "is damaged or cut off")
    for row in results.itertuples():
        file = f"{row.experiment}-{row.profile}-{row.key}-{row.fingerprint[:8]}-seed{row.seed}.npz"
        if row.file != file or Path(file).name != file:  # publishing removes what the table no longer names
            raise _changed(
                table, f"names {row.file!r} as the file of {row.experiment}, which is not that run's"
            )
    if twice := results["file"][results["file"].duplicated()].tolist():
        raise _changed(table, f"has the row of {twice[0]} twice")
    return results


def _changed(file: Path, odd: str) -> FerlibError:
    return FerlibError(f"{file} {odd}; restore it from version control with: git checkout -- {file}")


def read_record(dataset: Dataset) -> list[Run]:
    """Return the recorded runs of this dataset whose rows are still in the table as they ran.

    Raises:
        FerlibError: The table names a file that is missing, can't be read or is of another run.
    """
    table = read_results()
    if table.empty:
        return []
    files = [paths.record() / name for name in table["file"][table["fingerprint"] == dataset.fingerprint]]
    found = [load_run(file) for file in files]
    for file, run in zip(files, found, strict=True):
        if run.recorded_file != file:
            raise _changed(file, "is not of the run that it is named after")
    return current(found)
