"""Pairs of rows compared image by image on PrivateTest, with and without images that stand in training."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ferlib import compare, evaluate, experiments
from ferlib.finished import Run
from ferlib.resampling import RESAMPLES
from ferlib.words import p_value

PAIRS = (
    ("shallow_plain", "shallow_augmented"),
    ("shallow_plain", "shallow_both"),
    ("shallow_tuned", "shallow_both"),
    ("deep_plain", "deep_augmented"),
    ("deep_tuned", "deep_both"),
    ("deep_augmented", "deep_both"),
    ("shallow_both", "deep_both"),
    ("four_block", "deep_both"),
    ("mini_xception", "deep_both"),
    ("mobilenet_frozen", "mobilenet_finetuned"),
    ("deep_both", "mobilenet_finetuned"),
    ("deep_no_batch_norm", "deep_augmented"),
    ("deep_no_dropout", "deep_augmented"),
    ("deep_class_weights", "deep_augmented"),
)
"""Pairs of rows whose difference says something: the second is what the report would rather use."""


def paired_differences(runs: Iterable[Run], pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Compare pairs of rows on the images of PrivateTest.

    Args:
        runs: Runs with test predictions.
        pairs: Ids (first, second); pairs with a row that was not run, or that was run in another
            profile than its partner, are left out.

    Returns:
        One row a pair: ``first``, ``second``, ``seeds`` (of each), ``difference`` (second minus first,
        -1..1), its 95 % interval ``low`` to ``high`` and ``p`` over images and seeds, ``p_holm`` (corrected
        for the number of pairs), and ``p_mcnemar``, the median over all pairs of seeds of McNemar's exact p,
        which asks about two trained networks, not about two ways of training.
    """
    found, table = compare.rows(runs), []
    for first, second in pairs:
        if not {first, second} <= set(found) or found[first][0].profile != found[second][0].profile:
            continue
        difference = compare.private_accuracy(found[second]) - compare.private_accuracy(found[first])
        low, high = difference.interval()
        tests = [evaluate.mcnemar(a.test, b.test).p for a in found[first] for b in found[second]]
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
    frame = pd.DataFrame(table)
    return frame.assign(p_holm=compare.holm(frame["p"])) if table else frame


def runner_up(runs: Iterable[Run]) -> str:
    """Return the seven-class row that is second on PublicTest."""
    best = compare.best_row(runs)
    return compare.best_row(run for run in runs if run.experiment.id != best)


def side_by_side(pairs: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """Return paired differences on all images beside those on leak-free ones, for people to read.

    Args:
        pairs: From `paired_differences`.
        clean: Likewise, of the runs that ``compare.leak_free`` returns.
    """
    shown = pairs[["first", "second", "seeds"]].copy()
    for frame, suffix in ((pairs, ""), (clean, ", leak-free")):
        shown[f"difference %{suffix}"] = 100 * frame["difference"]
        shown[f"95 % interval{suffix}"] = [
            f"{100 * low:+.1f} to {100 * high:+.1f}"
            for low, high in zip(frame["low"], frame["high"], strict=True)
        ]
        shown[f"p{suffix}"] = frame["p_holm"]
    return shown.assign(McNemar=pairs["p_mcnemar"])


def count(pairs: pd.DataFrame, clean: pd.DataFrame) -> str:
    """Say how many differences are told apart, and below which value no corrected p-value can fall.

    Args:
        pairs: From `paired_differences`.
        clean: Likewise, on leak-free images.
    """
    lowest = 2 * len(pairs) / (RESAMPLES + 1)
    sure, sure_clean = ((frame["p_holm"] < 0.05).sum() for frame in (pairs, clean))
    return (
        f"{sure} of {len(pairs)} are below 0.05 on all images, {sure_clean} on leak-free ones; with "
        f"{RESAMPLES:,} resamples and this correction the smallest possible p is {p_value(lowest)}."
    )


def gain_without_leaks(pairs: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """Return pairs whose second row alone is augmented, and what it gains where leaks are left out.

    Args:
        pairs: From `paired_differences`.
        clean: Likewise, on leak-free images.

    Returns:
        Columns ``first``, ``second``, ``difference``, ``leak_free``, and ``gain`` from one to the other.
    """
    plain, augmented = (
        np.array([experiments.find(id).policy != "none" for id in pairs[name]])
        for name in ("first", "second")
    )
    table = pairs[["first", "second", "difference"]].assign(leak_free=clean["difference"])
    return table.assign(gain=table["leak_free"] - table["difference"])[~plain & augmented]
