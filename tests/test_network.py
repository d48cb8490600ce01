import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import scenes

from ferlib import paths
from ferlib.data import votes
from ferlib.labels import CLASSES, FerlibError
from ferlib.live import network


@pytest.fixture
def crops():
    return np.stack([scenes.face(emotion) for emotion in CLASSES])


@pytest.fixture
def loaded(tmp_path):
    return network.load_model(scenes.write_network(tmp_path))


def test_every_face_gets_its_emotion(loaded, crops):
    probabilities = loaded.probabilities(crops)
    assert probabilities.dtype == np.float32 and probabilities.shape == (7, 7)
    assert probabilities.argmax(axis=1).tolist() == list(range(7))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    face = loaded.face((1.4, 2.6, 30, 40), probabilities[3])
    assert (face.box, face.emotion) == ((1, 3, 30, 40), "happy")
    assert face.confidence == pytest.approx(float(probabilities[3, 3]))


def test_batches_and_shapes_make_no_difference(loaded, crops):
    many = np.concatenate([crops] * 21)  # three batches
    np.testing.assert_allclose(loaded.probabilities(many)[-7:], loaded.probabilities(crops), atol=1e-6)
    np.testing.assert_array_equal(loaded.probabilities(list(crops)), loaded.probabilities(crops[..., None]))
    assert loaded.probabilities([]).shape == (0, 7)
    with pytest.raises(FerlibError, match=r"48, 48.*not \(2, 64, 64\)"):
        loaded.probabilities(np.zeros((2, 64, 64), np.uint8))


def test_the_temperature_softens_without_changing_the_order(tmp_path, crops):
    sharp = network.load_model(scenes.write_network(tmp_path / "sharp")).probabilities(crops)
    soft = network.load_model(scenes.write_network(tmp_path / "soft", temperature=2.0)).probabilities(crops)
    expected = np.sqrt(sharp) / np.sqrt(sharp).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(soft, expected, atol=1e-5)


@pytest.mark.parametrize(
    "damaged", [b"{", b"\xff\xfe\xfd", b"[]", b"{}", {"classes": ["joy"]}, {"seal": "0"}]
)
def test_metadata_that_is_damaged_is_said_to_be(tmp_path, damaged):
    file = scenes.write_network(tmp_path) / network.METADATA
    facts = json.loads(file.read_text())
    file.write_bytes(damaged if isinstance(damaged, bytes) else json.dumps(facts | damaged).encode())
    with pytest.raises(FerlibError, match=r"network.json is damaged or was changed .*reinstall"):
        network.load_model(tmp_path)


def test_a_graph_that_was_replaced_or_is_none_is_refused(tmp_path):
    replaced = scenes.write_network(tmp_path) / network.GRAPH
    replaced.write_bytes(replaced.read_bytes() + b"x")
    with pytest.raises(FerlibError, match="SHA-256"):
        network.load_model(tmp_path)
    scenes.write_network(tmp_path, sha256=hashlib.sha256(b"no graph").hexdigest())
    replaced.write_bytes(b"no graph")
    with pytest.raises(FerlibError, match=r"network.onnx: no network that can be used here \(.*[Pp]rotobuf"):
        network.load_model(tmp_path)


def test_networks_go_by_name_or_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PACKAGE", tmp_path)
    monkeypatch.setenv("FERLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(FerlibError, match=r"network.onnx is missing.*ferlib train"):
        network.load_model()
    monkeypatch.setenv("FERLIB_WEIGHTS", str(scenes.write_network(tmp_path / "own", temperature=4.0)))
    for number, name in enumerate(network.SHIPPED, 1):
        scenes.write_network(tmp_path / "weights" / name, temperature=float(number))
    assert [network.load_model(name).temperature for name in ("crowd", "labels", None)] == [1, 2, 4]
    assert network.load_model(tmp_path / "own") is network.load_model()
    monkeypatch.delenv("FERLIB_WEIGHTS")
    assert network.load_model().temperature == 1
    for name in ("lables", "x" * 300):  # the system does not even look for the second
        with pytest.raises(FerlibError, match=rf"{name}.network.onnx is missing.*crowd or labels"):
            network.load_model(name)


def test_predicting_needs_none_of_the_heavy_packages(tmp_path):
    scenes.write_network(tmp_path)
    code = """
import sys, ferlib
assert not {"numpy", "cv2", "onnxruntime"} & set(sys.modules), "importing ferlib alone loads nothing"
import numpy
ferlib.predict(numpy.zeros((120, 160, 3), "uint8"))
from ferlib.live import files, webcam
print(*{name.split(".")[0] for name in sys.modules})
"""
    environment = {**os.environ, "FERLIB_WEIGHTS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert not {"keras", "tensorflow", "pandas", "matplotlib", "scipy", "sklearn"} & set(done.stdout.split())


@pytest.mark.parametrize("name", ["crowd", pytest.param("labels", marks=pytest.mark.slow)])
def test_a_shipped_network_is_small_and_reads_what_its_record_says(name, real_dataset):
    loaded, valid = network.load_model(name), real_dataset.valid
    assert (network.weights_folder(name) / network.GRAPH).stat().st_size < 2e6
    predicted, seen = loaded.probabilities(valid.images).argmax(axis=1), votes.majority(votes.of(valid))
    source = loaded.metadata["source"]
    assert (predicted == valid.labels).mean() == pytest.approx(source["valid_accuracy"], abs=2e-3)
    assert (predicted == seen)[seen >= 0].mean() == pytest.approx(source["crowd_accuracy"], abs=2e-3)
    assert source["crowd_accuracy"] > (0.8 if name == "crowd" else 0.65)
