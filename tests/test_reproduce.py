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


def differing(found):
    return found.loc[~found["same"], ["what", "of"]].to_numpy().tolist()


def test_an_honest_record_is_the_same(recorded):
    found = checked(recorded[0])
    assert found["same"].all()
    shipped = ["shipped lean, PublicTest", "shipped lean, PrivateTest"]
    assert found["what"].tolist() == ["deep_both, seed 0 (full)", "lean, seed 0 (full)", *shipped]
    assert reproduce.describe(found).endswith("4 of 4 are the same")


def test_a_figure_that_was_changed_by_hand_is_found(recorded):
    table = paths.record() / "results.csv"
    results = pd.read_csv(table, dtype={"key": str})
    results.loc[results["experiment"] == "lean", "macro_f1"] += 1e-4
    results.to_csv(table, index=False)
    found = checked(recorded[0])
    assert differing(found) == [["lean, seed 0 (full)", "macro_f1"]]
    assert found.loc[~found["same"], "difference"].item() == pytest.approx(1e-4)
    assert "differs" in reproduce.describe(found)


def test_a_network_that_answers_otherwise_or_whose_run_is_not_recorded_is_told(recorded):
    splits = ("PublicTest", "PrivateTest")
    other = checked(recorded[0], off=0.05)
    assert differing(other) == [[f"shipped lean, {split}", "probability"] for split in splits]
    missing = checked(replace(recorded[0], seed=7))
    assert differing(missing) == [["shipped lean", "its run is not in the record"]]
    assert reproduce.describe(missing).endswith("2 of 3 are the same")


def test_weights_in_the_record_predict_again(recorded, monkeypatch):
    monkeypatch.setattr(Run, "weights", property(lambda self: self.experiment.id == "lean" or None))
    monkeypatch.setattr(Run, "model", lambda self: None)
    again = metrics.with_temperature(recorded[0].valid, 1.5)
    monkeypatch.setattr(reproduce.predicting, "predict", lambda network, split: again)
    assert differing(checked(recorded[0])) == [["weights of lean, PublicTest", "probability"]]


def test_nothing_recorded_is_told():
    with pytest.raises(FerlibError, match="no run of these images"):
        reproduce.reproduce(made_up.dataset(), made_up.Audit(), [])
