import numpy as np
import pytest
import scenes

from ferlib import bench
from ferlib.labels import FerlibError
from ferlib.network import load_model

PHOTO = scenes.scene([(scenes.face("happy"), (240, 160, 150, 150))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return scenes.write_network(tmp_path_factory.mktemp("network"))


def test_every_stage_of_the_live_view_is_timed(folder):
    table = bench.latencies(load_model(folder), PHOTO, frames=20)
    assert table.loc["detection", "frames"] == 20
    kinds = table.loc[["detection, whole picture", "detection, around known faces"], "frames"]
    assert kinds.sum() == 20 and 2 <= kinds.iloc[0] < kinds.iloc[1]
    assert (table["p50"] > 0).all() and (table["p95"] >= table["p50"]).all()
    assert table.loc["all", "p50"] >= table.loc["network", "p50"]


def test_a_fresh_process_answers_soon(folder):
    measured = bench.start_up(PHOTO, folder, frames=3)
    assert 0 < measured["first answer, s"] < 20 and measured["a 640x480 frame, ms"] > 0
    assert 50 < measured["memory, MB"] < 600, "neither TensorFlow nor pandas was loaded"


def test_a_measured_process_that_fails_says_why(tmp_path):
    with pytest.raises(FerlibError, match="no trained network"):
        bench.start_up(PHOTO, tmp_path, frames=1)


def test_beside_fer_the_better_has_the_larger_ratio(folder, demo_dataset, monkeypatch):
    ours = {"first answer, s": 0.71, "a 640x480 frame, ms": 126.0, "memory, MB": 694.0}
    monkeypatch.setattr(bench, "start_up", lambda *_: dict(ours))
    table = bench.live(demo_dataset, PHOTO, folder)
    assert table.loc["first answer, s", "ratio"] == pytest.approx(10)
    assert table.loc["a 640x480 frame, ms", "ratio"] == pytest.approx(0.5)
    predicted = load_model(folder).probabilities(demo_dataset.valid.images).argmax(axis=1)
    accuracy = (predicted == demo_dataset.valid.labels).mean()
    row = table.loc["accuracy on PublicTest"]
    assert row["ferlib"] == pytest.approx(accuracy) and row["ratio"] == pytest.approx(accuracy / row["fer"])
    text = bench.describe(table)
    assert "on two cores elsewhere" in text and "nan" not in text


def test_where_fer_is_installed_it_is_measured(folder, demo_dataset, monkeypatch):
    asked = []

    def measure(prepare, *_):
        asked.append(prepare)
        return {"first answer, s": 3.0, "a 640x480 frame, ms": 50.0, "memory, MB": 500.0}

    monkeypatch.setattr(bench, "_in_fresh_process", measure)
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: name == "fer")
    monkeypatch.setattr(bench, "_accuracy_of_fer", lambda dataset: 0.5)
    table = bench.live(demo_dataset, PHOTO, folder)
    assert asked == [bench._OURS, bench._FER] and (table["fer_measured"] == "here").all()
    assert np.isclose(table.loc["accuracy on PublicTest", "fer"], 0.5)
    assert "on this machine" in bench.describe(table)
