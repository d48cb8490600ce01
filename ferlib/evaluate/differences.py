"""Pairs of rows compared image by image on PrivateTest, with and without images that stand in training."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ferlib.evaluate import private_test, resampling
from ferlib.evaluate.comparison import Difference
from ferlib.evaluate.resampling import Sampled
from ferlib.train import predicting
from ferlib.train.record import Run
from ferlib.words import p_value, points

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


AUGMENTED_ALONE = (
    ("shallow_plain", "shallow_augmented"),
    ("shallow_tuned", "shallow_both"),
    ("deep_plain", "deep_augmented"),
    ("deep_tuned", "deep_both"),
)
"""Pairs of rows that differ in augmentation, and the epochs that it takes, alone."""


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
    found, table = private_test.rows(runs), []
    for first, second in pairs:
        if not {first, second} <= set(found) or found[first][0].profile != found[second][0].profile:
            continue
        difference = private_test.private_accuracy(found[second]) - private_test.private_accuracy(
            found[first]
        )
        low, high = difference.interval()
        tests = [predicting.mcnemar(a.test, b.test).p for a in found[first] for b in found[second]]
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
    return frame.assign(p_holm=private_test.holm(frame["p"])) if table else frame


def runner_up(runs: Iterable[Run]) -> str:
    """Return the seven-class row that is second on PublicTest."""
    best = private_test.best_row(runs)
    return private_test.best_row(run for run in runs if run.experiment.id != best)


def shown(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return paired differences for people to read, in points.

    Args:
        pairs: From `paired_differences`.
    """
    columns = {
        "difference": pairs["difference"].map(_points),
        "95 % interval": pairs["low"].map(_points) + " to " + pairs["high"].map(_points),
        "p": pairs["p_holm"].map(p_value),
        "McNemar": pairs["p_mcnemar"].map(p_value),
    }
    return pairs[["first", "second", "seeds"]].assign(**columns)


def _points(difference: float) -> str:
    return points(difference).removesuffix(" points")


def gain_on_leak_free(runs: Iterable[Run], clean: np.ndarray) -> Difference:
    """Say what leaving out leaked images does to augmented rows, beside the same rows without augmentation.

    Args:
        runs: Runs with predictions on PrivateTest.
        clean: bool (n,), which of its images have no copy in training.

    Returns:
        The gain by augmentation on leak-free images minus that on all images, mean over the pairs in
        `AUGMENTED_ALONE` that were run, and its 95 % interval over images. Of one network on the same images,
        the seed enters both in the same way.
    """
    found = private_test.rows(runs)
    shifts = [
        part * sign * (1 / len(AUGMENTED_ALONE))
        for pair in AUGMENTED_ALONE
        if set(pair) <= set(found)
        for id, sign in zip(pair, (-1, 1), strict=True)
        for part in _moved(found[id], clean)
    ]
    if len(shifts) < 4 * len(AUGMENTED_ALONE):
        return Difference()
    shift = sum(shifts)
    return Difference(shift.value, *shift.interval())


def _moved(runs: Sequence[Run], clean: np.ndarray) -> tuple[Sampled, Sampled]:
    """Return a row's accuracy on leak-free images, and that on all of them, negated."""
    share = np.mean([run.test.correct for run in runs], axis=0, keepdims=True)
    kept = np.asarray(clean, float)[None]
    return resampling.ratio(share * kept, kept), -resampling.ratio(share)
