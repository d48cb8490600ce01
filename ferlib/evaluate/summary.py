"""Runs gathered by row of the experiment table: means over seeds, their uncertainty, the table of results."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
import pandas as pd

from ferlib import paths
from ferlib.data.fer2013 import Dataset
from ferlib.evaluate import metrics
from ferlib.evaluate.metrics import Sampled
from ferlib.labels import CLASSES, FerlibError
from ferlib.train import experiments, models, record
from ferlib.train.experiments import Experiment
from ferlib.train.record import Run
from ferlib.words import interval

REAL_TIME_PARAMETERS = 5_000_000
"""The network that watches a camera must be smaller than this."""

PUBLIC_COLUMNS = {
    "seeds": "seeds",
    "ran": "epochs",
    "training": "training %",
    "public": "PublicTest %",
    "interval": "95 % interval",
    "public_f1": "macro-F1 %",
    "reported": "elsewhere %",
    "parameters": "parameters",
}
ACCURACY_COLUMNS = {
    "seeds": "seeds",
    "public": "PublicTest %",
    "test_accuracy": "PrivateTest %",
    "test_interval": "95 % interval",
    "test_deviation": "± over seeds %",
    "macro_f1": "macro-F1 %",
    "leak_free_accuracy": "leak-free %",
    "leak_free_mixed": "leak-free, same mix %",
    "test_accuracy_tta": "averaged views %",
    "reported": "elsewhere %",
}
COST_COLUMNS = {
    "parameters": "parameters, millions",
    "macs": "multiplications, millions",
    "milliseconds": "ms an image",
    "epochs": "epochs",
    "compute": "multiplications of the training, 10¹²",
    "calibration_error": "calibration error %",
    "calibration_floor": "error by chance %",
    "temperature": "temperature",
    "calibration_error_scaled": "error after scaling %",
}
"""Columns of `results_table` to headings of the tables that people read, for `display_table`."""

COST_FORMATS = {
    "epochs": "{:.0f}",
    "parameters, millions": "{:.2f}",
    "multiplications, millions": "{:.1f}",
    "multiplications of the training, 10¹²": "{:.1f}",
}
"""How the costs among these are written."""

_FACTORS = {"%": 100, "millions": 1e-6, "10¹²": 1e-12}
"""How a heading ends to what its values are multiplied by."""

_ON_PRIVATE_TEST = (
    *("test_accuracy", "macro_f1", "balanced_accuracy", "leak_free_accuracy", "test_accuracy_tta"),
    *("calibration_error", "calibration_error_scaled", "temperature"),
)


def every_run(dataset: Dataset) -> list[Run]:
    """Return all finished runs on a dataset, recorded ones too: of each row the full ones where it has any.

    Raises:
        FerlibError: There are none.
    """
    found = _finished(dataset)
    if not found:
        raise FerlibError("no network was trained on this data; train one with: ferlib train lean")
    full = {run.experiment.id for run in found if run.profile == "full"}
    return [run for run in found if run.profile == "full" or run.experiment.id not in full]


def with_other_seeds(runs: Iterable[Run], dataset: Dataset) -> list[Run]:
    """Add the finished runs of the same rows and profiles that differ from given ones in the seed alone."""
    runs = list(runs)
    rows = list(dict.fromkeys(map(_row, runs)))
    found = [run for run in _finished(dataset, runs) if _row(run) in rows]
    return sorted(found, key=lambda run: (rows.index(_row(run)), run.seed))


def _finished(dataset, given=()):
    """Return all finished runs, each once: as it was given, else as it lies in ``runs/`` or in the record."""
    found = [*record.read_record(dataset), *record.runs(dataset), *given]
    return list({(_row(run), run.seed): run for run in found}.values())


def _row(run):
    return run.experiment.id, run.profile, experiments.key(run.experiment)


def rows(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Gather runs by row of the experiment table: group after group in its order, within a row by seed."""
    groups = [row.group for row in experiments.EXPERIMENTS.values()]
    ids = sorted(experiments.EXPERIMENTS, key=lambda id: groups.index(experiments.EXPERIMENTS[id].group))
    ordered = sorted(runs, key=lambda run: (ids.index(run.experiment.id), run.seed))
    return {id: list(of_row) for id, of_row in groupby(ordered, key=lambda run: run.experiment.id)}


def seed_deviation(split: str = "valid") -> tuple[float, int]:
    """Return by how much the accuracy of one way of training varies from seed to seed.

    Returns:
        Standard deviation of the accuracy (0..1), pooled over all recorded rows that learn throughout and
        have several seeds, and its degrees of freedom; 0 and 1 where no row has several.
    """
    table = record.read_results()
    if not len(table):
        return 0.0, 1
    learned = table[table["experiment"].map(_learns_throughout)]
    groups = learned.groupby(["experiment", "profile", "fingerprint", "key"])[f"{split}_accuracy"]
    squares, freedom = groups.var() * (groups.size() - 1), int((groups.size() - 1).sum())
    return (float(np.sqrt(squares.sum() / freedom)), freedom) if freedom else (0.0, 1)


def _learns_throughout(id: str) -> bool:
    """Say whether a row is a network that learns in all its layers: others vary less from seed to seed."""
    row = experiments.EXPERIMENTS.get(id)
    return row is not None and row.model not in ("prior", "logistic") and not row.frozen


def accuracy(runs: Sequence[Run], split: str = "valid") -> Sampled:
    """Return the mean accuracy of one row's seeds, uncertain by images and by seeds.

    Images are resampled. Seeds are too few to be, so what they add is drawn from Student's distribution
    with the pooled `seed_deviation`: with one seed, too, a way of training is more than one network. A split
    is ``"valid"`` or ``"test"``.
    """
    tested = metrics.aligned([getattr(run, split) for run in runs])
    share = np.mean([one.correct for one in tested], axis=0, keepdims=True)
    return metrics.ratio(share) + seed_noise(runs[0].experiment.id, len(runs), split)


def seed_noise(row: str, seeds: int, split: str = "valid") -> Sampled:
    """Return what other seeds would add to a row's mean accuracy over some seeds: zero, resampled.

    What is no row, or draws nothing at random, has no noise. See `accuracy`.
    """
    deviation, freedom = seed_deviation(split)
    if row not in experiments.EXPERIMENTS or experiments.find(row).model == "prior":
        deviation = 0.0
    generator = np.random.default_rng(zlib.crc32(row.encode()))
    return Sampled(0.0, generator.standard_t(freedom, metrics.RESAMPLES) * deviation / np.sqrt(seeds))


def training_accuracy(runs: Sequence[Run]) -> float:
    """Return the mean accuracy of one row's seeds on training images as they are, with the weights kept.

    It is missing of older runs. What is counted while training is of augmented images, with dropout.
    """
    return float(np.mean([run.result.get("clean_train_accuracy", np.nan) for run in runs]))


def results_table(runs: Iterable[Run], *, tested: bool = True) -> pd.DataFrame:
    """Return one row a row of the experiment table, averaged over its seeds.

    If not ``tested``, PrivateTest and the work of the training are not looked at and have no columns.

    Returns:
        Indexed by the row's id: ``group``, ``classes`` and ``seeds`` (how many), ``parameters``,
        ``macs``, ``milliseconds`` (see `milliseconds`), ``epochs`` (as many as ran; ``ran`` in words, with
        those it should have), ``training`` accuracy (on training images as they are), ``public`` accuracy and
        its 95 % interval over images and seeds ``low`` to ``high`` (``interval`` in words), ``gap`` (training
        minus PublicTest), ``public_f1`` and ``reported`` (elsewhere), all 0..1. Of PrivateTest the means of
        the results, accuracies 0..1; ``calibration_floor`` (see ``metrics``); ``test_deviation`` (sample
        standard deviation over seeds, missing with one); ``test_low`` and ``test_high`` (``test_interval`` in
        words). And ``compute``, the multiplications of the whole training.
    """
    found = rows(runs)
    summaries = {
        id: _summary(of_row) | (_once_tested(of_row) if tested else {}) for id, of_row in found.items()
    }
    networks = [of_row[0].experiment.model.removesuffix("_scratch") for of_row in found.values()]
    table = pd.DataFrame.from_dict(summaries, orient="index")
    return table.assign(milliseconds=milliseconds().reindex(networks).array).rename_axis("experiment")


def _summary(runs: Sequence[Run]) -> dict:
    row, results = runs[0].experiment, pd.DataFrame([run.result for run in runs])
    means = results[["parameters", "macs", "epochs"]].mean().to_dict()
    low, high = accuracy(runs).interval()
    trained, public = training_accuracy(runs), results["valid_accuracy"].mean()
    return {
        "group": row.group,
        "classes": len(runs[0].valid.classes),
        "seeds": len(runs),
        **means,
        "ran": of(round(means["epochs"]), experiments.find(row.id).epochs),
        "training": trained,
        "public": public,
        "low": low,
        "high": high,
        "interval": interval(low, high),
        "gap": trained - public,
        "public_f1": np.mean([run.valid.macro_f1 for run in runs]),
        "reported": row.reported,
    }


def _once_tested(runs: Sequence[Run]) -> dict:
    results = pd.DataFrame([run.result for run in runs])
    low, high = accuracy(runs, "test").interval()
    return {
        **results.reindex(columns=_ON_PRIVATE_TEST).mean().to_dict(),
        "compute": _compute(runs[0].experiment, results),
        "calibration_floor": np.mean([metrics.calibration_floor(run.test) for run in runs]),
        "test_deviation": results["test_accuracy"].std(ddof=1),
        "test_interval": interval(low, high),
        "test_low": low,
        "test_high": high,
    }


def of(number: int | None, meant: int | None) -> str:
    """Write a number with the one that was meant where that is another."""
    return "–" if number is None else f"{number}" if number == meant else f"{number} of {meant}"


def _compute(experiment: Experiment, results: pd.DataFrame) -> float:
    """Return the multiplications that a training takes."""
    once = _backbone(experiment.model) if experiment.frozen else 0  # of which the features are kept
    # Backwards a network takes about twice as many multiplications as forwards.
    one_image = once + 3 * (results["macs"].mean() - once) * results["epochs"].mean()
    return one_image * results.get("images", pd.Series([0])).mean()


@lru_cache
def _backbone(network: str) -> int:
    """Count the multiplications that a transfer network takes to its bottleneck features."""
    return models.macs(models.split_backbone(models.build(network, pretrained=False))[0])


def milliseconds() -> pd.Series:
    """Return what one image takes each network, on the machine that measured all of them last.

    The series, from `ferlib bench`, has the name of the machine; it is empty where that was never kept.
    """
    table = paths.record() / "speed.csv"
    speed = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=["part", "date"])
    speed = speed[speed["part"] == "latency"]
    if speed.empty:
        return pd.Series(dtype="float64")
    last = speed[speed["date"] == speed["date"].max()]
    networks = last["task"].str.removeprefix("one image with ").array
    return pd.Series(last["value"].to_numpy("float64"), networks, name=last["device"].iloc[0])


def recalls(runs: Iterable[Run]) -> pd.DataFrame:
    """Return the recall, 0 to 1, of each class, a column, on PrivateTest, averaged over each row's seeds.

    It is missing where a row does not know a class.
    """
    tested = [run for of_row in rows(runs).values() for run in of_row]
    table = pd.DataFrame([metrics.recall_intervals(run.test)["recall"] for run in tested])
    return table.groupby([run.experiment.id for run in tested], sort=False).mean().rename_axis("experiment")


def at_mix(recalls: pd.DataFrame, images: pd.Series) -> pd.Series:
    """Return the accuracy of each row of `recalls` if the classes had some other numbers of images.

    Of a row that does not know a class, that class is left out.
    """
    return (recalls * images).sum(axis=1) / (recalls.notna() * images).sum(axis=1)


def best_row(runs: Iterable[Run]) -> str:
    """Return the seven-class row with the best mean accuracy on PublicTest."""
    found = {id: of_row for id, of_row in rows(runs).items() if len(of_row[0].valid.classes) == len(CLASSES)}
    return max(found, key=lambda id: np.mean([run.result["valid_accuracy"] for run in found[id]]))


def choose_for_real_time(runs: Iterable[Run], accuracy: Mapping[str, float], images: int) -> str:
    """Choose the row that watches a camera: the cheapest of those as good as the best small network.

    Of equally cheap rows the better one is chosen. On how many images the accuracies on PublicTest were
    counted gives the standard error within which one is as good.

    Source:
        One-standard-error rule: Breiman et al. (1984), "Classification and regression trees".
    """
    costs = {
        id: (of_row[0].result["macs"], -accuracy[id])
        for id, of_row in rows(runs).items()
        if of_row[0].valid.classes == CLASSES and of_row[0].result["parameters"] < REAL_TIME_PARAMETERS
    }
    top = max(accuracy[id] for id in costs)
    error = np.sqrt(top * (1 - top) / images)
    return min((id for id in costs if accuracy[id] >= top - error), key=costs.__getitem__)


def display_table(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return columns of `results_table` for people, in the units of their headings, such as `COST_COLUMNS`.

    Empty columns and rows that were not run are left out.
    """
    table = table[table["seeds"].notna()]
    shown = table[list(columns)].dropna(axis="columns", how="all")
    for column, heading in columns.items():
        for unit, factor in _FACTORS.items():
            if column in shown and heading.endswith(unit):
                shown[column] = factor * shown[column].astype("float64")
    return shown.rename(columns=columns).rename_axis("experiment")


def of_interest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `results_table` that compete: no baselines, no single changes, all seven classes."""
    aside = table["group"].isin(["baselines", experiments.ABLATION[0]])
    return table[~aside & (table["classes"] == len(CLASSES))]
