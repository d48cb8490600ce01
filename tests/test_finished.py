import json
from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib import paths
from ferlib.labels import TOP_FOUR, FerlibError
from ferlib.train import experiments, models, record


def test_round_trip():
    run = made_up.run("mobilenet_top4", seed=3)
    run = replace(run, valid=record.rounded(run.valid), test=record.rounded(run.test), test_tta=None)
    read = made_up.saved(run)
    assert read.experiment == run.experiment and read.valid.classes == TOP_FOUR
    assert (read.seed, read.profile, read.result, read.origin) == (3, "full", run.result, "runs")
    assert made_up.same(read.valid, run.valid) and made_up.same(read.test, run.test) and read.test_tta is None
    pd.testing.assert_frame_equal(read.history, run.history[list(record.HISTORY)])
    assert read.directory == made_up.directory(run)


def test_rounding_costs_less_than_float16_does_and_is_done_once():
    run = made_up.run("deep_plain")
    once = record.rounded(run.valid)
    assert once.probabilities.dtype == np.float32
    assert 0 < np.abs(once.probabilities - run.valid.probabilities).max() < 2**-11
    assert made_up.same(record.rounded(once), once)
    assert made_up.same(made_up.saved(run).valid, once)


def test_real_size_stays_small(tmp_path):
    """110 runs with two tests of 3,589 images and a history of 150 epochs: less than 40 MB."""
    random = np.random.default_rng(0).dirichlet(np.ones(7), 3589).astype("float32")
    run = made_up.run("deep_plain", images=3589)
    names = np.array([f"PublicTest_{i * 7919 % 10**8:08d}.jpg" for i in range(3589)])
    noisy = replace(run.valid, probabilities=random, names=names)
    run = replace(run, valid=noisy, test=noisy, test_tta=noisy, history=pd.concat([run.history] * 15))
    record.save(run, tmp_path / "run.npz")
    assert (tmp_path / "run.npz").stat().st_size * 110 < 40e6


def test_model_comes_back_with_its_weights():
    row = replace(experiments.find("shallow_plain"), switches=(("width", 0.1),))
    run = made_up.saved(replace(made_up.run("shallow_plain"), experiment=row))
    with pytest.raises(FerlibError, match="ferlib train shallow_plain --profile full"):
        run.model()
    network = models.build("shallow_cnn", 7, width=0.1)
    network.save_weights(run.directory / record.WEIGHTS_FILE)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")
    np.testing.assert_array_equal(run.model()(images), network(images))


def test_other_row_profile_dataset_and_seed_have_other_folders():
    row = experiments.find("deep_plain")
    folders = {
        record.directory(row, 0, "full", "a" * 64),
        record.directory(row, 1, "full", "a" * 64),
        record.directory(row, 0, "quick", "a" * 64),
        record.directory(row, 0, "full", "b" * 64),
        record.directory(replace(row, epochs=61), 0, "full", "a" * 64),
        record.directory(experiments.find("deep_batch_32"), 0, "full", "a" * 64),
    }
    assert len(folders) == 6


def test_finished_runs_are_those_of_this_dataset():
    run = made_up.run("deep_plain")
    other = made_up.run("deep_plain", fingerprint="e" * 64)
    assert record.runs(made_up.dataset()) == []
    assert record.find(run.experiment, 0, "full", made_up.FINGERPRINT) is None
    made_up.saved(run), made_up.saved(other)
    assert [r.result["fingerprint"] for r in record.runs(made_up.dataset())] == [made_up.FINGERPRINT]
    assert record.find(run.experiment, 0, "full", made_up.FINGERPRINT).seed == 0


@pytest.mark.parametrize("damage", [b"", b"not a zip", None])
def test_damaged_runs_are_told(damage):
    run = made_up.saved(made_up.run("prior"))
    file = run.directory / record.RUN_FILE
    file.write_bytes(file.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(FerlibError, match="run.npz can't be read"):
        record.load_run(run.directory)


def test_a_run_with_bits_turned_anywhere_is_told():
    run = made_up.saved(made_up.run("prior"))
    file = run.directory / record.RUN_FILE
    whole, told = file.read_bytes(), 0
    for start in range(0, len(whole), 97):
        turned = bytes(byte ^ 0xFF for byte in whole[start : start + 9])
        file.write_bytes(whole[:start] + turned + whole[start + 9 :])
        try:
            record.load_run(run.directory)
        except FerlibError as error:
            told += "run.npz can't be read" in str(error)
    assert told > 20


def test_a_missing_run_is_told():
    with pytest.raises(FerlibError, match="no finished run at"):
        record.load_run(paths.runs() / "deep_plain" / "nothing")


def test_an_interrupted_save_leaves_the_old_run(monkeypatch):
    run = made_up.saved(made_up.run("prior"))

    def half(file, **arrays):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(OSError, match="disk full"):
        record.save(replace(run, seed=9), run.directory / record.RUN_FILE)
    assert record.load_run(run.directory).seed == 0
    assert [file.name for file in run.directory.iterdir()] == [record.RUN_FILE]


def test_runs_of_another_version_are_read():
    """Fields of the table that this version does not know are left out."""
    run = made_up.saved(made_up.run("prior"))
    file = run.directory / record.RUN_FILE
    with np.load(file) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays["run"]))
    about["experiment"]["invented_later"] = 1
    np.savez(file, **arrays | {"run": np.array(json.dumps(about))})
    assert record.load_run(run.directory).experiment == run.experiment


def test_test_predictions_are_stored_with_the_run():
    run = made_up.saved(made_up.run("prior", tested=False))
    assert run.test is None
    test = made_up.predictions(0.7, seed=5)
    changed = record.with_test(run, test, test, test_accuracy=test.accuracy)
    read = record.load_run(run.directory)
    for one in (changed, read):
        assert made_up.same(one.test, record.rounded(test)) and made_up.same(
            one.test_tta, record.rounded(test)
        )
        assert one.result == run.result | {"test_accuracy": test.accuracy}


@pytest.mark.parametrize("length", [0, 60, 700, 5000])
def test_damaged_weights_are_told(length):
    run = made_up.saved(made_up.run("logistic"))
    file = run.directory / record.WEIGHTS_FILE
    models.build("logistic").save_weights(file)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(FerlibError, match="best.weights.h5 can't be read whole .*delete the folder .* train"):
        run.model()
