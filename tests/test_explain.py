import keras
import numpy as np
import pytest

from ferlib import explain

CORNERS = [(slice(0, 24), slice(0, 24)), (slice(0, 24), slice(24, 48)), (slice(24, 48), slice(0, 24))]


def quadrant_network(nested):
    """A network whose class is the brightest of three quadrants, with weights set by hand."""
    images = keras.Input((48, 48, 1))
    maps = keras.layers.Rescaling(1 / 255)(images)
    maps = keras.layers.Conv2D(3, 3, padding="same", use_bias=False, kernel_initializer="ones")(maps)
    maps = keras.layers.AveragePooling2D(6)(maps)
    if nested:
        backbone = keras.Model(images, keras.layers.Flatten()(maps))
        images = keras.Input((48, 48, 1))
        flat = backbone(keras.layers.Identity()(images))
    else:
        flat = keras.layers.Flatten()(maps)
    dense = keras.layers.Dense(3, activation="softmax", use_bias=False)
    model = keras.Model(images, keras.layers.Dropout(0.5)(dense(flat)))
    kernel = np.zeros((8, 8, 3, 3), "float32")
    for index, (rows, columns) in enumerate(CORNERS):
        places = slice(rows.start // 6, rows.stop // 6), slice(columns.start // 6, columns.stop // 6)
        kernel[(*places, index, index)] = 0.05
    dense.set_weights([kernel.reshape(-1, 3)])
    return model


def bright_quadrants(order):
    images = np.zeros((len(order), 48, 48, 1), "uint8")
    for image, index in zip(images, order, strict=True):
        image[CORNERS[index]] = 200
    return images


@pytest.mark.parametrize("nested", [False, True])
def test_heat_lies_where_the_class_is_decided(nested):
    order = [0, 1, 2, 0]
    model = quadrant_network(nested)
    heat = explain.grad_cam(model, bright_quadrants(order), np.array(order))
    assert heat.shape == (4, 48, 48) and heat.dtype == np.float32
    assert heat.min() >= 0 and np.allclose(heat.max(axis=(1, 2)), 1)
    for one, index in zip(heat, order, strict=True):
        assert one[CORNERS[index]].sum() > 0.85 * one.sum()


def test_nothing_speaks_for_a_class_that_is_absent():
    model = quadrant_network(nested=False)
    heat = explain.grad_cam(model, np.zeros((1, 48, 48, 1), "uint8"), np.array([1]))
    assert not heat.any()


def test_batches_do_not_change_the_heat(monkeypatch):
    model = quadrant_network(nested=False)
    images, order = bright_quadrants([0, 1, 2]), np.arange(3)
    whole = explain.grad_cam(model, images, order)
    monkeypatch.setattr(explain, "_BATCH", 2)
    np.testing.assert_allclose(explain.grad_cam(model, images, order), whole, atol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
def test_split_network_computes_the_same(nested):
    model = quadrant_network(nested)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")
    extract, classify = explain.split_at_last_map(model)
    assert extract.output_shape == (None, 8, 8, 3)
    np.testing.assert_allclose(classify.predict(extract.predict(images)), model.predict(images), atol=1e-6)


def test_network_without_feature_maps_is_refused():
    flat = keras.Input((4,))
    model = keras.Model(flat, keras.layers.Dense(2)(flat))
    with pytest.raises(ValueError, match="feature maps"):
        explain.split_at_last_map(model)
