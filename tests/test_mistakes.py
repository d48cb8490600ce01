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


def by_flag(predictions, **flags):
    """The table of some flags, from an audit in another order."""
    columns = dict.fromkeys(mistakes.FLAGS, False) | flags
    labels = np.array([CLASSES.index(name) for name in predictions.classes])[predictions.labels]
    audit = pd.DataFrame({"name": predictions.names, "label": labels, "split": "valid", **columns})
    return mistakes.by_flag(predictions, audit.sample(frac=1, random_state=0)).set_index("flag")


def test_accuracy_is_split_by_flags_that_enough_images_have(predictions):
    flagged, right = ~predictions.correct & (np.arange(400) % 2 == 0), predictions.correct
    some = {"faceless": flagged, "leaked": right, "low_contrast": np.arange(400) < 60}
    table = by_flag(predictions, **some, blank=np.arange(400) < mistakes.ENOUGH - 1)
    assert set(table.index) == {mistakes.FLAGS[flag] for flag in some}, "too few are blank"
    row = table.loc["no face found"]
    assert row["images"] == flagged.sum() and row["accuracy"] == 0 and 0 <= row["low"] < row["high"] < 0.2
    assert row["accuracy_without"] == pytest.approx(right[~flagged].mean()) and row["p"] < 1e-6
    first = [right[:60].sum(), (~right[:60]).sum()], [right[60:].sum(), (~right[60:]).sum()]
    assert table.loc["low contrast", "p"] == pytest.approx(stats.fisher_exact(first).pvalue)
    assert table["p_holm"].tolist() == metrics.holm(table["p"]).tolist() != table["p"].tolist()
    assert by_flag(predictions).empty


def test_flags_of_four_classes_are_joined_by_class_name():
    four = made_up.predictions(0.6, images=80, classes=("happy", "neutral", "sad", "fear"))
    assert by_flag(four, leaked=np.arange(80) < 50)["images"].tolist() == [50]


def test_crowd_sides_with_label_prediction_or_neither(predictions):
    cast = np.zeros((400, len(votes.COLUMNS)), "uint8")
    wrong = np.flatnonzero(~predictions.correct)
    cast[np.arange(400), predictions.labels] = 8
    for_model, no_face, tied = wrong[:10], wrong[10:15], wrong[15:17]
    cast[for_model, predictions.predicted[for_model]] = 9
    cast[no_face, -1] = 10
    cast[tied, predictions.predicted[tied]] = 8
    sides = mistakes.crowd(predictions, cast, ~predictions.correct)
    counted = {"label": len(wrong) - 17, "network": 10, "another emotion": 0, "no emotion": 5, "tied": 2}
    assert sides["images"].to_dict() == counted
    network = sides.loc["network"]
    assert network["share"] == pytest.approx(10 / len(wrong))
    assert (network["low"], network["high"]) == pytest.approx(
        stats.binomtest(10, len(wrong)).proportion_ci(method="wilson")
    )
    assert mistakes.crowd(predictions, cast, predictions.correct).at["label", "share"] == 1
    cast[100:] = 0
    everybody = np.ones(400, bool)
    assert mistakes.crowd(predictions, cast, everybody)["images"].sum() == 100, "the others were not voted on"
