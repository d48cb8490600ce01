import pytest

from ferlib.figures import diagrams
from ferlib.train import models

pytestmark = pytest.mark.usefixtures("figures")


def test_stages_of_the_shallow_network():
    found = diagrams.stages(models.build("shallow_cnn"))
    assert [stage.kind for stage in found] == ["input", "convolution", "convolution", "dense", "output"]
    assert [stage.shape for stage in found] == [(48, 48, 1), (24, 24, 32), (12, 12, 64), (512,), (7,)]
    assert found[1].lines()[:2] == ["conv 3×3, 32", "max pool"]
    assert "batch norm" in found[1].lines() and "ReLU" in found[1].lines()
    assert found[3].lines()[:2] == ["flatten", "dense 512"]
    assert found[4].lines() == ["dense 7", "softmax"]


@pytest.mark.parametrize("name", ["deep_cnn", "mini_xception", "mobilenet_scratch"])
def test_every_parameter_stands_in_one_stage(name):
    model = models.build(name)
    assert sum(stage.parameters for stage in diagrams.stages(model)) == model.count_params()


def test_a_stage_that_keeps_its_resolution_pools_nothing():
    """The stride of mini-Xception's shortcuts is written as pooling over one pixel, at the place before."""
    found = [stage for stage in diagrams.stages(models.build("mini_xception")) if stage.resolution]
    pooled = {stage.shape[0]: stage.lines().count("max pool") for stage in found}
    assert pooled == {46: 0, 44: 0, 22: 1, 11: 1, 6: 1, 3: 1}


def test_mobilenet_collapses_to_a_stage_a_resolution():
    found = diagrams.stages(models.build("mobilenet_scratch", image_size=96))
    assert [stage.shape[0] for stage in found if stage.kind == "convolution"] == [48, 24, 12, 6, 3]
    assert "6 × depthwise 3×3" in found[4].lines()
    assert "resize to 96×96" in found[0].lines()


def test_dropout_of_zero_and_switched_off_normalization_are_not_drawn():
    found = diagrams.stages(models.build("deep_cnn", dropout=0.0, batch_norm=False))
    lines = [line for stage in found for line in stage.lines()]
    assert not [line for line in lines if "dropout" in line or "norm" in line]


def test_drawing_names_shapes_layers_and_sizes():
    model = models.build("shallow_cnn")
    ax = diagrams.architecture(model)
    texts = [text.get_text() for text in ax.texts]
    assert "24×24×32" in texts and "512" in texts
    assert any(text.startswith("conv 3×3, 64\nmax pool") for text in texts)
    assert f"{model.count_params():,} parameters" in ax.get_title("left")
    assert len(ax.patches) >= 3 * 5  # three faces a block


def test_stages_of_a_network_add_up():
    model = models.build("deep_cnn")
    table = diagrams.table(model)
    total = table.iloc[-1]
    assert total["stage"] == "sum"
    assert total["parameters"] == model.count_params()
    assert total["multiplications"] == models.macs(model)
    assert table["output"].iloc[0] == "48×48×1" and table["output"].iloc[-2] == "7"
    assert "conv 3×3, 64" in table["stage"].iloc[2]
