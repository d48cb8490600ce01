import http.client
import os

import keras
import numpy as np
import pytest
from keras import layers

from ferlib.labels import FerlibError
from ferlib.train import backbones, fitting, models
from ferlib.train.layers import FAST, BatchNormalization

PARAMETERS = {
    "prior": 14,
    "logistic": 16_135,
    "shallow_cnn": 4_741_799,
    "four_block_cnn": 19_722_887,
    "deep_cnn": 1_116_839,
    "lean_cnn": 876_263,
    "residual_cnn": 4_869_511,  # below the five million of a network that ships
    "mini_xception": 58_423,  # as in its paper's repository
    **dict.fromkeys(("mobilenet", "mobilenet_scratch"), 3_493_831),
    **dict.fromkeys(("resnet50", "resnet50_scratch"), 24_114_823),
}

SMALL = {
    "shallow_cnn": {"width": 0.25},
    "four_block_cnn": {"width": 0.125},
    "deep_cnn": {"width": 0.25},
    "lean_cnn": {"width": 0.25},
    "residual_cnn": {"width": 0.1},
    **dict.fromkeys(("mobilenet", "mobilenet_scratch", "resnet50", "resnet50_scratch"), {"image_size": 32}),
}

BACKBONES = ["mobilenet", pytest.param("resnet50", marks=pytest.mark.slow)]
FROM_NOTHING = [name for name in models.MODELS if not name.startswith(("mobilenet", "resnet50"))]


def small(name, **switches):
    return models.build(name, pretrained=False, **SMALL.get(name, {}) | switches)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (14, 48, 48, 1), dtype=np.uint8)


def probabilities(network, images):
    return np.asarray(network(images, training=False))


def count(network, kind):
    return sum(isinstance(layer, kind) for layer in network.layers)


@pytest.mark.parametrize("name", models.MODELS)
def test_parameter_count_and_shapes(name):
    network = models.build(name, pretrained=False)
    assert network.count_params() == PARAMETERS[name]
    (images,) = network.inputs
    assert (images.shape, images.name) == ((None, 48, 48, 1), "images")
    assert network.output_shape == network.get_layer("logits").output.shape == (None, 7)
    assert network.layers[-1].name == "probabilities"
    assert not {type(layer) for layer in network.layers} & set(FAST), "all that can be fast is"


@pytest.mark.parametrize("name", [*FROM_NOTHING, *BACKBONES])
def test_same_answer_for_stored_and_float_images_and_after_reloading(name, images, tmp_path):
    keras.utils.set_random_seed(1)
    network = small(name, classes=4)
    expected = probabilities(network, images)
    assert expected.shape == (14, 4) and expected.dtype == np.float32
    np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities(network, images.astype("float32")), expected)
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras", compile=False)
    np.testing.assert_allclose(probabilities(again, images), expected, atol=1e-6)


SLOW = ("residual_cnn", "mini_xception", "mobilenet", "resnet50")


@pytest.mark.parametrize(
    "name",
    [
        *("logistic", "shallow_cnn", "four_block_cnn", "deep_cnn", "lean_cnn"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_overfits_one_batch(name, images):
    keras.utils.set_random_seed(0)
    switches = {} if name in ("logistic", "mini_xception") else {"dropout": 0.0}
    switches |= {"trainable": "all"} if name in backbones.PRETRAINED else {}
    network, labels = small(name, **switches), np.arange(7)
    # Eagerly: these few steps take less time than tracing ResNet50's graph.
    network.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", run_eagerly=True)
    for _ in range(40):
        if network.train_on_batch(images[:7], labels) < 0.05:
            break
    seen = np.asarray(network(images[:7], training=True))  # with the batch's own statistics, as in training
    assert (seen.argmax(1) == labels).all()


@pytest.mark.parametrize("name", BACKBONES)
def test_head_and_all_decide_what_is_trained_and_from_scratch_it_is_all(name):
    scratch = models.build(f"{name}_scratch", image_size=32)
    head, whole = small(name), small(name, trainable="all")
    shapes = [weight.shape for weight in whole.trainable_weights]
    assert [weight.shape for weight in scratch.trainable_weights] == shapes and len(shapes) > 80
    assert len(head.trainable_weights) == 5  # dense, scale and offset of its normalization, scores
    with pytest.raises(ValueError, match="body"):
        small(name, trainable="body")
    normalized = next(layer for layer in head.layers if isinstance(layer, layers.Normalization))
    grey = np.tile(np.arange(0, 256, 51, dtype="float32")[:, None, None, None], (1, 48, 48, 1))
    seen = np.asarray(keras.Model(head.inputs[0], normalized.output)(grey))
    expected = getattr(keras.applications, name).preprocess_input(np.tile(grey[:, :32, :32], (1, 1, 1, 3)))
    np.testing.assert_allclose(seen, expected, atol=1e-3)


def test_prior_learns_frequencies_and_sees_nothing(images):
    network = models.build("prior", classes=3)
    network.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    labels = np.array([0] * 2 + [1] * 8 + [2] * 4)
    for _ in range(60):
        network.train_on_batch(images, labels)
    np.testing.assert_allclose(probabilities(network, images), np.tile([2, 8, 4], (14, 1)) / 14, atol=1e-3)


def test_normalization_can_be_left_out():
    with_it, plain = (models.build("deep_cnn", width=0.1, batch_norm=norm) for norm in (True, False))
    assert count(with_it, BatchNormalization) > 0 == count(plain, BatchNormalization)
    assert all(layer.use_bias for layer in plain.layers if isinstance(layer, (layers.Conv2D, layers.Dense)))


@pytest.mark.parametrize("name", ["shallow_cnn", "four_block_cnn", "deep_cnn", "lean_cnn", "residual_cnn"])
def test_dropout_can_be_chosen(name):
    for rate in (0.08, 0.0):
        rates = [part.rate for part in small(name, dropout=rate).layers if hasattr(part, "rate")]
        assert max(rates) == rate


def test_an_unknown_network_is_told():
    with pytest.raises(FerlibError, match="'vgg'.*deep_cnn"):
        models.build("vgg")


@pytest.mark.parametrize("name", ["deep_cnn", "residual_cnn", "mini_xception", "mobilenet_scratch"])
def test_softmax_stays_float32_under_mixed_precision(name, images):
    with fitting._precision("mixed_bfloat16"):
        network = small(name)
        assert network.get_layer("logits").compute_dtype == "float32"
        assert "bfloat16" in {layer.compute_dtype for layer in network.layers}
        assert probabilities(network, images).dtype == np.float32


@pytest.mark.parametrize("name", BACKBONES)
def test_bottleneck_features_stay_while_the_head_learns(name, images):
    keras.utils.set_random_seed(2)
    network = small(name)
    backbone, head = models.split_backbone(network)
    features = np.asarray(backbone(images))
    assert features.shape == (14, {"mobilenet": 1024, "resnet50": 2048}[name])
    before = probabilities(network, images)
    np.testing.assert_allclose(probabilities(head, features), before, atol=1e-5)
    head.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    head.fit(features, np.arange(14) % 7, verbose=0)
    assert np.abs(probabilities(network, images) - before).max() > 1e-2
    np.testing.assert_allclose(probabilities(network, images), probabilities(head, features), atol=1e-5)
    network(images, training=True)  # would move the statistics of a batch normalization that is trained
    np.testing.assert_array_equal(np.asarray(backbone(images)), features)


def test_missing_weights_give_one_sentence(monkeypatch, tmp_path):
    problems = iter([OSError("no route"), http.client.BadStatusLine("SSH-2.0")] * 2)

    def unreachable(*args, timeout, **kwargs):
        assert timeout <= 5
        raise next(problems)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / ("x" * 300)))  # the system does not even look for it
    monkeypatch.setattr(backbones.urllib.request, "urlopen", unreachable)
    for offline in ("1", "0"):
        monkeypatch.setenv("FERLIB_OFFLINE", offline)
        assert not backbones.weights_available("mobilenet") and not backbones.weights_available("resnet50")
    with pytest.raises(FerlibError, match=r"mobilenet_1_0_224_tf_no_top.h5 .* mobilenet_scratch"):
        models.build("mobilenet", image_size=32)
    random = models.build("mobilenet", image_size=32, pretrained=False)
    assert random.count_params() == PARAMETERS["mobilenet"]


def test_a_download_of_weights_is_announced(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(backbones, "weights_available", lambda name: True)

    def fail(name, address, **options):
        assert address == backbones.PRETRAINED["mobilenet"].address
        raise OSError("no route")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(FerlibError, match="could not be downloaded"):
        models.build("mobilenet", image_size=32)
    assert backbones.PRETRAINED["mobilenet"].address in capsys.readouterr().err


def test_stored_weights_are_loaded_and_damaged_ones_named(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    stored = tmp_path / "models" / "mobilenet_1_0_224_tf_no_top.h5"
    stored.parent.mkdir()
    original = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    original.save_weights(tmp_path / "one.weights.h5")
    os.replace(tmp_path / "one.weights.h5", stored)
    loaded = []
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "load_weights", lambda self, path: loaded.append(path))
        models.build("mobilenet", image_size=32)
    assert loaded == [stored]
    stored.write_bytes(stored.read_bytes()[:1000])
    with pytest.raises(FerlibError, match="delete the file"):
        models.build("mobilenet", image_size=32)


def test_macs_by_hand():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same")(inputs)  # 64 positions x 9 x 2 x 4
    x = layers.DepthwiseConv2D(3, strides=2, padding="same")(x)  # 16 x 9 x 4
    x = layers.SeparableConv2D(6, 3, padding="valid")(x)  # 4 x (9 x 4 + 4 x 6)
    x = layers.Conv2D(6, 1, groups=2)(layers.BatchNormalization()(x))  # 4 x 3 x 6
    inner = keras.Sequential([keras.Input((24,)), layers.Dense(5)])  # 24 x 5
    network = keras.Model(inputs, inner(layers.Flatten()(x)))
    assert models.macs(network) == 4608 + 576 + 240 + 72 + 120
    assert models.macs(models.build("logistic")) == 48 * 48 * 7
    assert 25e6 < models.macs(models.build("deep_cnn")) < 36e6
