import keras
import made_up
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ferlib.data import votes
from ferlib.evaluate import metrics, mistakes
from ferlib.labels import CLASSES
from ferlib.train import models


@pytest.fixture(scope="module")
def predictions():
    return made_up.predictions(0.7, images=400)


def facts(predictions, **columns):
    """A table of audit flags for the images of some predictions, in another order."""
    table = pd.DataFrame(
        {"name": predictions.names, "label": predictions.labels, "split": "valid", **columns}
    )
    return table.sample(frac=1, random_state=0)


def test_answers_name_what_was_asked_and_told(predictions):
    table = mistakes.answers(predictions)
    assert table["true"].map(CLASSES.index).tolist() == predictions.labels.tolist()
    assert (table["true"] == table["predicted"]).tolist() == predictions.correct.tolist()


def test_accuracy_is_split_by_flag(predictions):
    flagged = ~predictions.correct & (np.arange(400) % 2 == 0)
    audit = facts(predictions, **dict.fromkeys(mistakes.FLAGS, False) | {"faceless": flagged})
    table = mistakes.by_flag(predictions, audit).set_index("flag")
    assert len(table) == len(mistakes.FLAGS)
    row = table.loc["no face found"]
    assert row["images"] == flagged.sum() and row["accuracy"] == 0
    assert row["accuracy_without"] == pytest.approx(predictions.correct[~flagged].mean())
    assert row["p"] < 1e-6 and 0 <= row["low"] < row["high"] < 0.2
    nothing = table.loc["blank"]
    assert nothing["images"] == 0 and np.isnan(nothing["accuracy"]) and nothing["p"] == 1


def test_p_is_fishers(predictions):
    flagged = np.arange(400) < 60
    audit = facts(predictions, **dict.fromkeys(mistakes.FLAGS, flagged))
    row = mistakes.by_flag(predictions, audit).iloc[0]
    right, wrong = predictions.correct, ~predictions.correct
    counts = [[sum(right & flagged), sum(wrong & flagged)], [sum(right & ~flagged), sum(wrong & ~flagged)]]
    assert row["p"] == pytest.approx(stats.fisher_exact(counts).pvalue)


def test_flags_are_corrected_for_their_number(predictions):
    flagged = ~predictions.correct & (np.arange(400) % 2 == 0)
    some = dict.fromkeys(mistakes.FLAGS, False)
    columns = some | {"faceless": flagged, "leaked": predictions.correct, "low_contrast": np.arange(400) < 50}
    table = mistakes.by_flag(predictions, facts(predictions, **columns)).set_index("flag", drop=False)
    tested = table[table["images"] > 0]
    assert len(tested) == 3 and table["p_holm"].notna().sum() == 3
    assert tested["p_holm"].tolist() == pytest.approx(metrics.holm(tested["p"]).tolist())
    nothing = mistakes.by_flag(predictions, facts(predictions, **some))
    assert nothing["p_holm"].isna().all()


def test_swapped_labels_are_doubted():
    good = made_up.predictions(1.0, images=300)
    labels = good.labels.copy()
    labels[:12] = (labels[:12] + 3) % 7
    doubted = mistakes.label_doubts(type(good)(labels, good.probabilities, good.names, good.classes))
    assert set(doubted) == set(range(12))


def test_crowd_sides_with_label_prediction_or_neither(predictions):
    cast = np.zeros((400, len(votes.COLUMNS)), "uint8")
    wrong = np.flatnonzero(~predictions.correct)
    cast[np.arange(400), predictions.labels] = 8
    for_model, no_face, tied = wrong[:10], wrong[10:15], wrong[15:17]
    cast[for_model, predictions.predicted[for_model]] = 9
    cast[no_face, -1] = 10
    cast[tied, predictions.predicted[tied]] = 8
    groups = {"mistakes": ~predictions.correct, "right": predictions.correct}
    table = mistakes.crowd(predictions, cast, groups).set_index("group")
    assert table.loc["mistakes", "images"] == len(wrong)
    assert table.loc["mistakes", "prediction"] == pytest.approx(10 / len(wrong))
    assert table.loc["mistakes", "no emotion"] == pytest.approx(5 / len(wrong))
    assert table.loc["mistakes", "tied"] == pytest.approx(2 / len(wrong))
    assert table.loc["right", "label"] == 1
    cast[100:] = 0
    assert mistakes.crowd(predictions, cast, groups)["images"].sum() == 100, "the others were not voted on"


def test_top_four_predictions_are_joined_by_class_name():
    four = made_up.predictions(0.6, images=80, classes=("happy", "neutral", "sad", "fear"))
    codes = np.array([CLASSES.index(name) for name in four.classes])[four.labels]
    audit = pd.DataFrame({"name": four.names, "label": codes, "split": "valid"})
    audit = audit.assign(**dict.fromkeys(mistakes.FLAGS, True))
    assert (mistakes.by_flag(four, audit)["images"] == 80).all()


STRIPE = np.array([-1, 2, -1])
PATTERNS = [np.outer(STRIPE, [1, 1, 1]), np.outer([1, 1, 1], STRIPE), np.outer(STRIPE, STRIPE)]
CORNERS = [(slice(0, 24), slice(0, 24)), (slice(0, 24), slice(24, 48)), (slice(24, 48), slice(0, 24))]


def pattern_network(nested):
    """Tell lying stripes, standing stripes and a chessboard apart, with weights set by hand."""
    images = keras.Input((48, 48, 1))
    maps = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    conv = keras.layers.Conv2D(3, 3, padding="same", activation="relu")
    maps = keras.layers.AveragePooling2D(6)(conv(maps))
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    if nested:
        backbone = keras.Model(images, pooled)
        images = keras.Input((48, 48, 1))
        pooled = backbone(keras.layers.Identity()(images))
    dense = keras.layers.Dense(3, activation="softmax", kernel_initializer="identity")
    model = keras.Model(images, keras.layers.Dropout(0.5)(dense(pooled)))
    conv.set_weights([np.stack(PATTERNS, axis=-1)[:, :, None], np.full(3, -5)])
    return model


def patterns_in_corners():
    """One image with each pattern in its own quadrant and grey elsewhere."""
    image = np.full((1, 48, 48, 1), 127, "uint8")
    odd = np.arange(24) % 2
    lying, standing = np.meshgrid(odd, odd, indexing="ij")
    for corner, pattern in zip(CORNERS, [lying, standing, lying ^ standing], strict=True):
        image[(0, *corner, 0)] = 255 * pattern
    return image


@pytest.mark.parametrize("nested", [False, True])
def test_heat_lies_where_the_class_is_seen(nested):
    images = np.repeat(patterns_in_corners(), 3, axis=0)
    heat = mistakes.grad_cam(pattern_network(nested), images, np.arange(3))
    assert heat.shape == (3, 48, 48) and heat.dtype == np.float32
    assert heat.min() >= 0 and np.allclose(heat.max(axis=(1, 2)), 1)
    for one, corner in zip(heat, CORNERS, strict=True):
        assert one[corner].sum() > 0.8 * one.sum()


def test_nothing_speaks_for_a_class_in_a_grey_image():
    heat = mistakes.grad_cam(
        pattern_network(nested=False), np.full((1, 48, 48, 1), 127, "uint8"), np.array([1])
    )
    assert not heat.any()


def test_batches_do_not_change_the_heat(monkeypatch):
    model = pattern_network(nested=False)
    images, order = np.repeat(patterns_in_corners(), 3, axis=0), np.arange(3)
    whole = mistakes.grad_cam(model, images, order)
    monkeypatch.setattr(mistakes, "_BATCH", 2)
    np.testing.assert_allclose(mistakes.grad_cam(model, images, order), whole, atol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
def test_split_network_computes_the_same(nested):
    model = pattern_network(nested)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")
    extract, classify = mistakes.split_at_last_map(model)
    assert extract.output_shape == (None, 8, 8, 3)
    np.testing.assert_allclose(classify.predict(extract.predict(images)), model.predict(images), atol=1e-6)


@pytest.mark.parametrize(
    "name, height",
    [("shallow_cnn", 12), ("deep_cnn", 6), ("mini_xception", 6), ("mobilenet_scratch", 6)],
)
def test_maps_are_neither_too_coarse_nor_beside_a_shortcut(name, height):
    model = models.build(name)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")
    extract, classify = mistakes.split_at_last_map(model)
    assert extract.output_shape[1:3] == (height, height)
    np.testing.assert_allclose(
        classify.predict(extract.predict(images, verbose=0), verbose=0),
        model.predict(images, verbose=0),
        atol=1e-5,
    )


def test_coarse_maps_serve_where_there_is_nothing_finer():
    images = keras.Input((48, 48, 1))
    maps = keras.layers.AveragePooling2D(12)(images)
    flat = keras.layers.Flatten()(keras.layers.Conv2D(2, 2, strides=2)(maps))
    model = keras.Model(images, keras.layers.Dense(3, activation="softmax")(flat))
    assert mistakes.split_at_last_map(model)[0].output_shape == (None, 2, 2, 2)


def test_network_without_feature_maps_is_refused():
    flat = keras.Input((4,))
    model = keras.Model(flat, keras.layers.Dense(2)(flat))
    with pytest.raises(ValueError, match="feature maps"):
        mistakes.split_at_last_map(model)
