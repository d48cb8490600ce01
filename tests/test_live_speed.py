import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import scenes

from ferlib import cli, paths
from ferlib.data import fer2013, votes
from ferlib.labels import FerlibError
from ferlib.live.network import load_model
from ferlib.tools import live_speed

PHOTO = scenes.scene([(scenes.face("happy"), (240, 160, 150, 150))])


@pytest.fixture
def own_network(tmp_path, monkeypatch):
    monkeypatch.setenv("FERLIB_WEIGHTS", str(scenes.write_network(tmp_path / "network")))


def test_every_stage_of_the_live_view_is_timed(network):
    table = live_speed.latencies(network, PHOTO, frames=20)
    assert table.loc["detection", "frames"] == 20
    kinds = table.loc[["detection, whole picture", "detection, around known faces"], "frames"]
    assert kinds.sum() == 20 and 2 <= kinds.iloc[0] < kinds.iloc[1]
    assert (table["p50"] > 0).all() and (table["p95"] >= table["p50"]).all()
    parts = table.loc[["detection", "network", "detection and network"], "mean"]
    assert parts.iloc[0] + parts.iloc[1] == pytest.approx(parts.iloc[2])
    assert table.loc["all", "p50"] >= table.loc["network", "p50"]


def test_a_fresh_process_answers_soon(own_network):
    measured = live_speed.start_up(PHOTO, frames=3)
    assert measured["faces"] == 1
    assert 0 < measured["first answer, s"] < 20 and measured["a 640x480 frame, ms"] > 0
    assert 50 < measured["memory, MB"] < 600, "neither TensorFlow nor pandas was loaded"


def test_a_measured_process_that_fails_says_why(tmp_path):
    with pytest.raises(FerlibError, match="no trained network"):
        live_speed.start_up(PHOTO, tmp_path, frames=1)


FAKE = """
import numpy as np

class FER:
    def detect_emotions(self, picture):
        assert picture.shape == (480, 640, 3)
        return [{"box": (0, 0, 9, 9)}]

    def _classify_emotions(self, faces):
        assert faces.shape[1:] == (64, 64) and faces.dtype == "float32"
        assert -1 <= faces.min() < 0 < faces.max() <= 1
        return np.eye(7)[np.full(len(faces), 3)]
"""
"""A package that finds everybody happy."""


@pytest.fixture
def install(tmp_path, monkeypatch):
    def install(code):
        package, about = tmp_path / "fer", tmp_path / "fer-1.2.3.dist-info"
        for folder in (package, about):
            folder.mkdir()
        (package / "fer.py").write_text(code)
        (about / "METADATA").write_text("Name: fer\nVersion: 1.2.3\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    return install


def test_beside_fer_the_better_has_the_larger_ratio(own_network, demo_dataset, install):
    install(FAKE)
    cast = votes.of(demo_dataset.valid).copy()
    cast[:5] = cast[:5, ::-1] + cast[:5]  # no answer leads
    split = replace(demo_dataset.valid, votes=cast)
    table = live_speed.live(split, PHOTO, quick=True)
    predicted = load_model().probabilities(split.images).argmax(axis=1)
    seen = votes.majority(votes.of(split))
    for truth, of in (("its labels", split.labels), ("ten people", seen)):
        accuracy = table.loc[f"accuracy on PublicTest, by {truth}"]
        assert accuracy["ferlib"] == pytest.approx((predicted == of)[of >= 0].mean())
        assert accuracy["fer"] == pytest.approx((of[of >= 0] == 3).mean())
    assert (seen < 0).any(), "some images have no answer of the people"
    for measure, row in table.iterrows():
        more = row["ferlib"] / row["fer"]
        less_is_better = measure.startswith(("start", "memory"))
        assert row["ratio"] == pytest.approx(1 / more if less_is_better else more)
    assert table.loc["frames a second, camera", "fer"] == table.loc["photos a second, one by one", "fer"]
    assert len(table) == 8 and (table[["ferlib", "fer"]] > 0).all(axis=None)
    assert (table["fer_version"] == "1.2.3").all() and (table["images"] == len(split)).all()
    text = live_speed.describe(table)
    assert "84 crops" in text and "fer 1.2.3" in text and "nan" not in text
    assert all(measure in text for measure in table.index)


def test_the_readme_shows_the_table_of_the_record():
    root = Path(__file__).parent.parent
    told = (root / "README.md").read_text()
    table = pd.read_csv(root / "reports" / "record" / "live.csv", index_col="measure")
    for measure, row in table.iterrows():
        assert f"| {measure} | {row['ferlib']:.3g} | {row['fer']:.3g} | {row['ratio']:.3g} |" in told
    label = table.filter(like="by its labels", axis="index")
    labels = load_model("labels").metadata["source"]["valid_accuracy"]
    assert label["ferlib"].item() < label["fer"].item() < labels, "as the README says above the table"


def test_without_fer_one_learns_how_to_install_it(own_network, demo_dataset, install):
    install("import moviepy_that_nobody_has")
    told = r"(?s)moviepy_that_nobody_has.*--no-deps fer.*bench --live --fer fer-env"
    with pytest.raises(FerlibError, match=told):
        live_speed.live(demo_dataset.valid, PHOTO)


def test_the_command_measures_beside_fer(demo_dataset, bench_data, monkeypatch, capsys):
    assert cli.main(["bench", "--live", "--quick", "--fer", "nowhere/python"]) == 1
    assert "nowhere/python cannot be started" in capsys.readouterr().err
    assert cli.main(["bench", "--faces", "--fer", "fer-env/bin/python"]) == 1
    assert "--fer fer-env/bin/python is for --live alone" in capsys.readouterr().err
    table = pd.DataFrame({"ferlib": [1.0], "fer": 2.0, "ratio": 0.5}, pd.Index(["speed"], name="measure"))

    def live(split, picture, fer, quick):
        assert split is demo_dataset.valid and picture.shape == (480, 640, 3)
        assert fer is None and not quick
        return table.assign(fer_version="1", images=3, hardware="a machine")

    monkeypatch.setattr(live_speed, "live", live)
    assert cli.main(["bench", "--live", "--save"]) == 0
    told = capsys.readouterr().out
    assert "speed" in told and "a machine" in told and "live.csv" in told
    assert pd.read_csv(paths.record() / "live.csv")["ratio"].tolist() == [0.5]


def test_what_cannot_be_kept_is_told_before_anything_is_measured(
    demo_dataset, bench_data, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(live_speed, "live", lambda *given, **named: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FERLIB_RECORD", str(tmp_path / "file"))
    assert cli.main(["bench", "--live", "--save"]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
    monkeypatch.setattr(fer2013, "load", lambda source: demo_dataset)
    assert cli.main(["bench", "--live", "--save"]) == 1
    assert "not on drawn faces" in capsys.readouterr().err
