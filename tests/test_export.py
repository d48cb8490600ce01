import dataclasses
import json

import keras
import made_up
import numpy as np
import onnx
import pytest
import scenes
from keras import layers

from ferlib import paths
from ferlib.evaluate import crowd
from ferlib.evaluate.metrics import with_temperature
from ferlib.labels import CLASSES, FerlibError
from ferlib.live import network
from ferlib.tools import export
from ferlib.train import fitting, models, predicting, record
from ferlib.train.predicting import Predictions


def trained(model):
    """Move all weights of a new network, for moving statistics and biases are ones and zeros at first."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if "seed" not in weight.path:
            values = np.asarray(weight) * generator.uniform(0.8, 1.2, weight.shape)
            weight.assign(values + generator.normal(0, 0.01, weight.shape))
    return model


def small_network():
    return trained(models.build("deep_cnn", width=0.125))


def test_onnxruntime_computes_what_keras_computes_with_two_bytes_a_weight(tmp_path, demo_dataset):
    model, folder = small_network(), tmp_path
    export.export_model(model, folder, 1.5, source={"experiment": "deep_both", "seed": 2})
    predictions = predicting.predict(model, demo_dataset.valid)
    expected = with_temperature(predictions, 1.5).probabilities
    loaded = network.load_model(folder)
    np.testing.assert_allclose(loaded.probabilities(demo_dataset.valid.images), expected, atol=5e-3)
    assert expected.std(axis=0).max() > 1e-3, "faces are told apart, so that agreement means something"
    size = (folder / network.GRAPH).stat().st_size
    assert 2 * model.count_params() < size < 2.3 * model.count_params() + 20_000
    constants = onnx.load(folder / network.GRAPH).graph.initializer
    kept = [constant for constant in constants if constant.data_type == onnx.TensorProto.FLOAT]
    assert all(np.prod(constant.dims) <= export.LARGEST_CONSTANT_KEPT for constant in kept)
    facts = json.loads((folder / network.METADATA).read_text())
    assert facts["classes"] == list(CLASSES) and facts["temperature"] == 1.5
    assert facts["source"] == {"experiment": "deep_both", "seed": 2}
    assert 0 < facts["float16_difference"] < 5e-3 and export.TOLERANCE <= 1e-5


def agrees(folder, model, dataset):
    """Check that a network was exported to a folder."""
    images = dataset.valid.images
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(network.load_model(folder).probabilities(images), expected, atol=5e-3)


def test_a_new_export_to_the_same_place_is_noticed(tmp_path):
    scenes.write_network(tmp_path)
    before = network.load_model(tmp_path)
    assert network.load_model(tmp_path) is before
    scenes.write_network(tmp_path, temperature=3.0)
    assert network.load_model(tmp_path).temperature == 3.0


def test_the_temperature_does_what_it_was_fitted_to_do(tmp_path):
    raw = np.array([[1 - 2e-4, 1e-4, 1e-4, 1e-12, 0, 0, 0]], "float32")
    fitted = with_temperature(Predictions(np.zeros(1, int), raw, np.array(["a"]), CLASSES), 3.0)
    warm = network.load_model(scenes.write_network(tmp_path, temperature=3.0))
    np.testing.assert_allclose(warm._calibrated(raw), fitted.probabilities, rtol=1e-5)


@pytest.mark.parametrize(("id", "home"), [("lean", "labels"), ("lean_crowd", "crowd")])
def test_a_network_takes_the_place_of_one_with_the_same_teachers(
    tmp_path, monkeypatch, demo_dataset, id, home
):
    monkeypatch.setenv("FERLIB_WEIGHTS", "labels")  # which network predicts is another question
    monkeypatch.setattr(paths, "PACKAGE", tmp_path)
    run = made_up.run(id, seed=1)
    said = np.random.default_rng(0).dirichlet(np.ones(7), len(demo_dataset.valid)).astype("float32")
    known = Predictions(demo_dataset.valid.labels, said, demo_dataset.valid.names, CLASSES)
    run = dataclasses.replace(run, valid=known)
    monkeypatch.setattr(type(run), "model", lambda self: small_network())
    assert export.export(run, demo_dataset).parent == tmp_path / "weights" / home
    shipped = network.load_model(home)
    assert shipped.temperature == pytest.approx(export.temperature(run, demo_dataset), abs=1e-6)
    source, (judged,) = shipped.metadata["source"], crowd.judge([run], demo_dataset)
    assert (source["experiment"], source["seed"], source["profile"]) == (id, 1, "full")
    assert source["valid_accuracy"] == pytest.approx(run.result["valid_accuracy"])
    assert source["crowd_accuracy"] == pytest.approx(judged.by_crowd.value)


@pytest.fixture
def finish(tmp_path, monkeypatch, demo_dataset):
    """Pretend that runs are finished; exporting one only writes down which."""
    monkeypatch.setenv("FERLIB_WEIGHTS", str(tmp_path / "shipped"))
    monkeypatch.setattr(export, "export", lambda run, dataset, folder: chosen.append(run))
    monkeypatch.setattr(
        crowd, "choose", lambda runs, _: max(runs, key=lambda run: run.valid.accuracy).experiment.id
    )
    chosen = []

    def pretend(*runs, weights=True):
        here = [dataclasses.replace(run, directory=tmp_path) for run in runs]
        if weights:
            (tmp_path / record.WEIGHTS_FILE).touch()
        monkeypatch.setattr(record, "runs", lambda dataset: here)
        return chosen

    return pretend


def test_the_network_of_the_live_view_is_the_best_small_run_with_weights(finish, demo_dataset):
    facts = {"tested": False, "parameters": 10**6}
    small = made_up.run("deep_plain", 0.6, **facts)
    chosen = finish(
        small,
        made_up.run("mini_xception", 0.5, **facts),
        made_up.run("four_block", 0.8, tested=False, parameters=10**7),
        made_up.run("deep_both", 0.9, profile="quick", **facts),
        made_up.run("mobilenet_top4", 0.9, **facts),
    )
    folder = export.network_folder(demo_dataset)
    assert folder.name == "deep_plain-full-seed0"
    assert chosen[0].valid is small.valid
    assert export.network_folder(demo_dataset, profile="quick").name == "deep_both-quick-seed0"


def test_without_weights_a_network_is_trained_quickly(finish, demo_dataset, monkeypatch):
    finish(made_up.run("deep_plain", 0.6), weights=False)

    def obtain(ids, dataset, *, seeds, profile):
        return [made_up.run(id, seed=seed, profile=profile) for id in ids for seed in seeds]

    monkeypatch.setattr(export.trainer, "obtain", obtain)
    assert export.network_folder(demo_dataset, seeds=[3]).name == "deep_both-quick-seed3"


def test_the_shipped_network_serves_for_the_data_it_learned_from(finish, demo_dataset, tmp_path):
    small = {"parameters": 10**6}
    finish(made_up.run("deep_plain", **small), made_up.run("deep_both", profile="quick", **small))
    shipped, own = tmp_path / "shipped", {"fingerprint": demo_dataset.fingerprint}
    for source, profile, serves in (
        (own, "auto", True),
        (own, "quick", False),
        (own | {"profile": "quick"}, "full", False),
        ({"fingerprint": "other"}, "auto", False),
    ):
        scenes.write_network(shipped, source=source)
        assert (export.network_folder(demo_dataset, profile=profile) == shipped) == serves


def test_a_network_for_some_classes_keeps_their_names(tmp_path):
    model = keras.Sequential([keras.Input((48, 48, 1)), layers.Flatten(), layers.Dense(2, "softmax")])
    export.export_model(model, tmp_path, classes=("happy", "sad"))
    assert network.load_model(tmp_path).face((0, 0, 1, 1), [0.2, 0.8]).emotion == "sad"


def test_backbones_with_fixed_normalization_are_exported_too(tmp_path, demo_dataset):
    images = keras.Input((48, 48, 1), name="images")
    x = layers.Concatenate()([keras.ops.image.resize(images, (32, 32))] * 3)
    x = layers.Normalization(mean=(90.0, 100.0, 110.0), variance=(2500.0,) * 3)(x)
    x = layers.GlobalAveragePooling2D()(layers.SeparableConv2D(4, 3, activation="relu")(x))
    model = trained(keras.Model(images, layers.Dense(7, "softmax")(x)))
    export.export_model(model, tmp_path)
    agrees(tmp_path, model, demo_dataset)


def test_a_network_trained_in_mixed_precision_is_exported_in_full(tmp_path, demo_dataset):
    with fitting._precision("mixed_float16"):
        mixed = models.build("mini_xception")
    plain = models.build("mini_xception")
    plain.set_weights(trained(mixed).get_weights())
    export.export_model(mixed, tmp_path)
    agrees(tmp_path, plain, demo_dataset)


def test_what_can_not_be_exported_is_told_and_not_written(tmp_path, monkeypatch):
    right = export._converted

    def wrong(model):
        graph = right(model)
        bias = next(c for c in graph.graph.initializer if list(c.dims) == [7])
        values = onnx.numpy_helper.to_array(bias) + np.eye(7, dtype="float32")[0]
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return graph

    monkeypatch.setattr(export, "_converted", wrong)
    with pytest.raises(FerlibError, match="differs from Keras by"):
        export.export_model(small_network(), tmp_path)
    monkeypatch.setattr(export, "_converted", right)
    large = keras.Sequential([keras.Input((48, 48, 1)), layers.Flatten(), layers.Dense(7, "softmax")])
    large.set_weights([large.get_weights()[0] * 1e7, np.zeros(7)])
    with pytest.raises(FerlibError, match="too large for float16"):
        export.export_model(large, tmp_path)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(FerlibError, match="KERAS_BACKEND=tensorflow"):
        export.export_model(small_network(), tmp_path)
    assert not list(tmp_path.iterdir())
