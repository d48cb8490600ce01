import keras
import numpy as np
import pytest

from ferlib.labels import FerlibError
from ferlib.tools import training_speed
from ferlib.train import backbones, models

torch = pytest.importorskip("torch", reason="PyTorch is only measured beside training where it is installed")
from ferlib.tools import pytorch  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 1), dtype="uint8")


def built(name):
    """A network whose moving statistics are of `IMAGES`, so that its answers differ from image to image."""
    network = models.build(name, pretrained=False)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(IMAGES.astype("float32"), training=True)
    return network


def scores(network, images):
    return network(torch.tensor(images).permute(0, 3, 1, 2).float())


@pytest.mark.parametrize("name", sorted(set(models.MODELS) - set(backbones.PRETRAINED)))
def test_a_network_in_pytorch_gives_the_same_probabilities(name):
    network = built(name)
    with torch.no_grad():
        own = torch.softmax(scores(pytorch.Translated(network).eval(), IMAGES), 1)
    expected = network.predict_on_batch(IMAGES)
    assert name == "prior" or expected.std(axis=0).max() > 1e-4
    np.testing.assert_allclose(own, expected, atol=1e-3)


def test_a_layer_without_translation_is_told():
    images = keras.Input((48, 48, 1))
    network = keras.Model(images, keras.layers.UpSampling2D(name="larger")(images))
    with pytest.raises(FerlibError, match="larger can't be measured in PyTorch"):
        pytorch.Translated(network)


@pytest.mark.parametrize("name", ["lean_cnn", "deep_cnn"])
def test_gradients_of_a_training_step_are_those_of_keras(name):
    tensorflow = pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(0)
    labels = np.arange(len(IMAGES))
    network = models.build(name, dropout=0.0)
    module = pytorch.Translated(network).train()
    torch.nn.functional.cross_entropy(scores(module, IMAGES), torch.tensor(labels)).backward()
    with tensorflow.GradientTape() as tape:
        answers = network(IMAGES.astype("float32"), training=True)
        loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, answers))
    gradient = np.asarray(tape.gradient(loss, network.trainable_variables[0].value))
    own = next(module.parameters()).grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(own, gradient, atol=2e-3 * np.abs(gradient).max())


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_an_epoch_in_pytorch_learns(precision, demo_dataset):
    some = demo_dataset.train.take(np.arange(64))
    epoch = pytorch.epoch(models.build("lean_cnn", dropout=0.0), some, len(some), precision)
    losses = [float(epoch()) for _ in range(10)]
    assert losses[-1] < 0.7 * losses[0]


def test_training_is_measured_beside_pytorch(demo_dataset, monkeypatch):
    monkeypatch.setattr(training_speed, "NETWORKS", ["logistic"])
    measured = training_speed.run(demo_dataset, quick=True)
    beside = measured.set_index("against").loc["PyTorch"]
    assert beside["task"] == "train logistic" and beside["ratio"] > 0
