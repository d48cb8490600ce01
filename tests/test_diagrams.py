import pytest

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
