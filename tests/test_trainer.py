import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import leftovers
import made_up
import numpy as np
import pytest
from sources import announcing_much

from ferlib import paths
from ferlib.data import fer2013
from ferlib.labels import TOP_FOUR, FerlibError
from ferlib.train import models, predicting, record, targets, trainer
from ferlib.train.experiments import EXPERIMENTS, Experiment
from ferlib.train.fitting import Fitting

SMALL = {"images": 64, "valid_images": 32, "batch_size": 32, "epochs": 2}


@pytest.fixture(autouse=True)
def stored_after_each_epoch(monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)


@pytest.fixture
def dataset(demo_dataset):
    return replace(demo_dataset, test=made_up.Poison())


def row(id="tiny", model="logistic", **changes):
    return Experiment(id, "tests", "tiny", model, **SMALL | changes)


@pytest.fixture
def table(monkeypatch):
    """Tiny rows in place of the table."""
    narrow = (("width", 0.05),)
    rows = [
        row("first"),
        row("second", patience=None),
        row("cnn", "shallow_cnn", switches=narrow, policy="standard", classes=TOP_FOUR),
        replace(EXPERIMENTS["resnet50_finetuned"], **SMALL),
        row("resnet50_scratch"),
    ]
    for one in rows:
        monkeypatch.setitem(EXPERIMENTS, one.id, one)
    monkeypatch.setattr(trainer, "has_gpu", lambda: False)
    trainer._weights_available.cache_clear()


@pytest.mark.parametrize("text", ["abc", "0", "-1", "1.5", "nan"])
def test_settings_are_checked_before_training(dataset, monkeypatch, text):
    monkeypatch.setattr(trainer, "start", lambda *arguments: pytest.fail("training started"))
    monkeypatch.setenv("FERLIB_SHARING", text)
    with pytest.raises(FerlibError, match=f"FERLIB_SHARING is '{text}', not a whole number from 1 up"):
        trainer.train(row(), 0, dataset, profile="full")


def test_a_folder_that_cannot_be_written_is_told_before_training(dataset, monkeypatch, tmp_path):
    monkeypatch.setattr(trainer, "start", lambda *arguments: pytest.fail("training started"))
    monkeypatch.setenv("FERLIB_RUNS", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        trainer.train(row(), 0, dataset, profile="full")


def test_a_read_only_folder_is_told_before_training(dataset, monkeypatch, read_only):
    monkeypatch.setattr(trainer, "start", lambda *arguments: pytest.fail("training started"))
    monkeypatch.setenv("FERLIB_RUNS", str(read_only))
    with pytest.raises(OSError, match="read-only"):
        trainer.train(row(), 0, dataset, profile="full")


def test_how_many_share_the_device_is_kept(dataset, monkeypatch):
    monkeypatch.setenv("FERLIB_SHARING", "3")
    assert trainer.train(row(), 0, dataset, profile="full").result["sharing"] == 3


@pytest.fixture
def counted(monkeypatch):
    """Rows and seeds in the order in which their fitting began."""
    begun = []
    original = Fitting.__init__

    def init(self, experiment, seed, *splits, **options):
        begun.append((experiment.id, seed))
        original(self, experiment, seed, *splits, **options)

    monkeypatch.setattr(Fitting, "__init__", init)
    return begun


def test_a_matrix_of_tiny_rows(dataset, table, counted, capsys):
    runs = trainer.obtain(["first", "cnn"], dataset, seeds=[0, 1], profile="quick")
    assert [f"{run.experiment.id} {run.seed}" for run in runs] == ["first 0", "first 1", "cnn 0", "cnn 1"]
    assert counted == [("first", 0), ("cnn", 0), ("first", 1), ("cnn", 1)], "the first seed of all rows first"
    for run in runs:
        files = {file.name for file in run.directory.iterdir()}
        assert files == {record.RUN_FILE, record.WEIGHTS_FILE}, "nothing more is kept"
        assert len(run.history) == run.result["epochs"] == 2 and run.test is None
        assert run.result["valid_accuracy"] == run.valid.accuracy
    assert runs[2].valid.classes == TOP_FOUR
    errors = capsys.readouterr().err
    assert errors.count("cnn seed 1 (quick): PublicTest") == 1, "one line a run"
    assert errors.count("\r") < 40


def test_result_tells_all_about_the_run(dataset, table):
    (run,) = trainer.obtain(["cnn"], dataset, profile="quick")
    network = run.model()
    best = run.history.iloc[run.result["best_epoch"] - 1]
    expected = {
        "experiment": "cnn",
        "seed": 0,
        "profile": "quick",
        "images": 64,
        "parameters": network.count_params(),
        "macs": models.macs(network),
        "epochs": 2,
        "train_accuracy": best["accuracy"],
        "valid_accuracy": best["valid_accuracy"],
        "train_seconds": run.history["seconds"].sum(),
        "seconds_per_epoch": run.history["seconds"][1],
        "steps_per_epoch": 2,
        "backend": "tensorflow",
        "fingerprint": dataset.fingerprint,
    }
    assert {name: run.result[name] for name in expected} == expected
    assert "keras 3" in run.result["versions"] and run.result["device"]
    assert 50 < run.result["peak_memory_mb"] < 20_000
    valid = fer2013.subset(dataset.valid.only(TOP_FOUR), 32, 0)
    # The weights kept are those that were evaluated.
    np.testing.assert_allclose(network.predict(valid.images, verbose=0), run.valid.probabilities, atol=1e-3)


def test_what_is_finished_is_not_trained_again(dataset, table, counted):
    first = trainer.obtain(["first"], dataset, profile="quick")
    again = trainer.obtain(["first", "second"], dataset, profile="quick")
    assert counted == [("first", 0), ("second", 0)]
    assert again[0].result == first[0].result
    np.testing.assert_array_equal(again[0].valid.probabilities, first[0].valid.probabilities)


def test_a_changed_row_is_a_new_run(dataset, table, counted, monkeypatch):
    trainer.obtain(["first"], dataset, profile="quick")
    monkeypatch.setitem(EXPERIMENTS, "first", row("first", learning_rate=0.5))
    trainer.obtain(["first"], dataset, profile="quick")
    assert len(counted) == 2
    assert len(list((paths.runs() / "first").iterdir())) == 2


@pytest.mark.slow
def test_killed_runs_resume_to_the_same_end(demo_dataset, shared_cache, tmp_path, monkeypatch):
    """Kill -9 in the middle; the second start must end with the bits of an undisturbed run."""
    code = f"""
import tensorflow, test_trainer
from ferlib.data import fer2013
from ferlib.train import trainer
trainer.CHECKPOINT_SECONDS = 0
tensorflow.config.experimental.enable_op_determinism()
trainer.train(test_trainer.LONG, 0, fer2013.drawn({SIZES}), profile="full")
"""
    folders = [tmp_path / "undisturbed", tmp_path / "killed"]
    environment = os.environ | {"FERLIB_CACHE": str(shared_cache), "PYTHONPATH": os.path.dirname(__file__)}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=environment | {"FERLIB_RUNS": str(folders[1])})
    while not list(folders[1].rglob(trainer.CHECKPOINT)):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (folder,) = folders[1].glob("*/*/seed0")
    assert not (folder / record.RUN_FILE).exists()
    leftovers.of_a_dead_process(folder / record.WEIGHTS_FILE)

    pytest.importorskip("tensorflow").config.experimental.enable_op_determinism()

    def finish(runs_folder):
        monkeypatch.setenv("FERLIB_RUNS", str(runs_folder))
        epochs = []
        return trainer.train(LONG, 0, demo_dataset, profile="full", on_epoch=epochs.append), len(epochs)

    (undisturbed, all_epochs), (resumed, some_epochs) = (finish(folder) for folder in folders)
    assert all_epochs == LONG.epochs > some_epochs
    for first, second in zip(undisturbed.model().weights, resumed.model().weights, strict=True):
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
    np.testing.assert_array_equal(undisturbed.valid.probabilities, resumed.valid.probabilities)
    for column in set(record.HISTORY) - {"seconds"}:
        np.testing.assert_array_equal(undisturbed.history[column], resumed.history[column])
    assert {file.name for file in folder.iterdir()} == {record.RUN_FILE, record.WEIGHTS_FILE}


def test_what_is_left_beside_a_finished_run_is_removed(dataset):
    experiment = row()
    folder = trainer.train(experiment, 0, dataset, profile="full").directory
    left = leftovers.of_a_dead_process(folder / trainer.CHECKPOINT)
    (folder / trainer.CHECKPOINT).write_bytes(b"killed before it was removed")
    trainer.train(experiment, 0, dataset, profile="full")
    assert {file.name for file in folder.iterdir()} == {record.RUN_FILE, record.WEIGHTS_FILE}, left


def test_a_run_that_another_process_finishes_first_is_taken(dataset, monkeypatch, tmp_path):
    experiment, epochs = row(epochs=6, patience=None), []

    def meanwhile(fitting):
        epochs.append(len(fitting.history))
        if len(epochs) == 2:
            theirs = made_up.run("prior", experiment=experiment.id)
            folder = record.directory(experiment, 0, "full", dataset.fingerprint)
            record.save(replace(theirs, experiment=experiment), folder / record.RUN_FILE)

    run = trainer.train(experiment, 0, dataset, profile="full", on_epoch=meanwhile)
    assert epochs == [1, 2] and run.result["device"] == "some GPU"
    assert [file.name for file in run.directory.iterdir()] == [record.RUN_FILE]


LONG = Experiment(
    *("long", "tests", "killed in the middle", "logistic"),
    **SMALL | {"policy": "strong", "ema": 0.9, "epochs": 8, "patience": None},
)
SIZES = (420, 84, 84)


def test_an_interrupted_checkpoint_leaves_the_one_before(dataset, monkeypatch):
    original = np.savez

    def half(file, **arrays):
        if len(arrays["history_epoch"]) == 2:
            file.write_bytes(b"half")
            raise OSError("disk full")
        original(file, **arrays)

    experiment = row(epochs=3)
    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="disk full"):
        trainer.train(experiment, 0, dataset, profile="full")
    folder = record.directory(experiment, 0, "full", dataset.fingerprint)
    assert [file.name for file in folder.iterdir()] == [trainer.CHECKPOINT]
    monkeypatch.setattr(np, "savez", original)
    epochs = []
    trainer.train(experiment, 0, dataset, profile="full", on_epoch=lambda f: epochs.append(len(f.history)))
    assert epochs == [2, 3]


def test_a_checkpoint_of_other_code_is_left_behind(dataset):
    experiment = row(epochs=1)
    checkpoint = record.directory(experiment, 0, "full", dataset.fingerprint) / trainer.CHECKPOINT
    checkpoint.parent.mkdir(parents=True)
    np.savez(checkpoint, variable0=np.zeros(3))
    run = trainer.train(experiment, 0, dataset, profile="full")
    assert len(run.history) == 1 and not checkpoint.exists()


def flipped(content):
    """Turn some bits in the middle, where the weights are."""
    middle = len(content) // 2
    return (
        content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 9]) + content[middle + 9 :]
    )


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:60], lambda b: b[:700], flipped, announcing_much]
)
def test_a_damaged_checkpoint_starts_the_run_over(dataset, capsys, damage):
    experiment, epochs = row(), []
    options = {"profile": "full", "on_epoch": lambda fitting: epochs.append(len(fitting.history))}
    checkpoint = record.directory(experiment, 0, "full", dataset.fingerprint) / trainer.CHECKPOINT
    checkpoint.parent.mkdir(parents=True)
    np.savez(checkpoint, **_checkpoint(experiment, dataset))
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    trainer.train(experiment, 0, dataset, **options)
    assert epochs == [1, 2]
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"tiny seed 0 starts over: {checkpoint}" in error


def _checkpoint(experiment, dataset):
    fitting = trainer.start(experiment, 0, dataset)
    fitting.epoch()
    return fitting.state()


def test_teachers_are_trained_first_and_what_they_answer_is_taught(dataset, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "teacher", row("teacher"))
    pupil = row("pupil", teachers=("teacher", 2, 1.0))
    seen, original = [], trainer.Fitting

    def fitted(experiment, seed, train, valid, taught):
        seen.append((experiment.id, seed, taught))
        return original(experiment, seed, train, valid, taught=taught)

    monkeypatch.setattr(trainer, "Fitting", fitted)
    trainer.train(pupil, 1, dataset, profile="full")
    assert [told[:2] for told in seen] == [("teacher", 0), ("teacher", 1), ("pupil", 1)]
    part, _ = targets.parts(pupil, 1, dataset)
    teachers = trainer.obtain(["teacher"], dataset, seeds=range(2), profile="full")
    answers = [predicting.predict_views(run.model(), part, views="flip")[1] for run in teachers]
    expected = np.mean([one.probabilities for one in answers], axis=0)
    np.testing.assert_allclose(seen[-1][2], expected, atol=1e-5)
    trainer.train(pupil, 1, dataset, profile="full")
    assert len(seen) == 3, "a finished run needs no teachers"


def test_a_row_waits_for_teachers_that_time_does_not_allow(dataset, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "teacher", row("teacher"))
    monkeypatch.setattr(trainer, "_next_epoch", lambda fitting: 1e9)
    with pytest.raises(trainer.OutOfTime):
        trainer.train(
            row("pupil", teachers=("teacher", 2, 0.5)), 0, dataset, profile="full", until=time.time() + 9
        )


def test_short_epochs_are_not_all_stored(dataset, monkeypatch):
    stored, times = [], iter([0, 10, 31, 31, 40, 50])  # the start; two epochs; stored; two more
    original = np.savez

    def noted(file, **arrays):
        stored.append(arrays["history_epoch"].tolist())
        original(file, **arrays)

    monkeypatch.setattr(np, "savez", noted)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 30)
    monkeypatch.setattr(trainer, "monotonic", lambda: next(times))
    trainer.train(row(epochs=4, patience=None), 0, dataset, profile="full")
    assert stored == [[1, 2]]


def test_time_runs_out_with_the_state_stored(dataset, monkeypatch):
    clock = iter([0, 1, 1, 2, 2] + [9] * 9)  # before and after each epoch
    monkeypatch.setattr(trainer, "time", lambda: next(clock))
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 1000)
    with pytest.raises(trainer.OutOfTime):
        trainer.train(row(epochs=6, patience=None), 0, dataset, profile="full", until=8)
    epochs = []
    whole = row(epochs=6, patience=None)
    trainer.train(whole, 0, dataset, profile="full", on_epoch=lambda f: epochs.append(len(f.history)))
    assert epochs[0] > 1 and epochs[-1] == 6, "it went on from what was stored"


def test_what_time_was_left_for_is_returned(dataset, table, counted, monkeypatch):
    made = iter([True, False])
    original = trainer.train

    def hurried(*arguments, **options):
        if next(made):
            return original(*arguments, **options)
        raise trainer.OutOfTime

    monkeypatch.setattr(trainer, "train", hurried)
    runs = trainer.obtain(["first", "second"], dataset, profile="quick", until=1e12)
    assert [run.experiment.id for run in runs] == ["first"]


def test_half_precision_is_recorded_as_float32_predicts(dataset, monkeypatch):
    monkeypatch.setattr(trainer.machine, "precision", lambda: "mixed_bfloat16")
    narrow = {"switches": (("width", 0.05),), "precision": "auto"}
    run = trainer.train(row(model="shallow_cnn", **narrow), 0, dataset, profile="full")
    assert run.result["precision"] == "mixed_bfloat16"
    part = targets.judged(run.experiment, dataset.valid)
    again = record.rounded(predicting.predict(run.model(), part))
    np.testing.assert_array_equal(run.valid.probabilities, again.probabilities)


def test_a_run_stopped_from_outside_goes_on(dataset):
    def stop(fitting):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(row(), 0, dataset, profile="full", on_epoch=stop)
    epochs = []
    trainer.train(row(), 0, dataset, profile="full", on_epoch=lambda f: epochs.append(len(f.history)))
    assert epochs == [2]


def test_auto_takes_full_runs_before_others(dataset, table, counted, monkeypatch):
    full = made_up.run("first", fingerprint=dataset.fingerprint)
    (quick,) = trainer.obtain(["first"], dataset)
    assert quick.profile == "quick"
    record.publish([full])
    (recorded,) = trainer.obtain(["first"], dataset)
    assert (recorded.profile, recorded.origin) == ("full", "record")
    record.save(full, record.directory(full.experiment, 0, "full", dataset.fingerprint) / record.RUN_FILE)
    (here,) = trainer.obtain(["first"], dataset)
    assert (here.profile, here.origin) == ("full", "runs")
    assert len(counted) == 1


def test_auto_takes_cpu_runs_only_without_a_gpu(dataset, table, counted, monkeypatch):
    record.publish([made_up.run("first", profile="cpu", fingerprint=dataset.fingerprint)])
    (run,) = trainer.obtain(["first"], dataset)
    assert run.profile == "cpu" and not counted
    monkeypatch.setattr(trainer, "has_gpu", lambda: True)
    (run,) = trainer.obtain(["first"], dataset)
    assert run.profile == "full" and counted == [("first", 0)]


def test_seeds_of_a_smaller_scale_are_left_out(dataset, table, counted, capsys):
    record.publish([made_up.run("first", profile="cpu", fingerprint=dataset.fingerprint)])
    runs = trainer.obtain(["first", "second"], dataset, seeds=[0, 1])
    assert [(run.experiment.id, run.seed, run.profile) for run in runs] == [
        ("first", 0, "cpu"),
        ("second", 0, "quick"),
        ("second", 1, "quick"),
    ]
    assert "left out, for other seeds were run at a larger scale: first seed 1" in capsys.readouterr().err
    assert len(counted) == 2


def test_the_record_serves_its_own_data_seed_and_row_only(dataset, table, counted, monkeypatch):
    record.publish([made_up.run("first", fingerprint=dataset.fingerprint)])
    other = replace(dataset, fingerprint="0" * 64)
    assert trainer.obtain(["first"], other)[0].origin == "runs"
    assert trainer.obtain(["first"], dataset, seeds=[1])[0].origin == "runs"
    assert trainer.obtain(["first"], dataset, profile="full")[0].origin == "runs"
    monkeypatch.setitem(EXPERIMENTS, "first", row("first", learning_rate=0.5))
    assert trainer.obtain(["first"], dataset)[0].origin == "runs"
    assert len(counted) == 4


def test_without_imagenet_weights_the_variant_runs_under_its_own_name(dataset, table, counted, capsys):
    runs = trainer.obtain(["resnet50_finetuned", "first", "resnet50_frozen"], dataset, profile="quick")
    assert [run.experiment.id for run in runs] == ["resnet50_scratch", "first"]
    errors = capsys.readouterr().err
    assert "resnet50_finetuned: instead resnet50_scratch runs, as there are no ImageNet weights" in errors
    trainer.obtain(["resnet50_finetuned"], dataset, profile="quick")
    assert counted == [("resnet50_scratch", 0), ("first", 0)]


def test_recorded_runs_need_no_imagenet_weights(dataset, table, counted):
    record.publish([made_up.run("resnet50_finetuned", fingerprint=dataset.fingerprint)])
    (run,) = trainer.obtain(["resnet50_finetuned"], dataset)
    assert run.experiment.id == "resnet50_finetuned" and not counted


def test_a_variant_trained_in_full_is_better_than_the_row_trained_quickly(
    dataset, table, counted, monkeypatch
):
    monkeypatch.setattr(trainer, "_weights_available", lambda model: True)
    full = made_up.run("resnet50_scratch", fingerprint=dataset.fingerprint)
    record.publish([full])
    (run,) = trainer.obtain(["resnet50_finetuned"], dataset)
    assert (run.experiment.id, run.profile) == ("resnet50_scratch", "full") and not counted
    _, missing = trainer._stand_in(EXPERIMENTS["resnet50_finetuned"], 0, dataset, "quick")
    assert missing is None
    monkeypatch.setattr(trainer, "has_gpu", lambda: True)
    row, _ = trainer._stand_in(EXPERIMENTS["resnet50_finetuned"], 0, dataset, "auto")
    assert row.id == "resnet50_finetuned", "a GPU trains the row itself"


def test_unknown_rows_and_profiles_are_told_before_anything_runs(dataset, table, counted):
    with pytest.raises(FerlibError, match="no experiment 'deep'"):
        trainer.obtain(["first", "deep"], dataset)
    with pytest.raises(FerlibError, match="no profile 'fast'"):
        trainer.obtain(["first"], dataset, profile="fast")
    assert not counted


def test_runs_with_different_seeds_see_different_subsets(dataset, monkeypatch):
    seen = []
    monkeypatch.setattr(trainer, "Fitting", lambda row, seed, *splits, taught: seen.append(splits))
    for seed in (0, 1, 1):
        trainer.start(row(), seed, dataset)
    names = [[split.names.tolist() for split in splits] for splits in seen]
    assert names[0][0] != names[1][0] == names[2][0]
    assert names[0][1] == names[1][1] and len(names[0][1]) == 32


def test_the_bar_of_a_run_that_goes_on_moves_with_every_epoch(capsys):
    with trainer.progress_bar(2) as bar:
        bar.mininterval = 0
        bar.update(0.5)
        bar.update(0.1)  # less than at first
        assert "30%" in capsys.readouterr().err
