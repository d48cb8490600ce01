import re

import keras
import numpy as np
import pytest
from keras import layers

from ferlib.figures import diagrams
from ferlib.train import models

pytestmark = pytest.mark.usefixtures("figures")


def test_stages_of_the_shallow_network_are_drawn_with_shapes_layers_and_sizes():
    model = models.build("shallow_cnn")
    found = diagrams.stages(model)
    assert [stage.kind for stage in found] == ["input", "convolution", "convolution", "dense", "output"]
    assert [stage.shape for stage in found] == [(48, 48, 1), (24, 24, 32), (12, 12, 64), (512,), (7,)]
    ax = diagrams.architecture(model)
    texts = [text.get_text() for text in ax.texts]
    assert {"24×24×32", "512", "flatten\ndense 512\nReLU", "dense 7\nsoftmax"} <= set(texts)
    assert "conv 3×3, 64\nmax pool 2×2\nbatch norm\nReLU\ndropout 0.25" in texts
    assert f"{model.count_params():,} parameters" in ax.get_title("left")
    assert len(ax.patches) >= 3 * 5  # three faces a block


def test_the_table_of_the_shipped_network_tells_its_layers_and_adds_up():
    model = models.build("lean_cnn")
    table = diagrams.table(model)
    assert table["output"].tolist()[:2] == ["48×48×1", "24×24×32"] and table["stage"][0] == "÷ 64, −2"
    first, second = "conv 3×3, 48 → batch norm → ReLU", "conv 3×3, 64 → max pool 2×2 → batch norm → ReLU"
    assert table["stage"][2] == f"{first} → {second} → dropout 0.05"
    *_, last, total = table.to_dict("records")
    assert last["stage"] == "global average → dropout 0.2 → dense 7 → softmax" and last["output"] == "7"
    assert total["stage"] == "sum" and total["parameters"] == model.count_params()
    assert total["multiplications"] == models.macs(model)


def layer(step):
    """The layer that a step of a table names: convolutions are padded and without bias."""
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", step.replace("−", "-"))]
    match step.split()[0]:
        case "÷":
            return layers.Rescaling(1 / numbers[0], offset=numbers[1])
        case "conv":
            return layers.Conv2D(int(numbers[2]), int(numbers[0]), padding="same", use_bias=False)
        case "max":
            return layers.MaxPooling2D(int(numbers[0]))
        case "dropout":
            return layers.Dropout(numbers[0])
        case "dense":
            return layers.Dense(int(numbers[0]))
    plain = {"batch norm": layers.BatchNormalization, "ReLU": layers.ReLU, "softmax": layers.Softmax}
    return (plain | {"global average": layers.GlobalAveragePooling2D})[step]()


def test_the_shipped_network_can_be_rebuilt_from_its_table():
    keras.utils.set_random_seed(0)  # of the weights
    model = models.build("lean_cnn")
    table = diagrams.table(model).iloc[:-1]
    again = keras.Sequential([keras.Input(tuple(map(int, table["output"][0].split("×"))))])
    for step in " → ".join(table["stage"]).split(" → "):
        again.add(layer(step))
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in model.weights]
    generator = np.random.default_rng(0)
    weights = [  # normalization that does something, so that its place matters
        generator.uniform(0.2, 1, weight.shape) if weight.ndim == 1 else weight
        for weight in model.get_weights()
    ]
    model.set_weights(weights)
    again.set_weights(weights)
    images = generator.integers(0, 256, (4, 48, 48, 1)).astype("float32")
    np.testing.assert_allclose(again(images), model(images), rtol=1e-3)
    assert np.ptp(model(images), axis=0).max() > 1e-3, "the images tell the network apart from others"
    rates = [[one.rate for one in net.layers if isinstance(one, layers.Dropout)] for net in (again, model)]
    assert rates[0] == rates[1]
    drawn = [text.get_text().replace("\n", " → ") for text in diagrams.architecture(model).texts]
    assert set(table["stage"]) <= set(drawn)
