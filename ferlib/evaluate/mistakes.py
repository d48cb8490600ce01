"""What a network gets wrong, and whether image, label or network is to blame."""

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats import proportion

from ferlib.data import votes
from ferlib.evaluate import metrics
from ferlib.labels import CLASSES
from ferlib.train.predicting import Predictions

FLAGS = {
    "faceless": "no face found",
    "leaked": "exact copy in training",
    "near_leaked": "exact or near copy in training",
    "conflicting": "copies with other labels",
    "low_contrast": "low contrast",
    "blank": "blank",
}
"""Column of an audit to what it means."""


def by_flag(predictions: Predictions, images: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy on images with each audit flag and on all others.

    Args:
        predictions: Predictions on PublicTest, or on part of it.
        images: ``Audit.images``, one row an image: ``split``, ``name``, ``label`` and the flags.

    Returns:
        One row a flag: ``flag``, ``images`` (with it), ``accuracy`` on them with its 95 % Wilson interval
        ``low`` to ``high``, ``accuracy_without``, ``p`` of Fisher's exact test that both are equal, and
        ``p_holm``, corrected for the number of flags that any image has (missing where none has it).
    """
    audited = images[images["split"] == "valid"].drop_duplicates(["name", "label"])
    codes = np.array([CLASSES.index(name) for name in predictions.classes])[predictions.labels]
    wanted = pd.DataFrame({"name": predictions.names, "label": codes})
    flagged = wanted.merge(audited, how="left", on=["name", "label"])
    rows = []
    for column, meaning in FLAGS.items():
        marked = flagged[column].eq(True).to_numpy()  # images that were not audited have no flag
        hits, others = predictions.correct[marked], predictions.correct[~marked]
        low, high = proportion.proportion_confint(hits.sum(), max(len(hits), 1), method="wilson")
        table = [[hits.sum(), len(hits) - hits.sum()], [others.sum(), len(others) - others.sum()]]
        rows.append(
            {
                "flag": meaning,
                "images": len(hits),
                "accuracy": hits.mean() if len(hits) else np.nan,
                "low": low if len(hits) else np.nan,
                "high": high if len(hits) else np.nan,
                "accuracy_without": others.mean() if len(others) else np.nan,
                "p": stats.fisher_exact(table).pvalue,
            }
        )
    table = pd.DataFrame(rows)
    tested = table["images"] > 0
    table.loc[tested, "p_holm"] = metrics.holm(table.loc[tested, "p"]) if tested.any() else np.nan
    return table


def crowd(predictions: Predictions, cast: np.ndarray, members: np.ndarray) -> pd.Series:
    """Count whom the annotators of FER+ side with.

    Args:
        predictions: Predictions on PublicTest, or on part of it.
        cast: The votes on the same images, uint8 (n, 10), from `votes.of`.
        members: bool (n,), the images to count in.

    Returns:
        ``images`` that were voted on, and the shares of those in which more votes than for anything else, not
        necessarily more than half of them, are for the ``label``, the ``prediction`` (where it differs),
        ``another emotion``, ``no emotion`` (contempt, unknown, no face), or in which two or more answers are
        ``tied`` for the first place.
    """
    voted, winner = cast.any(axis=1), np.array(votes.COLUMNS)[cast.argmax(axis=1)]
    tied = (cast == cast.max(axis=1, keepdims=True)).sum(axis=1) > 1
    names = np.array(predictions.classes)
    label, told = names[predictions.labels], names[predictions.predicted]
    kinds = [tied, winner == label, winner == told, ~np.isin(winner, CLASSES)]
    side = np.select(kinds, ["tied", "label", "prediction", "no emotion"], "another emotion")
    sides = pd.Series(side[members & voted])
    order = ["label", "prediction", "another emotion", "no emotion", "tied"]
    shares = sides.value_counts(normalize=True).reindex(order, fill_value=0.0)
    return pd.concat([pd.Series({"images": len(sides)}), shares])
