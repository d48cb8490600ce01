import keras
import numpy as np
import pytest

from ferlib.train import models
from ferlib.train.layers import BatchNormalization, make_fast

MAPS, VECTORS = (5, 6, 4, 8), (12, 8)


def layer(kind, shape, policy, trainable=True):
    """A layer whose four weights all matter."""
    made = kind(momentum=0.8, dtype=policy, name="normalized")
    made.build(shape)
    numbers = np.random.default_rng(1)
    made.set_weights([numbers.uniform(0.5, 1.5, shape[-1:]) for _ in range(4)])
    made.trainable = trainable
    return made


def answers(made, images, training):
    """Return the output, what the moving statistics became, and gradients by input, scale and offset."""
    tensorflow = pytest.importorskip("tensorflow")
    images = tensorflow.constant(images)
    with tensorflow.GradientTape() as tape:
        tape.watch(images)
        outputs = made(images, training=training)
        total = keras.ops.sum(keras.ops.cast(outputs, "float32") ** 3)
    gradients = tape.gradient(total, [images, made.gamma.value, made.beta.value])
    parts = [outputs, *gradients, made.moving_mean, made.moving_variance]
    return [np.asarray(keras.ops.cast(part, "float32")) for part in parts], outputs.dtype


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends go Keras' own way")
@pytest.mark.parametrize("shape", [MAPS, VECTORS])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("training", "trainable"), [(True, True), (True, False), (False, True)])
def test_it_is_keras_layer(shape, policy, training, trainable):
    images = np.random.default_rng(0).normal(1, 2, shape).astype("float32")
    own, kind = answers(layer(BatchNormalization, shape, policy, trainable), images, training)
    other, other_kind = answers(
        layer(keras.layers.BatchNormalization, shape, policy, trainable), images, training
    )
    assert kind == other_kind
    for one, two in zip(own, other, strict=True):
        scale = np.abs(two).max()
        np.testing.assert_allclose(one, two, atol=scale * (1e-5 if policy == "float32" else 2e-2))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the kernel is TensorFlow's")
def test_maps_go_through_the_kernel_and_what_it_cannot_do_does_not(monkeypatch):
    fused = []
    original = BatchNormalization._fused
    monkeypatch.setattr(
        BatchNormalization, "_fused", lambda *a, **k: fused.append(a[1].shape) or original(*a, **k)
    )
    for shape, options in ((MAPS, {}), (VECTORS, {}), (MAPS, {"scale": False}), (MAPS, {"axis": 1})):
        BatchNormalization(**options)(np.ones(shape, "float32"), training=True)
    assert fused == [MAPS]


def test_weights_and_configuration_are_those_of_keras(tmp_path):
    own = keras.Sequential([keras.Input(MAPS[1:]), layer(BatchNormalization, MAPS, "float32")])
    other = keras.Sequential([keras.Input(MAPS[1:]), keras.layers.BatchNormalization(name="normalized")])
    assert own.layers[0].get_config().keys() == other.layers[0].get_config().keys()
    own.save_weights(tmp_path / "own.weights.h5")
    other.load_weights(tmp_path / "own.weights.h5")
    for one, two in zip(own.weights, other.weights, strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(one, two)


def test_a_saved_network_comes_back_with_it(tmp_path):
    network = keras.Sequential([keras.Input(MAPS[1:]), layer(BatchNormalization, MAPS, "float32")])
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert type(again.layers[0]) is BatchNormalization
    images = np.ones(MAPS, "float32")
    np.testing.assert_allclose(again(images), network(images), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(models.MODELS) - {"prior", "logistic"}))
def test_every_network_has_it_and_those_with_depthwise_convolutions_are_known(name):
    network = models.build(name, pretrained=False)
    kinds = {type(part) for part in network.layers}
    assert BatchNormalization in kinds and keras.layers.BatchNormalization not in kinds
    depthwise = {keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D}
    assert bool(kinds & depthwise) == (name in models.DEPTHWISE)


def test_a_layer_of_keras_becomes_one_in_place():
    network = keras.Sequential(
        [keras.Input(MAPS[1:]), layer(keras.layers.BatchNormalization, MAPS, "float32")]
    )
    images = np.random.default_rng(0).normal(1, 2, MAPS).astype("float32")
    before, weights = np.asarray(network(images)), network.get_weights()
    make_fast(network.layers[0])
    np.testing.assert_allclose(network(images), before, atol=1e-5)
    for one, two in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, two)
