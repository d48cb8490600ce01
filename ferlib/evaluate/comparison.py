"""Ways of training compared on PublicTest: results, recipes, and differences with what seeds add to them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd

from ferlib.evaluate import private_test, resampling
from ferlib.train import experiments, optimizers
from ferlib.train.record import Run


def at_scale(runs: Iterable[Run]) -> list[Run]:
    """Leave out runs that were trained quickly only; nothing but quick runs stay as they are."""
    runs = list(runs)
    return [run for run in runs if run.profile != "quick"] or runs


def first(runs: Iterable[Run], id: str) -> Run | None:
    """Return the run of a row with the lowest seed, None where the row was not run."""
    return min((run for run in runs if run.experiment.id == id), key=lambda run: run.seed, default=None)


def best_of(runs: Iterable[Run], ids: Iterable[str] = tuple(experiments.EXPERIMENTS)) -> str:
    """Return the seven-class row that is best on PublicTest, of some rows or of all."""
    ids = set(ids)
    return private_test.best_row(run for run in runs if run.experiment.id in ids)


@dataclass(frozen=True)
class Difference:
    """By how much a way of training reads PublicTest better than another; missing where that is unknown.

    Attributes:
        value: Difference of the accuracies, -1..1.
        low: Lower end of its 95 % interval over images and seeds.
        high: Upper end.
    """

    value: float = pd.NA
    low: float = pd.NA
    high: float = pd.NA

    @property
    def above(self):
        """Whether the whole interval is above zero."""
        return self.low > 0

    @property
    def below(self):
        """Whether the whole interval is below zero."""
        return self.high < 0

    def fields(self) -> dict:
        """Return what sentences say of it: ``value``, ``low``, ``high``, ``size`` and ``interval``."""
        known = self.value is not pd.NA
        ends = [f"{100 * end:+.1f}".replace("-", "−") for end in (self.low, self.high)] if known else []
        interval = " to ".join(ends) + " points" if known else pd.NA
        return asdict(self) | {"size": abs(self.value), "interval": interval}


def difference(
    runs: Iterable[Run], id: str, other: str, *, classes: tuple[str, ...] | None = None
) -> Difference:
    """Compare two ways of training on PublicTest, image by image.

    Args:
        runs: Finished runs.
        id: Row that is judged.
        other: Row that it is compared with. Where one of them was not run, or they ran at different scales,
            nothing is known.
        classes: Compare on images of these classes, with no others to choose from; None takes all.

    Raises:
        ValueError: They were not tested on the same images.
    """
    if classes:
        runs = _on_common_images(runs, (id, other), classes)
    found = private_test.rows(runs)
    if not {id, other} <= set(found) or found[id][0].profile != found[other][0].profile:
        return Difference()
    resampling.aligned([found[one][0].valid for one in (id, other)])
    by = private_test.accuracy(found[id]) - private_test.accuracy(found[other])
    return Difference(by.value, *by.interval())


def _on_common_images(runs: Iterable[Run], ids: Sequence[str], classes: tuple[str, ...]) -> list[Run]:
    """Return runs of some rows on those images of some classes that all of them were tested on.

    Quick runs of all classes and of these alone draw their few images from different ones.
    """
    known = [run for run in runs if run.experiment.id in ids and set(classes) <= set(run.valid.classes)]
    known = [replace(run, valid=run.valid.among(classes)) for run in known]
    common = reduce(np.intersect1d, [run.valid.names for run in known]) if known else []
    return [replace(run, valid=run.valid.take(np.isin(run.valid.names, common))) for run in known]


def results(runs: Iterable[Run]) -> pd.DataFrame:
    """Return what each row reached, averaged over its seeds.

    Args:
        runs: Finished runs, tested on PublicTest only.

    Returns:
        One line for every row there is, missing values where it was not run, so that what is compared with
        them is unknown and not false. Columns: ``classes``, ``seeds``, ``images``; ``epochs`` (as many as
        ran), ``most`` (it was allowed), ``meant`` (it should have), ``kept`` (whose weights are kept);
        ``training`` and ``public`` accuracy, ``low`` and ``high`` of the latter's 95 % interval, ``gap``
        (training minus PublicTest), ``macro_f1``, ``reported`` (elsewhere), all 0..1; ``parameters``,
        ``multiplications`` and ``seconds``.
    """
    found = {id: _summary(of_row) for id, of_row in private_test.rows(runs).items()}
    table = pd.DataFrame.from_dict(found, orient="index").reindex(list(experiments.EXPERIMENTS))
    return table.convert_dtypes().rename_axis("row")


def _summary(runs: Sequence[Run]) -> dict:
    facts = pd.DataFrame([run.result for run in runs]).mean(numeric_only=True)
    row = runs[0].experiment
    low, high = private_test.accuracy(runs).interval()
    return {
        "classes": len(runs[0].valid.classes),
        "seeds": len(runs),
        "images": facts.get("images", row.images),
        "epochs": facts["epochs"],
        "most": row.epochs,
        "meant": experiments.find(row.id).epochs,
        "kept": facts["best_epoch"],
        "training": facts["train_accuracy"],
        "public": facts["valid_accuracy"],
        "low": low,
        "high": high,
        "gap": facts["train_accuracy"] - facts["valid_accuracy"],
        "macro_f1": np.mean([run.valid.macro_f1 for run in runs]),
        "reported": np.nan if row.reported is None else row.reported,
        "parameters": facts["parameters"],
        "multiplications": facts["macs"],
        "seconds": facts["train_seconds"],
    }


def shown(results: pd.DataFrame) -> pd.DataFrame:
    """Return results for people to read: rows that were run, in percent.

    Args:
        results: From `results`.
    """
    table = results[results["public"].notna()]
    interval = [
        f"{100 * low:.1f} to {100 * high:.1f}" for low, high in zip(table["low"], table["high"], strict=True)
    ]
    columns = {
        "seeds": table["seeds"],
        "epochs": [
            _of(round(ran), meant) for ran, meant in zip(table["epochs"], table["meant"], strict=True)
        ],
        "training %": 100 * table["training"].astype(float),
        "PublicTest %": 100 * table["public"].astype(float),
        "95 % interval": interval,
        "macro-F1 %": 100 * table["macro_f1"].astype(float),
        "elsewhere %": 100 * table["reported"].astype(float),
        "parameters": table["parameters"].astype(int),
    }
    return pd.DataFrame(columns, index=table.index).dropna(axis="columns", how="all")


def recipes(runs: Iterable[Run]) -> pd.DataFrame:
    """Return how each row was trained, as it ran.

    Args:
        runs: Finished runs.

    Returns:
        Indexed by ``row``: policy of augmentation, optimizer, learning rate with schedule, warm-up, weight
        decay, batch size, most epochs and patience (with what the row was meant to have where that is more),
        label smoothing and decay of the weights' average.
    """
    table = {}
    for id, (run, *_) in private_test.rows(runs).items():
        row, meant = run.experiment, experiments.find(id)
        table[id] = {
            "augmentation": row.policy,
            "optimizer": row.optimizer,
            "learning rate": f"{row.learning_rate:.3g} {row.schedule}",
            "warm-up": f"{row.warmup:.3g}",
            "weight decay": f"{row.weight_decay:.3g}",
            "batch": row.batch_size,
            "epochs": _of(row.epochs, meant.epochs),
            "patience": _of(row.patience, meant.patience),
            "smoothing": f"{row.label_smoothing:.3g}",
            "averaging": f"{optimizers.averaging(row, row.epochs * run.result['steps_per_epoch']):.3g}",
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("row")


def _of(number: int | None, meant: int | None) -> str:
    """Write a number with the one that was meant where that is another."""
    return "–" if number is None else f"{number}" if number == meant else f"{number} of {meant}"
