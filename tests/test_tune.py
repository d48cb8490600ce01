import inspect
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


@pytest.fixture
def trained(monkeypatch):
    """Rows in the order of their trials; instead of training, the better the nearer the rate is to 1e-3."""
    rows, epochs = [], []

    class Made:
        def __init__(self, row, seed, dataset):
            rows.append(row)
            epochs.append(0)
            self.history = []

        @property
        def finished(self):
            return len(self.history) == EPOCHS

        def epoch(self):
            epochs[-1] += 1
            self.history.append({"epoch": epochs[-1], "valid_accuracy": accuracy(rows[-1])})
            return self.history[-1]

    monkeypatch.setattr(trainer, "start", Made)
    return rows, epochs


def accuracy(row):
    return 1 - abs(row.learning_rate - 1e-3) * 50


def study(url=None):
    storage = tune._storage(optuna, url)
    return optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)


def test_a_real_study_reads_no_test_split_and_goes_on(row, demo_dataset, capsys):
    dataset = replace(demo_dataset, test=made_up.Poison())
    EXPERIMENTS["tiny"] = replace(row, epochs=1, model="logistic", switches=(), policy="none")
    tune.tune("tiny", dataset, trials=1, profile="full")
    text = tune.tune("tiny", dataset, trials=1, profile="full")
    assert "the best of 2 trials" in text
    assert len(study().trials) == 2
    assert set(study().trials[1].params) == {"learning_rate", "weight_decay"}, "no dropout, no augmentation"
    errors = capsys.readouterr().err
    assert "trial 0: PublicTest" in errors and "trial 1: PublicTest" in errors
    assert list((paths.runs() / "tune").iterdir()), "the study is kept in a file"
    tune.tune("tiny", replace(dataset, fingerprint="0" * 64), trials=1, profile="full")
    EXPERIMENTS["tiny"] = replace(EXPERIMENTS["tiny"], epochs=2)
    tune.tune("tiny", dataset, trials=1, profile="full")
    names = optuna.get_all_study_names(tune._storage(optuna, None))
    assert len(names) == 3, "other data or rows are other studies"


def test_own_settings_come_first_and_the_rest_lies_in_range(row, demo_dataset, trained):
    tune.tune("tiny", demo_dataset, trials=6, profile="full")
    rows, _ = trained
    assert rows[0] == row
    for changed in rows[1:]:
        switches = dict(changed.switches)
        assert row.learning_rate / 10 <= changed.learning_rate <= row.learning_rate * 10
        assert tune.WEIGHT_DECAY[0] <= changed.weight_decay <= tune.WEIGHT_DECAY[1]
        assert 0 <= switches["dropout"] <= 0.7 and switches["width"] == 0.05
        assert 0 <= changed.strength <= 2
        assert changed.epochs == row.epochs and changed.policy == row.policy
    assert len({changed.learning_rate for changed in rows}) == 6


def test_own_settings_come_first_after_an_interrupted_trial_too(row, demo_dataset, trained, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(tune, "_accuracy", interrupted)
        tune.tune("tiny", demo_dataset, trials=1, profile="full")
    tune.tune("tiny", demo_dataset, trials=1, profile="full")
    assert trained[0] == [row]


def test_a_row_that_others_teach_is_not_tuned(demo_dataset):
    with pytest.raises(FerlibError, match="tune lean_crowd in its place"):
        tune.tune("lean_crowd_distilled", demo_dataset, trials=1)


@pytest.mark.parametrize("model", ["deep_cnn", "shallow_cnn", "mobilenet"])
def test_settings_that_a_row_leaves_to_its_network_come_first_too(row, demo_dataset, trained, model):
    """The row says nothing of dropout, nor does it have weight decay."""
    EXPERIMENTS["tiny"] = replace(row, model=model, switches=(), weight_decay=0.0)
    tune.tune("tiny", demo_dataset, trials=1, profile="full")
    (first,) = trained[0]
    default = inspect.signature(models.MODELS[model]).parameters["dropout"].default
    assert dict(first.switches) == {"dropout": default}
    assert first.weight_decay == tune.WEIGHT_DECAY[0]
    assert (first.learning_rate, first.strength) == (row.learning_rate, row.strength)


def test_poor_trials_end_early(row, demo_dataset, trained):
    """Five trials are drawn; of the later ones those below the median end after a fifth of the epochs."""
    tune.tune("tiny", demo_dataset, trials=25, profile="full")
    _, epochs = trained
    assert epochs[: tune.STARTUP_TRIALS] == [EPOCHS] * tune.STARTUP_TRIALS
    states = [trial.state.name for trial in study().trials]
    assert "PRUNED" in states
    for count, state in zip(epochs, states, strict=True):
        assert count == EPOCHS if state == "COMPLETE" else EPOCHS // 5 <= count < EPOCHS


def test_the_answer_is_a_row_with_the_best_settings(row, demo_dataset, trained):
    text = tune.tune("tiny", demo_dataset, trials=8, profile="full")
    best = max(trained[0], key=accuracy)
    assert eval(text) == best
    assert f"PublicTest {accuracy(best):.1%}, the best of 8 trials" in text


def test_a_database_serves_as_well(row, demo_dataset, trained, tmp_path):
    """As PostgreSQL does for many machines; the second command adds to the first one's study."""
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    for _ in range(2):
        text = tune.tune("tiny", demo_dataset, trials=2, storage=url, profile="full")
    assert "the best of 4 trials" in text
    assert not (paths.runs() / "tune").exists()


@pytest.mark.parametrize(
    ("scheme", "driver", "package"),
    [
        ("postgresql", "psycopg", r"psycopg\[binary\]"),
        ("postgresql+psycopg2", "psycopg2", "psycopg2-binary"),
        ("postgresql+asyncpg", "asyncpg", "asyncpg"),
    ],
)
def test_a_missing_driver_is_told(row, demo_dataset, monkeypatch, scheme, driver, package):
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(FerlibError, match=f"can't be opened: .*pip install '{package}'"):
        tune.tune("tiny", demo_dataset, storage=f"{scheme}://somebody@127.0.0.1/studies")


def test_a_broken_storage_and_a_missing_extra_are_told(row, demo_dataset, monkeypatch):
    with pytest.raises(FerlibError, match="storage oracle9://nowhere can't be opened"):
        tune.tune("tiny", demo_dataset, storage="oracle9://nowhere")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(FerlibError, match=r"pip install -e '\.\[tune\]"):
        tune.tune("tiny", demo_dataset)
