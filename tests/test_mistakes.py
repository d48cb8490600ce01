import made_up
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ferlib.data import votes
from ferlib.evaluate import metrics, mistakes
from ferlib.labels import CLASSES


@pytest.fixture(scope="module")
def predictions():
    return made_up.predictions(0.7, images=400)


def by_flag(predictions, flags, **others):
    """The table of flags that are the same for all but a few, from an audit in another order."""
    columns = dict.fromkeys(mistakes.FLAGS, flags) | others
    labels = np.array([CLASSES.index(name) for name in predictions.classes])[predictions.labels]
    audit = pd.DataFrame({"name": predictions.names, "label": labels, "split": "valid", **columns})
    table = mistakes.by_flag(predictions, audit.sample(frac=1, random_state=0))
    assert list(table["flag"]) == list(mistakes.FLAGS.values())
    return table.set_index("flag")


def test_accuracy_is_split_by_flag(predictions):
    flagged = ~predictions.correct & (np.arange(400) % 2 == 0)
    table = by_flag(predictions, False, faceless=flagged)
    row = table.loc["no face found"]
    assert row["images"] == flagged.sum() and row["accuracy"] == 0
    assert row["accuracy_without"] == pytest.approx(predictions.correct[~flagged].mean())
    assert row["p"] < 1e-6 and 0 <= row["low"] < row["high"] < 0.2
    nothing = table.loc["blank"]
    assert nothing["images"] == 0 and np.isnan(nothing["accuracy"]) and nothing["p"] == 1


def test_p_is_fishers(predictions):
    flagged = np.arange(400) < 60
    row = by_flag(predictions, flagged).iloc[0]
    right, wrong = predictions.correct, ~predictions.correct
    counts = [[sum(right & flagged), sum(wrong & flagged)], [sum(right & ~flagged), sum(wrong & ~flagged)]]
    assert row["p"] == pytest.approx(stats.fisher_exact(counts).pvalue)


def test_flags_are_corrected_for_their_number(predictions):
    flagged = ~predictions.correct & (np.arange(400) % 2 == 0)
    some = {"faceless": flagged, "leaked": predictions.correct, "low_contrast": np.arange(400) < 50}
    table = by_flag(predictions, False, **some)
    some |= {"blank": np.arange(400) < mistakes.ENOUGH - 1}
    table = by_flag(predictions, False, **some)
    tested = table[table["images"] >= mistakes.ENOUGH]
    assert len(tested) == 3 and table["p_holm"].notna().sum() == 3, "of too few images nothing can be said"
    assert tested["p_holm"].tolist() == pytest.approx(metrics.holm(tested["p"]).tolist())
    assert by_flag(predictions, False)["p_holm"].isna().all()


def test_crowd_sides_with_label_prediction_or_neither(predictions):
    cast = np.zeros((400, len(votes.COLUMNS)), "uint8")
    wrong = np.flatnonzero(~predictions.correct)
    cast[np.arange(400), predictions.labels] = 8
    for_model, no_face, tied = wrong[:10], wrong[10:15], wrong[15:17]
    cast[for_model, predictions.predicted[for_model]] = 9
    cast[no_face, -1] = 10
    cast[tied, predictions.predicted[tied]] = 8
    sides = mistakes.crowd(predictions, cast, ~predictions.correct)
    assert sides["images"].to_dict() == {
        "label": len(wrong) - 17,
        "network": 10,
        "another emotion": 0,
        "no emotion": 5,
        "tied": 2,
    }
    network = sides.loc["network"]
    assert network["share"] == pytest.approx(10 / len(wrong))
    assert (network["low"], network["high"]) == pytest.approx(
        stats.binomtest(10, len(wrong)).proportion_ci(method="wilson")
    )
    assert mistakes.crowd(predictions, cast, predictions.correct).at["label", "share"] == 1
    cast[100:] = 0
    everybody = np.ones(400, bool)
    assert mistakes.crowd(predictions, cast, everybody)["images"].sum() == 100, "the others were not voted on"


def test_top_four_predictions_are_joined_by_class_name():
    four = made_up.predictions(0.6, images=80, classes=("happy", "neutral", "sad", "fear"))
    assert (by_flag(four, True)["images"] == 80).all()
