from dataclasses import replace

import made_up
import pandas as pd
import pytest

from ferlib import paths
from ferlib.evaluate import metrics, private_test
from ferlib.labels import FerlibError
from ferlib.tools import reproduce
from ferlib.train import record
from ferlib.train.record import Run, rounded


class Shipped:
    """Answers as the run that was exported did, within `off`."""

    temperature = 1.0

    def __init__(self, run, off=0.0):
        self.metadata = {"source": run.result | {"seed": run.seed}}
        self._answers, self._off = [run.valid, run.test], off

    def probabilities(self, images):
        return self._answers.pop(0).probabilities + self._off


@pytest.fixture
def recorded():
    images, runs = len(made_up.dataset().test), []
    for id in ("lean", "deep_both"):
        run = made_up.run(id, images=images)
        parts = {part: rounded(getattr(run, part)) for part in ("valid", "test", "test_tta")}  # as kept
        run = replace(run, **parts)
        figures = private_test.figures(run, made_up.dataset(), made_up.Audit())
        runs.append(replace(run, result=run.result | figures))
    record.publish(runs)
    return runs


def checked(*runs, **options):
    shipped = [Shipped(run, **options) for run in runs]
    return reproduce.reproduce(made_up.dataset(), made_up.Audit(), shipped)


def test_an_honest_record_is_the_same(recorded):
    found = checked(*recorded)
    assert found["same"].all()
    shipped = [
        f"shipped {id}, {split}" for id in ("lean", "deep_both") for split in ("PublicTest", "PrivateTest")
    ]
    assert found["what"].tolist() == ["deep_both, seed 0 (full)", "lean, seed 0 (full)", *shipped]
    assert reproduce.describe(found).endswith("6 of 6 are the same")


def test_a_figure_that_was_changed_by_hand_is_found(recorded):
    table = paths.record() / "results.csv"
    results = pd.read_csv(table, dtype={"key": str})
    results.loc[results["experiment"] == "lean", "macro_f1"] += 1e-4
    results.to_csv(table, index=False)
    wrong = checked(recorded[0]).query("not same")
    assert wrong[["what", "of"]].to_numpy().tolist() == [["lean, seed 0 (full)", "macro_f1"]]
    assert wrong["difference"].item() == pytest.approx(1e-4)
    assert "differs" in reproduce.describe(checked(recorded[0]))


def test_a_network_that_answers_otherwise_is_found(recorded):
    found = checked(recorded[0], off=0.05)
    assert found.set_index("what")["same"].to_dict() == {
        "deep_both, seed 0 (full)": True,
        "lean, seed 0 (full)": True,
        "shipped lean, PublicTest": False,
        "shipped lean, PrivateTest": False,
    }


def test_a_network_whose_run_is_not_recorded_is_told_and_counts_as_different(recorded):
    found = checked(replace(recorded[0], seed=7))
    missing = found[found["what"].str.startswith("shipped")]
    assert missing[["what", "of", "same"]].to_numpy().tolist() == [
        ["shipped lean", "its run is not in the record", False]
    ]
    assert reproduce.describe(found).endswith("2 of 3 are the same")


def test_weights_in_the_record_predict_again(recorded, monkeypatch):
    monkeypatch.setattr(Run, "weights", property(lambda self: self.experiment.id == "lean" or None))
    monkeypatch.setattr(Run, "model", lambda self: None)
    again = metrics.with_temperature(recorded[0].valid, 1.5)
    monkeypatch.setattr(reproduce.predicting, "predict", lambda network, split: again)
    wrong = checked(recorded[0]).query("not same")
    assert wrong["what"].tolist() == ["weights of lean, PublicTest"]


def test_nothing_recorded_is_told():
    with pytest.raises(FerlibError, match="no run of these images"):
        reproduce.reproduce(made_up.dataset(), made_up.Audit(), [])
