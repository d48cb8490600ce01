import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from distributed import LocalCluster

from ferlib import paths
from ferlib.data import demo, fer2013
from ferlib.labels import FerlibError
from ferlib.tools import matrix
from ferlib.train import record, trainer
from ferlib.train.experiments import EXPERIMENTS, Experiment


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Demo faces in a file, as workers need them."""
    return demo.write_zip(demo.faces((84, 70, 70)), tmp_path_factory.mktemp("cluster") / "faces.zip")


@pytest.fixture
def dataset(archive):
    return fer2013.load(archive)


@pytest.fixture
def rows(monkeypatch):
    """Three small rows."""
    small = {"images": 64, "valid_images": 32, "batch_size": 32, "epochs": 2, "patience": None}
    for id in ("first", "second", "third"):
        monkeypatch.setitem(EXPERIMENTS, id, Experiment(id, "tests", id, "logistic", **small))
    return ["first", "second", "third"]


@pytest.mark.slow
def test_workers_that_die_lose_nothing(dataset, rows, monkeypatch):
    """Two workers; both are killed once there is a run that has begun."""
    monkeypatch.setenv("FERLIB_CHECKPOINT_SECONDS", "0")  # for the workers
    killed, seen, long = [], {}, 12
    for id in rows:
        monkeypatch.setitem(EXPERIMENTS, id, replace(EXPERIMENTS[id], epochs=long))

    def kill():
        while not (checkpoints := list(paths.runs().rglob(trainer.CHECKPOINT))):
            time.sleep(0.02)
        with np.load(checkpoints[0]) as stored:
            seen[checkpoints[0].parents[2].name] = stored["history_seconds"]
        for child in psutil.Process().children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                killed.append(child.pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    runs = matrix.train_matrix(rows, [0], "full", dataset, workers=2)
    assert {run.result["sharing"] for run in runs} == {2}
    assert len(killed) == 2 and len(seen) == 1
    assert [run.experiment.id for run in runs] == rows
    for run in runs:
        assert len(run.history) == long and (run.directory / record.WEIGHTS_FILE).exists()
        before = seen.get(run.experiment.id, [])
        np.testing.assert_array_equal(run.history["seconds"][: len(before)], before)
    assert not list(paths.runs().rglob(trainer.CHECKPOINT))


def test_a_running_scheduler_takes_the_runs_and_what_fails_there_is_told(dataset, rows, capsys, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    options = {"processes": False, "n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as running:
        there = {"scheduler": running.scheduler_address}
        runs = matrix.train_matrix(rows[:1], [0, 1], "full", dataset, **there)
        monkeypatch.setattr(trainer, "train", fail)
        with pytest.raises(FerlibError, match="second seed 0 .* disk full"):
            matrix.train_matrix(["second"], [0], "full", dataset, **there)
    assert [(run.experiment.id, run.seed, run.origin) for run in runs] == [
        ("first", 0, "runs"),
        ("first", 1, "runs"),
    ]
    assert capsys.readouterr().err.count("first seed 1 (full): PublicTest") == 1


def test_training_does_what_was_planned(dataset, rows, monkeypatch):
    """With the profile "auto" and no GPU a finished full run serves; only the rest is trained."""
    monkeypatch.setattr(trainer, "has_gpu", lambda: False)
    first = trainer.train(EXPERIMENTS["first"], 0, dataset, profile="full")
    planned = matrix.plan(rows[:2], [0], "auto", dataset)
    assert planned["state"].tolist() == ["finished", "to train"]
    runs = matrix.train_matrix(rows[:2], [0], "auto", dataset)
    assert [run.profile for run in runs] == planned["profile"].tolist() == ["full", "quick"]
    assert runs[0].result == first.result


def test_a_silent_scheduler_and_other_images_are_told(dataset, rows, monkeypatch):
    monkeypatch.setattr(matrix, "PATIENCE", 0.5)
    with pytest.raises(FerlibError, match="no scheduler answers at tcp://127.0.0.1:9"):
        matrix.train_matrix(rows, [0], "full", dataset, scheduler="tcp://127.0.0.1:9")
    others = (str(dataset.location), "0" * 64, str(paths.runs()))
    with pytest.raises(FerlibError, match="holds other images"):
        matrix._train_remotely(EXPERIMENTS["first"], 0, "full", *others, None)
