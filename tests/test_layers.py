import keras
import numpy as np
import pytest

from ferlib.train import layers, machine
from ferlib.train.layers import BatchNormalization, Conv2D, DepthwiseConv2D, Dropout, make_fast, make_plain

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends go Keras' own way"
)

MAPS, MANY_MAPS, VECTORS = (5, 6, 4, 8), (5, 6, 4, 16), (12, 8)


def layer(kind, shape, policy, trainable=True):
    """A layer whose four weights all matter."""
    made = kind(momentum=0.8, dtype=policy, name="normalized")
    made.build(shape)
    numbers = np.random.default_rng(1)
    made.set_weights([numbers.uniform(0.5, 1.5, shape[-1:]) for _ in range(4)])
    made.trainable = trainable
    return made


def by_gradients(made, images, weights, **options):
    """Return a layer's output and the gradients of its cube by the input and some weights, as float32."""
    tensorflow = pytest.importorskip("tensorflow")
    images = tensorflow.constant(images)
    with tensorflow.GradientTape() as tape:
        tape.watch(images)
        outputs = made(images, **options)
        total = keras.ops.sum(keras.ops.cast(outputs, "float32") ** 3)
    parts = [outputs, *tape.gradient(total, [images, *(weight.value for weight in weights)])]
    return [np.asarray(keras.ops.cast(part, "float32")) for part in parts], outputs.dtype


def agree(own, other, tolerance):
    for one, two in zip(own, other, strict=True):
        np.testing.assert_allclose(one, two, atol=tolerance * np.abs(two).max())


@on_tensorflow
@pytest.mark.parametrize("shape", [MAPS, MANY_MAPS, VECTORS])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("training", "trainable"), [(True, True), (True, False), (False, True)])
def test_it_is_keras_layer(shape, policy, training, trainable):
    images = np.random.default_rng(0).normal(1, 2, shape).astype("float32")
    told, kinds = [], set()
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        made = layer(kind, shape, policy, trainable)
        parts, dtype = by_gradients(made, images, (made.gamma, made.beta), training=training)
        told.append([*parts, np.asarray(made.moving_mean), np.asarray(made.moving_variance)])
        kinds.add(dtype)
    assert len(kinds) == 1
    agree(*told, 1e-5 if policy == "float32" else 2e-2)


@on_tensorflow
def test_maps_go_through_the_kernel_and_what_it_cannot_do_does_not(monkeypatch):
    fused = []
    original = BatchNormalization._fused
    monkeypatch.setattr(
        BatchNormalization, "_fused", lambda *a, **k: fused.append(a[1].shape) or original(*a, **k)
    )
    for shape, options in ((MAPS, {}), (VECTORS, {}), (MAPS, {"scale": False}), (MAPS, {"axis": 1})):
        BatchNormalization(**options)(np.ones(shape, "float32"), training=True)
    assert fused == [MAPS]


def test_layers_of_keras_become_fast_in_place_are_stored_and_plain_again(tmp_path):
    network = keras.Sequential(
        [
            keras.Input(MAPS[1:]),
            keras.layers.Conv2D(8, 3, padding="same"),
            keras.layers.DepthwiseConv2D(3, padding="same"),
            layer(keras.layers.BatchNormalization, MAPS, "float32"),
            keras.layers.Dropout(0.5),
        ]
    )
    images = np.random.default_rng(0).normal(1, 2, MAPS).astype("float32")
    before, weights = np.asarray(network(images)), network.get_weights()
    kinds = [type(part) for part in make_fast(network).layers]
    assert kinds == [Conv2D, DepthwiseConv2D, BatchNormalization, Dropout]
    np.testing.assert_allclose(network(images), before, atol=1e-5)
    for one, two in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, two)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    assert [type(part) for part in again.layers] == kinds
    np.testing.assert_allclose(again(images), before, atol=1e-5)
    assert {type(part) for part in make_plain(network).layers} == set(layers.FAST)


def convolved(made):
    """Output of a layer on a small map, and the gradients of its input and kernel."""
    images = np.random.default_rng(2).normal(0, 1, (5, 6, 7, 96)).astype("float32")
    made.build(images.shape)
    made.kernel.assign(np.random.default_rng(3).normal(0, 0.1, made.kernel.shape))
    return by_gradients(made, images, [made.kernel])[0]


TOLERANCES = {"float32": 1e-5, "mixed_bfloat16": 3e-2}


@on_tensorflow
@pytest.mark.parametrize("kernel", [1, 3, (5, 3)])
def test_gradients_by_matrix_products_are_those_of_keras(kernel, monkeypatch):
    exact = convolved(keras.layers.Conv2D(16, kernel, padding="same", dtype="float32"))
    monkeypatch.setattr(Conv2D, "_multiplies", lambda *_: True)
    for precision, tolerance in TOLERANCES.items():
        agree(convolved(Conv2D(16, kernel, padding="same", dtype=precision)), exact, tolerance)


@on_tensorflow
@pytest.mark.parametrize("options", [{"strides": 2}, {"strides": 2, "padding": "same"}, {"strides": 1}])
def test_depthwise_convolutions_are_those_of_keras(options, monkeypatch):
    """With strides gradients of inputs must come from float32, for bfloat16 takes ten times as long."""
    counted, original = [], layers._convolved_depthwise
    monkeypatch.setattr(layers, "_convolved_depthwise", lambda *a: counted.append(a[2:]) or original(*a))
    monkeypatch.setattr(machine, "gpus", list)
    common = {"kernel_size": 3, "use_bias": False} | options
    exact = convolved(keras.layers.DepthwiseConv2D(**common, dtype="float32"))
    for precision, tolerance in TOLERANCES.items():
        agree(convolved(DepthwiseConv2D(**common, dtype=precision)), exact, tolerance)
    assert len(counted) == (options["strides"] > 1)
    monkeypatch.setattr(machine, "gpus", lambda: ["one"])
    convolved(DepthwiseConv2D(**common, dtype="mixed_bfloat16"))
    monkeypatch.setattr(machine, "gpus", list)
    convolved(DepthwiseConv2D(**common | {"use_bias": True}, dtype="mixed_bfloat16"))
    assert len(counted) == (options["strides"] > 1), "biases and GPUs go Keras' own way"


@on_tensorflow
def test_few_channels_are_normalized_in_float32(monkeypatch):
    """Or mini-Xception, which has eight, would be slower in bfloat16 than in float32."""
    tensorflow = pytest.importorskip("tensorflow")
    kinds, original = [], tensorflow.raw_ops.FusedBatchNormV3

    def kernel(x, **options):
        kinds.append(x.dtype.name)
        return original(x=x, **options)

    monkeypatch.setattr(tensorflow.raw_ops, "FusedBatchNormV3", kernel)
    for shape in (MAPS, MANY_MAPS):
        answer = BatchNormalization(dtype="mixed_bfloat16")(np.ones(shape, "float32"), training=True)
        assert answer.dtype.name == "bfloat16"
    assert kinds == ["float32", "bfloat16"]


@on_tensorflow
def test_only_what_gains_by_matrix_products_is_computed_so(monkeypatch):
    counted, original, half = [], layers._convolved, {"dtype": "mixed_bfloat16"}
    monkeypatch.setattr(layers, "_convolved", lambda *a: counted.append(a[0].shape) or original(*a))
    monkeypatch.setattr(machine, "gpus", list)
    small, large, thin = (2, 12, 12, 96), (2, 13, 12, 96), (2, 12, 12, 95)

    def convolve(shape, **options):
        Conv2D(**{"filters": 4, "kernel_size": 3, "padding": "same"} | options)(np.ones(shape, "float32"))

    convolve(small, **half)
    convolve(small, dtype="float32")
    for shape in (large, thin):
        convolve(shape, **half)
    for options in ({"strides": 2}, {"padding": "valid"}, {"groups": 2}, {"kernel_size": 2}):
        convolve(small, **half, **options)
    monkeypatch.setattr(machine, "gpus", lambda: ["one"])
    convolve(small, **half)
    assert counted == [small]


@pytest.mark.parametrize("shape", [(64, 9, 9, 16), (400, 200), (400, 7, 27)])
@pytest.mark.parametrize("rate", [0.05, 0.25, 0.5])
def test_dropout_drops_its_rate_keeps_the_mean_and_differs_from_step_to_step(shape, rate):
    made, values = Dropout(rate, seed=1), np.full(shape, 3.0, "float32")
    first, second = (np.asarray(made(values, training=True)) for _ in range(2))
    assert np.mean(first == 0) == pytest.approx(rate, abs=0.006)
    assert first.mean() == pytest.approx(3.0, abs=0.03)
    assert len(np.unique(first)) == 2
    assert np.mean((first == 0) & (second == 0)) == pytest.approx(rate**2, abs=0.006)
    places = (first == 0).reshape(-1, shape[-1]).mean(axis=0)  # no channel, no byte of four, is spared
    np.testing.assert_allclose(places, rate, atol=0.12)
    same, other = (np.asarray(Dropout(rate, seed=seed)(values, training=True)) for seed in (1, 2))
    assert np.array_equal(same, first) and (other != first).any(), "it repeats itself from a seed"
    for unchanged, training in ((made, False), (Dropout(0.0), True)):
        np.testing.assert_array_equal(np.asarray(unchanged(values, training=training)), values)
