import re
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from ferlib.data import fer2013
from ferlib.evaluate import summary
from ferlib.tools import training_speed
from ferlib.train import experiments
from ferlib.train.experiments import EXPERIMENTS

ALTERNATIVES = {
    *("a plain Keras fit", "Keras' layers stacked"),
    *("Pillow", "image_dataset_from_directory", "pandas"),
    *(("PyTorch",) if find_spec("torch") else ()),
}


@pytest.fixture(scope="module")
def measured(demo_dataset):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_speed, "NETWORKS", ["prior"])
        return training_speed.run(demo_dataset, quick=True)


def test_every_part_but_the_race_is_measured_beside_its_alternatives(measured):
    assert list(measured.columns[:7]) == list(training_speed.COLUMNS)
    assert set(measured["part"]) == {"networks", "latency", "reading", "augmentation"}, "a race is long"
    assert set(measured["against"]) == ALTERNATIVES | {""}
    assert (measured["value"] > 0).all() and measured["device"].nunique() == 1
    compared = measured[measured["against"] != ""]
    np.testing.assert_allclose(compared["ratio"], compared["value"] / compared["other"])
    assert measured.loc[measured["against"] == "", ["other", "ratio"]].isna().all(axis=None)
    cached = measured[measured["task"] == "read from the cache"]
    assert (cached["ratio"] > 1).all(), "the cache is there to be faster"
    latency = measured[measured["part"] == "latency"]
    assert latency[["task", "unit"]].to_numpy().tolist() == [["one image with prior", "ms"]], "once a network"
    text = training_speed.describe(measured)
    assert len(re.findall(" images/s| ms", text)) == len(measured) and "nan" not in text
    assert "tensorflow" in text.splitlines()[-1]


def test_saving_again_replaces_tasks_of_the_same_device(measured):
    training_speed.save(measured)
    latency = measured["value"][measured["part"] == "latency"].item()
    assert summary.milliseconds()["prior"] == pytest.approx(latency)
    kept = pd.read_csv(training_speed.save(measured.assign(value=1.0).head(2)))
    assert len(kept) == len(measured) and (kept["value"] == 1).sum() == 2
    assert len(pd.read_csv(training_speed.save(measured.assign(device="other")))) == 2 * len(measured)


def test_medians_leave_the_warm_up_out_and_take_turns():
    calls = []
    slow_start = iter([9.0, 1.0, 2.0, 30.0])
    tasks = {"own": lambda: next(slow_start), "other": lambda: calls.append("other")}
    found = training_speed._seconds(tasks, 3)
    assert found["own"] == 2.0 and 0 < found["other"] < 1 and len(calls) == 4
    slow_start = iter([0.5, 1.0, 2.0, 30.0])
    assert training_speed._seconds({"own": lambda: next(slow_start)}, 3, min) == {"own": 1.0}


def test_seconds_to_an_accuracy():
    told = pd.DataFrame({"valid_accuracy": [0.5, 0.6, 0.72, 0.7], "seconds": [60.0, 2.0, 3.0, 2.0]})
    assert training_speed._seconds_to(told, 0.6) == 4.0, "the first epoch compiles and counts as a usual one"
    assert training_speed._seconds_to(told, 0.7) == 7.0
    assert training_speed._seconds_to(told, 0.73) == np.inf


class Racer:
    """A training of 50 seconds for its first epoch and 4 for each later one, whose accuracy rises."""

    def __init__(self, row):
        self.row, self.history = row, []

    @property
    def finished(self):
        return len(self.history) == self.row.epochs

    def epoch(self):
        seconds, accuracy = 4.0 if self.history else 50.0, 0.4 + 0.1 * len(self.history)
        self.history.append({"valid_accuracy": accuracy, "seconds": seconds})
        return self.history[-1]


@pytest.mark.parametrize(("device", "quick"), [("GPU", False), ("processor", True)])
def test_networks_race_until_they_are_good_enough(demo_dataset, monkeypatch, device, quick):
    run = []
    monkeypatch.setattr(training_speed.machine, "gpus", lambda: ["one"] if device == "GPU" else [])
    monkeypatch.setattr(training_speed.trainer, "start", lambda row, *_: run.append(Racer(row)) or run[-1])
    monkeypatch.setattr(training_speed.machine, "name", lambda: "some device")
    raced = training_speed.run(demo_dataset, race=True, quick=quick)
    races = training_speed.RACES[device]
    for racer, seconds, (id, accuracy, epochs, _) in zip(run, raced["value"], races, strict=True):
        planned = replace(EXPERIMENTS[id], epochs=epochs)
        assert racer.row == experiments.at(planned, "quick" if quick else "full")
        assert epochs <= EXPERIMENTS[id].epochs, "racers run no longer than their rows"
        needed = 1 + int(np.ceil((accuracy - 0.4) / 0.1 - 1e-9))
        assert len(racer.history) == min(needed, racer.row.epochs), "nobody runs on behind the line"
        assert seconds == (4.0 * needed if needed <= racer.row.epochs else np.inf)
    assert raced["other"].tolist() == [limit for *_, limit in races]
    assert set(raced["unit"]) == {"s"}


def test_images_written_are_read_back_in_every_way(demo_dataset, tmp_path):
    some = fer2013.subset(demo_dataset.train, 210, 0)
    ways = training_speed._ways_to_read(some, tmp_path)
    for name, read in ways.items():
        assert len(read()) == 210 and read()[0].size == 48 * 48, name
    assert [len(split) for split in fer2013.load(tmp_path / "archive.zip").splits] == [106, 52, 52]
