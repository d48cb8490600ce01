"""What a network gets wrong, and whether image, label or network is to blame."""

import numpy as np
import pandas as pd
from scipy import stats

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
"""Images that a flag must have for its accuracy to be told: fewer cannot show anything."""


def by_flag(predictions: Predictions, images: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy on those images of PublicTest that an audit flags and on all others.

    Returns:
        One row a flag that `ENOUGH` images have: ``flag``, ``images`` (with it), ``accuracy`` on them with
        its 95 % Wilson interval ``low`` to ``high``, ``accuracy_without``, ``p`` of Fisher's exact test that
        both are equal, and ``p_holm``, corrected for the number of flags.
    """
    audited = images[images["split"] == "valid"].drop_duplicates(["name", "label"])
    codes = np.array([CLASSES.index(name) for name in predictions.classes])[predictions.labels]
    wanted = pd.DataFrame({"name": predictions.names, "label": codes})
    flagged = wanted.merge(audited, how="left", on=["name", "label"])
    columns = ["flag", "images", "accuracy", "low", "high", "accuracy_without", "p"]
    rows = []
    for column, meaning in FLAGS.items():
        marked = flagged[column].eq(True).to_numpy()  # images that were not audited have no flag
        hits, others = predictions.correct[marked], predictions.correct[~marked]
        if len(hits) < ENOUGH:
            continue
        table = [[hits.sum(), len(hits) - hits.sum()], [others.sum(), len(others) - others.sum()]]
        p = stats.fisher_exact(table).pvalue
        rows.append((meaning, len(hits), *metrics.wilson(hits.sum(), len(hits)), others.mean(), p))
    return pd.DataFrame(rows, columns=columns).assign(p_holm=lambda found: metrics.holm(found["p"]))


def crowd(predictions: Predictions, cast: np.ndarray, members: np.ndarray) -> pd.DataFrame:
    """Count whom the annotators of FER+, whose votes are ``cast``, side with on some images, bool (n,).

    Returns:
        Of images that were voted on, ``images`` and their ``share`` with its 95 % Wilson interval ``low`` to
        ``high``, by what has more votes than anything else: the ``label``, the ``network`` (where its answer
        differs), ``another emotion``, ``no emotion`` (contempt, unknown, no face), or ``tied``.
    """
    voted, winner = cast.any(axis=1), np.array(votes.COLUMNS)[cast.argmax(axis=1)]
    tied = (cast == cast.max(axis=1, keepdims=True)).sum(axis=1) > 1
    names = np.array(predictions.classes)
    label, told = names[predictions.labels], names[predictions.predicted]
    kinds = [tied, winner == label, winner == told, ~np.isin(winner, CLASSES)]
    side = np.select(kinds, ["tied", "label", "network", "no emotion"], "another emotion")
    sides = pd.Series(side[members & voted])
    order = ["label", "network", "another emotion", "no emotion", "tied"]
    counts = sides.value_counts().reindex(order, fill_value=0)
    share, low, high = metrics.wilson(counts, len(sides))
    table = pd.DataFrame({"images": counts, "share": share, "low": low, "high": high})
    return table.rename_axis("people side with")
