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

from ferlib import paths
from ferlib.data import fer2013
from ferlib.labels import TOP_FOUR, FerlibError
from ferlib.train import models, predicting, record, targets, trainer
from ferlib.train.experiments import EXPERIMENTS, Experiment
from ferlib.train.fitting import Fitting

SMALL = {"images": 64, "valid_images": 32, "batch_size": 32, "epochs": 2}
KEPT = {record.RUN_FILE, record.WEIGHTS_FILE}


@pytest.fixture(autouse=True)
def stored_after_each_epoch(monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)


@pytest.fixture
def dataset(demo_dataset):
    return replace(demo_dataset, test=made_up.Poison())


def row(id="tiny", model="logistic", **changes):
    return Experiment(id, "tests", "tiny", model, **SMALL | changes)


def trained(dataset, experiment, seed=0, **options):
    """Train a row in full, and return the run with the numbers of the epochs that it took."""
    epochs = []
    options = {"on_epoch": lambda fitting: epochs.append(len(fitting.history))} | options
    return trainer.train(experiment, seed, dataset, profile="full", **options), epochs


def files(folder):
    return {file.name for file in folder.iterdir()}


def folder_of(experiment, dataset):
    """The folder of the first full run of a row."""
    return record.directory(experiment, 0, "full", dataset.fingerprint)


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


@pytest.mark.parametrize("text", ["abc", "0", "1.5"])
def test_settings_are_checked_before_training(dataset, monkeypatch, text):
    monkeypatch.setattr(trainer, "start", lambda *arguments: pytest.fail("training started"))
    monkeypatch.setenv("FERLIB_SHARING", text)
    with pytest.raises(FerlibError, match=f"FERLIB_SHARING is '{text}', not a whole number from 1 up"):
        trained(dataset, row())


def test_a_folder_that_cannot_be_written_is_told_before_training(dataset, monkeypatch, tmp_path):
    monkeypatch.setattr(trainer, "start", lambda *arguments: pytest.fail("training started"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("FERLIB_RUNS", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        trained(dataset, row())


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
        assert files(run.directory) == KEPT, "nothing more is kept"
        assert len(run.history) == run.result["epochs"] == 2 and run.test is None
        assert run.result["valid_accuracy"] == run.valid.accuracy
    assert runs[2].valid.classes == TOP_FOUR
    errors = capsys.readouterr().err
    assert errors.count("cnn seed 1 (quick): PublicTest") == 1, "one line a run"
    assert errors.count("\r") < 40


def test_result_tells_all_about_the_run(dataset, table, monkeypatch):
    monkeypatch.setenv("FERLIB_SHARING", "3")
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
        "sharing": 3,
    }
    assert {name: run.result[name] for name in expected} == expected
    assert "keras 3" in run.result["versions"] and run.result["device"]
    valid = fer2013.subset(dataset.valid.only(TOP_FOUR), 32, 0)
    # The weights kept are those that were evaluated.
    np.testing.assert_allclose(network.predict(valid.images, verbose=0), run.valid.probabilities, atol=1e-3)


def test_what_is_finished_is_not_trained_again_but_a_changed_row_is(dataset, table, counted, monkeypatch):
    first = trainer.obtain(["first"], dataset, profile="quick")
    again = trainer.obtain(["first", "second"], dataset, profile="quick")
    assert counted == [("first", 0), ("second", 0)]
    assert again[0].result == first[0].result
    np.testing.assert_array_equal(again[0].valid.probabilities, first[0].valid.probabilities)
    monkeypatch.setitem(EXPERIMENTS, "first", row("first", learning_rate=0.5))
    trainer.obtain(["first"], dataset, profile="quick")
    assert len(counted) == 3 and len(files(paths.runs() / "first")) == 2


LONG = row("long", policy="strong", ema=0.9, epochs=8, patience=None)
SIZES = (420, 84, 84)


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
        return trained(demo_dataset, LONG)

    (undisturbed, all_epochs), (resumed, some_epochs) = map(finish, folders)
    assert len(all_epochs) == LONG.epochs > len(some_epochs)
    for first, second in zip(undisturbed.model().weights, resumed.model().weights, strict=True):
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
    np.testing.assert_array_equal(undisturbed.valid.probabilities, resumed.valid.probabilities)
    for column in set(record.HISTORY) - {"seconds"}:
        np.testing.assert_array_equal(undisturbed.history[column], resumed.history[column])
    assert files(folder) == KEPT


def test_what_is_left_beside_a_finished_run_is_removed(dataset):
    folder = trained(dataset, row())[0].directory
    left = leftovers.of_a_dead_process(folder / trainer.CHECKPOINT)
    (folder / trainer.CHECKPOINT).write_bytes(b"killed before it was removed")
    trained(dataset, row())
    assert files(folder) == KEPT, left


def test_a_run_that_another_process_finishes_first_is_taken(dataset):
    experiment, epochs = row(epochs=6, patience=None), []

    def meanwhile(fitting):
        epochs.append(len(fitting.history))
        if len(epochs) == 2:
            theirs = replace(made_up.run("prior", experiment=experiment.id), experiment=experiment)
            record.save(theirs, folder_of(experiment, dataset) / record.RUN_FILE)

    run, _ = trained(dataset, experiment, on_epoch=meanwhile)
    assert epochs == [1, 2] and run.result["device"] == "some GPU"
    assert files(run.directory) == {record.RUN_FILE}


@pytest.fixture
def stored(monkeypatch):
    """Epochs in each checkpoint that was written, and after how many of these the disk is full."""
    epochs, original, limit = [], np.savez, [None]

    def noted(file, **arrays):
        if len(epochs) == limit[0]:
            file.write_bytes(b"half")
            raise OSError("disk full")
        epochs.append(arrays["history_epoch"].tolist())
        original(file, **arrays)

    monkeypatch.setattr(np, "savez", noted)
    return epochs, limit


def test_an_interrupted_checkpoint_leaves_the_one_before(dataset, stored):
    epochs, limit = stored
    limit[0] = 1
    with pytest.raises(OSError, match="disk full"):
        trained(dataset, row(epochs=3))
    assert files(folder_of(row(epochs=3), dataset)) == {trainer.CHECKPOINT} and epochs == [[1]]
    limit[0] = None
    assert trained(dataset, row(epochs=3))[1] == [2, 3]


def test_short_epochs_are_not_all_stored(dataset, monkeypatch, stored):
    times = iter([0, 10, 31, 31, 40, 50])  # the start; two epochs; stored; two more
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 30)
    monkeypatch.setattr(trainer, "monotonic", lambda: next(times))
    trained(dataset, row(epochs=4, patience=None))
    assert stored[0] == [[1, 2]]


def flipped(content):
    """Turn some bits in the middle, where the weights are."""
    middle = slice(len(content) // 2, len(content) // 2 + 9)
    return content[: middle.start] + bytes(byte ^ 0xFF for byte in content[middle]) + content[middle.stop :]


@pytest.mark.parametrize("damage", [lambda content: content[:700], flipped, None])
def test_a_checkpoint_that_is_damaged_or_of_other_code_starts_the_run_over(dataset, capsys, damage):
    checkpoint = folder_of(row(), dataset) / trainer.CHECKPOINT
    checkpoint.parent.mkdir(parents=True)
    fitting = trainer.start(row(), 0, dataset)
    fitting.epoch()
    np.savez(checkpoint, **fitting.state() if damage else {"variable0": np.zeros(3)})
    if damage:
        checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    assert trained(dataset, row())[1] == [1, 2] and not checkpoint.exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"tiny seed 0 starts over: {checkpoint}" in error


def test_teachers_are_trained_first_and_what_they_answer_is_taught(dataset, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "teacher", row("teacher"))
    pupil = row("pupil", teachers=("teacher", 2, 1.0, "a key"))
    seen, original = [], trainer.Fitting

    def fitted(experiment, seed, train, valid, taught):
        seen.append((experiment.id, seed, taught))
        return original(experiment, seed, train, valid, taught=taught)

    monkeypatch.setattr(trainer, "Fitting", fitted)
    trained(dataset, pupil, 1)
    assert [told[:2] for told in seen] == [("teacher", 0), ("teacher", 1), ("pupil", 1)]
    part, _ = targets.parts(pupil, 1, dataset)
    teachers = trainer.obtain(["teacher"], dataset, seeds=range(2), profile="full")
    answers = [predicting.predict_views(run.model(), part, views="flip")[1] for run in teachers]
    expected = np.mean([one.probabilities for one in answers], axis=0)
    np.testing.assert_allclose(seen[-1][2], expected, atol=1e-5)
    trained(dataset, pupil, 1)
    assert len(seen) == 3, "a finished run needs no teachers"


@pytest.mark.parametrize("profile", ["full", "auto"])
def test_teachers_are_trained_by_whoever_trains_and_before_their_pupils(
    dataset, monkeypatch, capsys, profile
):
    monkeypatch.setitem(EXPERIMENTS, "teacher", row("teacher"))
    monkeypatch.setitem(EXPERIMENTS, "pupil", row("pupil", teachers=("teacher", 2, 0.5, "a key")))
    # At the scale of their pupils: a recorded run of another scale takes no teacher's place.
    record.publish([made_up.run("teacher", fingerprint=dataset.fingerprint)])
    asked = []

    def workers(missing, *_):
        asked.append([(one.id, seed) for one, seed in missing])
        return {}

    trainer.obtain(["pupil"], dataset, seeds=[0, 1], profile=profile, trainer=workers)
    assert asked == [[("teacher", 0), ("teacher", 1)], [("pupil", 0), ("pupil", 1)]]
    assert "left out" not in capsys.readouterr().err


def test_a_row_waits_for_teachers_that_time_does_not_allow(dataset, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "teacher", row("teacher"))
    monkeypatch.setattr(trainer, "_next_epoch", lambda fitting: 1e9)
    with pytest.raises(trainer.OutOfTime):
        trained(dataset, row("pupil", teachers=("teacher", 2, 0.5, "a key")), until=time.time() + 9)


def test_time_runs_out_with_the_state_stored(dataset, monkeypatch):
    whole = row(epochs=6, patience=None)
    clock = iter([0, 1, 1, 2, 2] + [9] * 9)  # before and after each epoch
    monkeypatch.setattr(trainer, "time", lambda: next(clock))
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 1000)
    with pytest.raises(trainer.OutOfTime):
        trained(dataset, whole, until=8)
    epochs = trained(dataset, whole)[1]
    assert epochs[0] > 1 and epochs[-1] == 6, "it went on from what was stored"


def test_what_time_was_left_for_is_returned(dataset, table, monkeypatch):
    made, original = iter([True, False]), trainer.train

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
    run, _ = trained(dataset, row(model="shallow_cnn", **narrow))
    assert run.result["precision"] == "mixed_bfloat16"
    part = targets.judged(run.experiment, dataset.valid)
    again = record.rounded(predicting.predict(run.model(), part))
    np.testing.assert_array_equal(run.valid.probabilities, again.probabilities)


def test_auto_takes_full_runs_before_others(dataset, table, counted):
    full = made_up.run("first", fingerprint=dataset.fingerprint)
    for profile, origin, publish in (
        ("quick", "runs", lambda: None),
        ("full", "record", lambda: record.publish([full])),
        ("full", "runs", lambda: record.save(full, folder_of(full.experiment, dataset) / record.RUN_FILE)),
    ):
        publish()
        (run,) = trainer.obtain(["first"], dataset)
        assert (run.profile, run.origin) == (profile, origin)
    assert len(counted) == 1


def test_auto_takes_quick_runs_only_without_a_gpu_and_leaves_them_out_beside_full_seeds(
    dataset, table, counted, monkeypatch, capsys
):
    record.publish([made_up.run("first", fingerprint=dataset.fingerprint)])
    runs = trainer.obtain(["first", "second"], dataset, seeds=[0, 1])
    assert [(run.experiment.id, run.seed, run.profile) for run in runs] == [
        ("first", 0, "full"),
        ("second", 0, "quick"),
        ("second", 1, "quick"),
    ]
    assert "left out, for other seeds were run in full: first seed 1" in capsys.readouterr().err
    assert len(counted) == 2
    monkeypatch.setattr(trainer, "has_gpu", lambda: True)
    (run,) = trainer.obtain(["second"], dataset)
    assert run.profile == "full" and counted[2:] == [("second", 0)]


def test_rows_that_could_only_be_trained_quickly_are_left_out_beside_larger_ones(dataset, table, counted):
    (alone,) = trainer.obtain(["second"], dataset, comparable=True)
    assert alone.profile == "quick" and len(counted) == 1
    record.publish([made_up.run("first", fingerprint=dataset.fingerprint)])
    for rows in (["first", "second"], ["first", "cnn"]):  # run quickly, and not run
        (run,) = trainer.obtain(rows, dataset, comparable=True)
        assert (run.experiment.id, run.profile) == ("first", "full")
    assert len(counted) == 1


def test_the_record_serves_its_own_data_seed_and_row_only(dataset, table, counted, monkeypatch):
    record.publish([made_up.run("first", fingerprint=dataset.fingerprint)])
    other = replace(dataset, fingerprint="0" * 64)
    for data, options in ((other, {}), (dataset, {"seeds": [1]}), (dataset, {"profile": "full"})):
        assert trainer.obtain(["first"], data, **options)[0].origin == "runs"
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
    record.publish([made_up.run("resnet50_finetuned", fingerprint=dataset.fingerprint)])
    (run,) = trainer.obtain(["resnet50_finetuned"], dataset)
    assert run.experiment.id == "resnet50_finetuned" and len(counted) == 2, "recorded runs need no weights"


def test_a_variant_trained_in_full_is_better_than_the_row_in_short(dataset, table, counted, monkeypatch):
    monkeypatch.setattr(trainer, "_weights_available", lambda model: True)
    record.publish([made_up.run("resnet50_scratch", fingerprint=dataset.fingerprint)])
    (run,) = trainer.obtain(["resnet50_finetuned"], dataset)
    assert (run.experiment.id, run.profile) == ("resnet50_scratch", "full") and not counted
    asked = []
    monkeypatch.setattr(trainer, "has_gpu", lambda: True)
    trainer.obtain(["resnet50_finetuned"], dataset, trainer=lambda rows, *_: asked.extend(rows) or {})
    assert [row.id for row, _ in asked] == ["resnet50_finetuned"], "a GPU trains the row itself"


def test_unknown_rows_and_profiles_are_told_before_anything_runs(dataset, table, counted):
    with pytest.raises(FerlibError, match="no experiment 'deep'"):
        trainer.obtain(["first", "deep"], dataset)
    with pytest.raises(FerlibError, match="no profile 'fast'"):
        trainer.obtain(["first"], dataset, profile="fast")
    assert not counted


def test_runs_with_different_seeds_see_different_subsets(dataset, monkeypatch):
    monkeypatch.setattr(trainer, "Fitting", lambda row, seed, *splits, taught: splits)
    seen = [trainer.start(row(), seed, dataset) for seed in (0, 1, 1)]
    names = [[split.names.tolist() for split in splits] for splits in seen]
    assert names[0][0] != names[1][0] == names[2][0]
    assert names[0][1] == names[1][1] and len(names[0][1]) == 32


def test_the_bar_of_a_run_that_goes_on_moves_with_every_epoch(capsys):
    with trainer.progress_bar(2) as bar:
        bar.mininterval = 0
        bar.update(0.5)
        bar.update(0.1)  # less than at first
        assert "30%" in capsys.readouterr().err
