from dataclasses import replace

import made_up
import pytest

from ferlib.tools import matrix
from ferlib.train import experiments, machine, record
from ferlib.train.experiments import EXPERIMENTS


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    """A device that needs 2 s to compile and makes 10 billion computations a second."""
    monkeypatch.setattr(matrix, "_trial", lambda: (2.0, 1e10))
    monkeypatch.setattr(matrix.trainer, "has_gpu", lambda: False)


def planned(ids, profile="full", seeds=(0,)):
    return matrix.plan(ids, seeds, profile, made_up.dataset()).set_index(["experiment", "seed"])


def test_states():
    made_up.saved(made_up.run("deep_plain"))
    record.publish([made_up.run("shallow_plain")])
    table = planned(["deep_plain", "shallow_plain", "logistic"], "auto", seeds=(0, 1))
    missing = "to train"
    assert table["state"].tolist() == ["finished", missing, "recorded", missing, missing, missing]
    assert table.loc[("logistic", 0), "profile"] == "quick"
    assert (table["seconds"] > 0).tolist() == (table["state"] == "to train").tolist()


def test_teachers_take_time_too():
    table = planned(["lean_distilled"])
    assert list(table.index) == [("lean", 0), ("lean", 1), ("lean", 2), ("lean_distilled", 0)]
    assert (table["seconds"] > 0).all()
    record.publish([made_up.run("lean")])
    again = planned(["lean_distilled"], "auto")
    assert list(again.index) == list(table.index) and set(again["state"]) == {"to train"}
    assert set(again["profile"]) == {"quick"}, "teachers of the scale of their pupil"


def test_time_follows_from_computations_of_which_a_frozen_backbone_takes_one_pass():
    seconds = planned(["deep_plain"])["seconds"].item()
    work = 3 * matrix._macs("deep_cnn", ()) * len(made_up.dataset().train) * EXPERIMENTS["deep_plain"].epochs
    assert seconds == pytest.approx(2 + work / 1e10)
    quick = experiments.at(EXPERIMENTS["deep_plain"], "quick")
    assert matrix._computations(quick, 28_709, 1) == 3 * matrix._macs("deep_cnn", ()) * quick.images
    frozen, tuned = EXPERIMENTS["mobilenet_frozen"], EXPERIMENTS["mobilenet_finetuned"]
    few, many = (matrix._computations(frozen, 100, epochs) for epochs in (1, 50))
    assert few == many < matrix._computations(tuned, 100, 1) / 2


def test_finished_runs_tell_the_time(monkeypatch):
    monkeypatch.setattr(machine, "name", lambda: "some GPU")  # where made-up runs were made
    run = made_up.run("deep_plain", train_seconds=123.0)
    run = replace(run, history=run.history.assign(seconds=[5.0] + [2.0] * 9))
    made_up.saved(run)
    table = planned(["deep_plain", "shallow_plain"], seeds=(0, 1))
    assert table.loc[("deep_plain", 1), "seconds"] == 123.0, "as long as the other seed"
    per_second = 3 * matrix._macs("deep_cnn", ()) * 120 / 2.0
    work = matrix._computations(EXPERIMENTS["shallow_plain"], 120, EXPERIMENTS["shallow_plain"].epochs)
    assert table.loc[("shallow_plain", 1), "seconds"] == pytest.approx(3 + work / per_second)


@pytest.mark.parametrize(("device", "sharing"), [("some GPU", 3), ("another", 1)])
def test_runs_that_shared_the_device_or_were_made_on_another_tell_nothing(monkeypatch, device, sharing):
    monkeypatch.setattr(machine, "name", lambda: device)  # that of made-up runs is some GPU
    made_up.saved(made_up.run("deep_plain", train_seconds=123.0, sharing=sharing))
    assert planned(["deep_plain"], seeds=(1,))["seconds"].item() != 123.0


def test_description_sums_up():
    made_up.saved(made_up.run("deep_plain"))
    table = matrix.plan(["deep_plain", "logistic"], (0,), "full", made_up.dataset())
    text = matrix.describe_plan(table.assign(seconds=[0.0, 600.0]))
    assert "finished" in text and "10 min" in text
    assert text.splitlines()[-1].startswith("1 of 2 runs to train, about 10 min on ")
    assert [matrix._duration(s) for s in (8, 100, 7200)] == ["8 s", "2 min", "2.0 h"]
