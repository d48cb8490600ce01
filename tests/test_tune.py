import inspect
import re
import sys
from dataclasses import replace

import made_up
import optuna
import pytest

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.tools import tune
from ferlib.train import models, trainer
from ferlib.train.experiments import EXPERIMENTS, Experiment

EPOCHS = 10


@pytest.fixture
def row(monkeypatch):
    small = {"images": 32, "valid_images": 32, "batch_size": 32, "epochs": EPOCHS, "patience": None}
    row = Experiment(
        *("tiny", "tests", "tiny", "shallow_cnn"),
        (("dropout", 0.25), ("width", 0.05)),
        **small | {"policy": "light", "weight_decay": 1e-3},
    )
    monkeypatch.setitem(EXPERIMENTS, "tiny", row)
    return row


class Made:
    """Instead of a training: the better the nearer the learning rate is to 1e-3."""

    def __init__(self, row):
        self.row, self.history = row, []
        self.accuracy = 1 - abs(row.learning_rate - 1e-3) * 50

    @property
    def finished(self):
        return len(self.history) == EPOCHS

    def epoch(self):
        self.history.append({"epoch": len(self.history) + 1, "valid_accuracy": self.accuracy})
        return self.history[-1]


@pytest.fixture
def trained(row, monkeypatch):
    """What was trained, in the order of the trials."""
    made = []
    monkeypatch.setattr(trainer, "start", lambda row, *_: made.append(Made(row)) or made[-1])
    return made


def search(dataset, id="tiny", trials=1, storage=None):
    return tune.tune(id, dataset, trials=trials, storage=storage, profile="full")


def studies():
    storage = tune._storage(optuna, None)
    names = optuna.get_all_study_names(storage)
    return [optuna.load_study(study_name=name, storage=storage) for name in names]


def test_a_real_study_reads_no_test_split_and_goes_on(row, demo_dataset, capsys):
    dataset = replace(demo_dataset, test=made_up.Poison())
    EXPERIMENTS["tiny"] = replace(row, epochs=1, model="logistic", switches=(), policy="none")
    search(dataset)
    assert "the best of 2 trials" in search(dataset)
    (study,) = studies()
    assert set(study.trials[1].params) == {"learning_rate", "weight_decay"}, "no dropout, no augmentation"
    errors = capsys.readouterr().err
    assert "trial 0: PublicTest" in errors and "trial 1: PublicTest" in errors
    search(replace(dataset, fingerprint="0" * 64))
    EXPERIMENTS["tiny"] = replace(EXPERIMENTS["tiny"], epochs=2)
    search(dataset)
    assert len(studies()) == 3, "other data or rows are other studies"


def test_own_settings_come_first_the_rest_lies_in_range_and_the_best_are_told_as_a_row(
    row, demo_dataset, trained
):
    told = search(demo_dataset, trials=8)
    rows = [made.row for made in trained]
    assert rows[0] == row
    for changed in rows[1:]:
        switches = dict(changed.switches)
        assert row.learning_rate / 10 <= changed.learning_rate <= row.learning_rate * 10
        assert tune.WEIGHT_DECAY[0] <= changed.weight_decay <= tune.WEIGHT_DECAY[1]
        assert 0 <= switches["dropout"] <= 0.7 and switches["width"] == 0.05
        assert 0 <= changed.strength <= 2
        assert changed.epochs == row.epochs and changed.policy == row.policy
    assert len({changed.learning_rate for changed in rows}) == 8
    best = max(trained, key=lambda made: made.accuracy)
    assert eval(told) == best.row
    assert f"PublicTest {best.accuracy:.1%}, the best of 8 trials" in told


def test_own_settings_come_first_after_an_interrupted_trial_too(row, demo_dataset, trained, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(tune, "_accuracy", interrupted)
        search(demo_dataset)
    search(demo_dataset)
    assert [made.row for made in trained] == [row]


def test_a_row_that_others_teach_is_not_tuned(demo_dataset):
    with pytest.raises(FerlibError, match="tune lean_crowd in its place"):
        search(demo_dataset, "lean_crowd_distilled")


@pytest.mark.parametrize("model", ["shallow_cnn", "mobilenet"])
def test_settings_that_a_row_leaves_to_its_network_come_first_too(row, demo_dataset, trained, model):
    """The row says nothing of dropout, nor does it have weight decay."""
    EXPERIMENTS["tiny"] = replace(row, model=model, switches=(), weight_decay=0.0)
    search(demo_dataset)
    first = trained[0].row
    default = inspect.signature(models.MODELS[model]).parameters["dropout"].default
    assert dict(first.switches) == {"dropout": default}
    assert first.weight_decay == tune.WEIGHT_DECAY[0]
    assert (first.learning_rate, first.strength) == (row.learning_rate, row.strength)


def test_poor_trials_end_early(demo_dataset, trained):
    """Five trials are drawn; of the later ones those below the median end after a fifth of the epochs."""
    search(demo_dataset, trials=25)
    epochs = [len(made.history) for made in trained]
    assert epochs[: tune.STARTUP_TRIALS] == [EPOCHS] * tune.STARTUP_TRIALS
    assert EPOCHS // 5 <= min(epochs) < EPOCHS


def test_a_database_serves_as_well(demo_dataset, trained, tmp_path):
    """As PostgreSQL does for many machines; the second command adds to the first one's study."""
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    search(demo_dataset, trials=2, storage=url)
    assert "the best of 4 trials" in search(demo_dataset, trials=2, storage=url)
    assert not (paths.runs() / "tune").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [("oracle9://nowhere", "oracle9"), ("postgresql+psycopg2://somebody@127.0.0.1/studies", "psycopg2")],
)
def test_a_storage_without_its_driver_is_told(row, demo_dataset, monkeypatch, url, reason):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(FerlibError, match=rf"the storage {re.escape(url)} can't be opened: .*{reason}"):
        search(demo_dataset, storage=url)
