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


ENOUGH = 30
"""Images with a flag below which its accuracy is not tested: fewer cannot show anything."""


def by_flag(predictions: Predictions, images: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy on images with each audit flag and on all others.

    Args:
        predictions: Predictions on PublicTest, or on part of it.
        images: ``Audit.images``, one row an image: ``split``, ``name``, ``label`` and the flags.

    Returns:
        One row a flag: ``flag``, ``images`` (with it), ``accuracy`` on them with its 95 % Wilson interval
        ``low`` to ``high``, ``accuracy_without``, ``p`` of Fisher's exact test that both are equal, and
        ``p_holm``, corrected for the number of flags that `ENOUGH` images have, missing of the others.
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
    tested = table["images"] >= ENOUGH
    table.loc[tested, "p_holm"] = metrics.holm(table.loc[tested, "p"]) if tested.any() else np.nan
    return table


def crowd(predictions: Predictions, cast: np.ndarray, members: np.ndarray) -> pd.DataFrame:
    """Count whom the annotators of FER+ side with.

    Args:
        predictions: Predictions on PublicTest, or on part of it.
        cast: The votes on the same images, uint8 (n, 10), from `votes.of`.
        members: bool (n,), the images to count in.

    Returns:
        Of images that were voted on, ``images`` and their ``share`` with its 95 % Wilson interval ``low`` to
        ``high``, by what has more votes than anything else, not necessarily more than half of them: the
        ``label``, the ``network`` (where its answer differs), ``another emotion``, ``no emotion`` (contempt,
        unknown, no face), or ``tied`` where two or more answers share the first place.
    """
    voted, winner = cast.any(axis=1), np.array(votes.COLUMNS)[cast.argmax(axis=1)]
    tied = (cast == cast.max(axis=1, keepdims=True)).sum(axis=1) > 1
    names = np.array(predictions.classes)
    label, told = names[predictions.labels], names[predictions.predicted]
    kinds = [tied, winner == label, winner == told, ~np.isin(winner, CLASSES)]
    side = np.select(kinds, ["tied", "label", "network", "no emotion"], "another emotion")
    sides = pd.Series(side[members & voted])
    order = ["label", "network", "another emotion", "no emotion", "tied"]
    counts, total = sides.value_counts().reindex(order, fill_value=0), max(len(sides), 1)
    low, high = proportion.proportion_confint(counts.to_numpy(), total, method="wilson")
    table = pd.DataFrame({"images": counts, "share": counts / total, "low": low, "high": high})
    return table.rename_axis("people side with")
