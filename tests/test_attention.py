import keras
import numpy as np
import pytest
from scipy import stats

from ferlib.evaluate import attention
from ferlib.train import models

STRIPE = np.array([-1, 2, -1])
PATTERNS = [np.outer(STRIPE, [1, 1, 1]), np.outer([1, 1, 1], STRIPE), np.outer(STRIPE, STRIPE)]
CORNERS = [(slice(0, 24), slice(0, 24)), (slice(0, 24), slice(24, 48)), (slice(24, 48), slice(0, 24))]


@pytest.fixture
def model():
    """Tell lying stripes, standing stripes and a chessboard apart, with weights set by hand."""
    images = keras.Input((48, 48, 1))
    maps = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    conv = keras.layers.Conv2D(3, 3, padding="same", activation="relu")
    maps = keras.layers.AveragePooling2D(6)(conv(maps))
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    dense = keras.layers.Dense(3, activation="softmax", kernel_initializer="identity")
    model = keras.Model(images, keras.layers.Dropout(0.5)(dense(pooled)))
    conv.set_weights([np.stack(PATTERNS, axis=-1)[:, :, None], np.full(3, -5)])
    return model


@pytest.fixture
def images():
    """Three times one image with each pattern in its own quadrant and grey elsewhere."""
    image = np.full((1, 48, 48, 1), 127, "uint8")
    odd = np.arange(24) % 2
    lying, standing = np.meshgrid(odd, odd, indexing="ij")
    for corner, pattern in zip(CORNERS, [lying, standing, lying ^ standing], strict=True):
        image[(0, *corner, 0)] = 255 * pattern
    return np.repeat(image, 3, axis=0)


def test_heat_lies_where_the_class_is_seen(model, images):
    heat = attention.grad_cam(model, images, np.arange(3))
    for one, corner in zip(np.maximum(heat, 0), CORNERS, strict=True):
        assert one[corner].sum() > 0.8 * one.sum() > 0
    for one, corner in zip(heat, CORNERS[1:] + CORNERS[:1], strict=True):
        assert one[corner].mean() < 0, "another class's pattern speaks against this one"


def test_covering_what_the_class_is_seen_by_costs_probability(model, images):
    drop = attention.occlusion(model, images, np.arange(3))
    assert drop.shape == (3, 48, 48) and drop.dtype == np.float32
    for one, corner in zip(drop, CORNERS, strict=True):
        assert one[corner].mean() > 0 and one[corner].max() == one.max()
    changed = images.copy()
    changed[:, :16, :16] = attention.GREY  # the only place of the patch that covers the first pixel
    chances = [model.predict(some, verbose=0)[np.arange(3), np.arange(3)] for some in (images, changed)]
    np.testing.assert_allclose(drop[:, 0, 0], chances[0] - chances[1], atol=1e-6)


def test_a_network_with_shuffled_weights_looks_elsewhere(model, images):
    before = attention.grad_cam(model, images, np.arange(3))
    sums = [weight.sum() for weight in model.get_weights()]
    attention.redraw(model)
    np.testing.assert_allclose([weight.sum() for weight in model.get_weights()], sums, atol=1e-5)
    after = attention.grad_cam(model, images, np.arange(3))
    assert attention.likeness(before, before) == pytest.approx(1)
    assert attention.likeness(before, after) < 0.5


def test_likeness_is_a_rank_correlation_that_flat_maps_have_none_of():
    maps, others = np.random.default_rng(0).normal(size=(2, 3, 6, 6))
    expected = [
        stats.spearmanr(*(some.ravel() for some in pair))[0] for pair in zip(maps, others, strict=True)
    ]
    assert attention.likeness(maps, others) == pytest.approx(np.mean(expected))
    others[2] = 1
    assert attention.likeness(maps, others) == pytest.approx(np.mean(expected[:2]))


def test_some_images_of_each_class_and_their_mean_maps():
    labels = np.array([2, 0, 0, 2, 2, 0, 0, 5])
    some = attention.some_of_each(labels, 3)
    assert np.bincount(labels[some]).tolist() == [3, 0, 3, 0, 0, 1] and len(set(some)) == 7
    maps = np.arange(8.0)[:, None, None] * np.ones((8, 2, 2))
    means = attention.class_means(maps, labels)
    assert means[:, 0, 0].tolist() == pytest.approx([14 / 4, 7 / 3, 7])


@pytest.mark.parametrize(
    "network, height",
    [("shallow_cnn", 12), ("deep_cnn", 6), ("mini_xception", 6), ("mobilenet_scratch", 6)],
)
def test_a_split_network_computes_the_same_by_maps_neither_too_coarse_nor_beside_a_shortcut(network, height):
    model = models.build(network)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")
    extract, classify = attention.split_at_last_map(model)
    assert extract.output_shape[1:3] == (height, height)
    by_parts = classify.predict(extract.predict(images, verbose=0), verbose=0)
    np.testing.assert_allclose(by_parts, model.predict(images, verbose=0), atol=1e-5)
