"""Ways of training compared: on PublicTest with what seeds add, and image by image on PrivateTest."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd

from ferlib.evaluate import metrics, summary
from ferlib.evaluate.metrics import Sampled
from ferlib.train import experiments, optimizers
from ferlib.train.record import Run
from ferlib.words import minus, p_value


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
    return summary.best_row(run for run in runs if run.experiment.id in ids)


@dataclass(frozen=True)
class Difference:
    """By how much a way of training reads images better than another, -1..1; missing where that is unknown.

    ``low`` to ``high`` is the 95 % interval.
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

    @classmethod
    def of(cls, sampled: Sampled) -> "Difference":
        """Return what resampling found."""
        return cls(sampled.value, *sampled.interval())

    def fields(self) -> dict:
        """Return what sentences say of it: ``value``, ``low``, ``high`` and the ``interval`` in points."""
        known = self.value is not pd.NA
        return asdict(self) | {"interval": _to(self.low, self.high) + " points" if known else pd.NA}


def in_points(difference: float) -> str:
    """Write a difference of shares in percentage points, with its sign."""
    return minus(f"{100 * difference:+.1f}")


def _to(low: float, high: float) -> str:
    return f"{in_points(low)} to {in_points(high)}"


def difference(
    runs: Iterable[Run], id: str, other: str, *, classes: tuple[str, ...] | None = None
) -> Difference:
    """Say by how much one row reads PublicTest better than another, image by image.

    Nothing is known where one of them was not run, or where they have no image in common. With ``classes``
    they are compared on images of these alone, with no others to choose from.

    Raises:
        ValueError: They were not tested on the same images.
    """
    if classes:
        runs = _on_common_images(runs, (id, other), classes)
    found = summary.rows(runs)
    if not {id, other} <= set(found):
        return Difference()
    metrics.aligned([found[one][0].valid for one in (id, other)])
    return Difference.of(summary.accuracy(found[id]) - summary.accuracy(found[other]))


def _on_common_images(runs: Iterable[Run], ids: Sequence[str], classes: tuple[str, ...]) -> list[Run]:
    """Return runs of some rows on images of some classes; quick runs were tested on different ones."""
    known = [run for run in runs if run.experiment.id in ids and set(classes) <= set(run.valid.classes)]
    known = [replace(run, valid=run.valid.among(classes)) for run in known]
    common = reduce(np.intersect1d, [run.valid.names for run in known]) if known else []
    if not len(common):
        return []
    return [replace(run, valid=run.valid.take(np.isin(run.valid.names, common))) for run in known]


def results(runs: Iterable[Run]) -> pd.DataFrame:
    """Return `summary.results_table` without PrivateTest, with a line for every row there is.

    What was not run is missing, so that what is compared with it is unknown and not false.
    """
    table = summary.results_table(runs, tested=False).reindex(list(experiments.EXPERIMENTS))
    return table.convert_dtypes().rename_axis("experiment")


def recipes(runs: Iterable[Run]) -> pd.DataFrame:
    """Return how each row was trained, with the epochs and patience that it should have had."""
    table, names = {}, {"adam": "Adam", "sgd": f"SGD, Nesterov {optimizers.MOMENTUM}"}
    for id, (run, *_) in summary.rows(runs).items():
        row, meant = run.experiment, experiments.find(id)
        table[id] = {
            "augmentation": row.policy,
            "optimizer": names[row.optimizer],
            "learning rate": f"{row.learning_rate:.3g} {row.schedule}",
            "warm-up": f"{row.warmup:.3g}",
            "weight decay": f"{row.weight_decay:.3g}",
            "batch": row.batch_size,
            "epochs": summary.of(row.epochs, meant.epochs),
            "patience": summary.of(row.patience, meant.patience),
            "smoothing": f"{row.label_smoothing:.3g}",
            "averaging": f"{optimizers.averaging(row, row.epochs * run.result['steps_per_epoch']):.3g}",
        }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("experiment")


PAIRS = (
    ("shallow_plain", "shallow_augmented"),
    ("shallow_plain", "shallow_both"),
    ("shallow_tuned", "shallow_both"),
    ("shallow_both", "four_block"),
    ("deep_plain", "deep_augmented"),
    ("deep_tuned", "deep_both"),
    ("deep_augmented", "deep_both"),
    ("shallow_tuned", "deep_tuned"),
    ("shallow_both", "deep_both"),
    ("four_block", "deep_both"),
    ("mini_xception", "deep_both"),
    ("mobilenet_frozen", "deep_plain"),
    ("mobilenet_frozen", "mobilenet_finetuned"),
    ("deep_both", "mobilenet_finetuned"),
    ("mobilenet_finetuned", "lean"),
    ("deep_no_batch_norm", "deep_augmented"),
    ("deep_no_dropout", "deep_augmented"),
    ("deep_class_weights", "deep_augmented"),
    ("deep_fixed_epochs", "deep_augmented"),
)
"""Pairs of rows whose difference says something: the second is what the report would rather use."""

AUGMENTED_ALONE = (
    ("shallow_plain", "shallow_augmented"),
    ("shallow_tuned", "shallow_both"),
    ("deep_plain", "deep_augmented"),
    ("deep_tuned", "deep_both"),
)
"""Pairs of rows that differ in augmentation alone, and in the epochs that it takes."""


def paired_differences(runs: Iterable[Run], pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Compare pairs of rows on the images of PrivateTest; pairs with one that was not run are left out.

    Returns:
        One row a pair: ``first``, ``second``, ``seeds`` (of each), ``difference`` (second minus first,
        -1..1), its 95 % interval ``low`` to ``high`` and ``p`` over images and seeds, ``p_holm`` (corrected
        for the number of pairs), and ``p_mcnemar``, the median over all pairs of seeds of McNemar's exact p,
        which asks about two trained networks, not about two ways of training.
    """
    found, table = summary.rows(runs), []
    for first, second in (pair for pair in pairs if set(pair) <= set(found)):
        difference = summary.accuracy(found[second], "test") - summary.accuracy(found[first], "test")
        low, high = difference.interval()
        tests = [metrics.mcnemar(a.test, b.test) for a in found[first] for b in found[second]]
        table.append(
            {
                "first": first,
                "second": second,
                "seeds": f"{len(found[first])}, {len(found[second])}",
                "difference": difference.value,
                "low": low,
                "high": high,
                "p_mcnemar": float(np.median(tests)),
                "p": difference.p(),
            }
        )
    return pd.DataFrame(table).assign(p_holm=lambda found: metrics.holm(found["p"]))


def runner_up(runs: Iterable[Run]) -> str:
    """Return the seven-class row that is second on PublicTest."""
    best = summary.best_row(runs)
    return summary.best_row(run for run in runs if run.experiment.id != best)


def shown_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return what `paired_differences` found for people to read, in points."""
    columns = {
        "difference": pairs["difference"].map(in_points),
        "95 % interval": list(map(_to, pairs["low"], pairs["high"])),
        "p": [p_value(row.p_holm, metrics.at_most(row.p)) for row in pairs.itertuples()],
        "McNemar": pairs["p_mcnemar"].map(p_value),
    }
    return pairs[["first", "second", "seeds"]].assign(**columns)


def gain_on_leak_free(runs: Iterable[Run], clean: np.ndarray) -> tuple[Difference, int]:
    """Say what leaving out images of PrivateTest that are not ``clean``, bool (n,), does to augmented rows.

    Returns:
        The gain by augmentation on leak-free images minus that on all images, mean over those pairs in
        `AUGMENTED_ALONE` of which both rows were run, uncertain by images alone: of one network on the same
        images, the seed enters both in the same way. And how many pairs these are.
    """
    found = summary.rows(runs)
    pairs = [pair for pair in AUGMENTED_ALONE if set(pair) <= set(found)]
    if not pairs:
        return Difference(), 0
    gains = [_moved(found[augmented], clean) - _moved(found[plain], clean) for plain, augmented in pairs]
    return Difference.of(sum(gains) * (1 / len(pairs))), len(pairs)


def _moved(runs: Sequence[Run], clean: np.ndarray) -> Sampled:
    """Return a row's accuracy on leak-free images minus that on all of them."""
    share = np.mean([run.test.correct for run in runs], axis=0, keepdims=True)
    kept = np.asarray(clean)[None]
    return metrics.ratio(share * kept, kept) - metrics.ratio(share)
