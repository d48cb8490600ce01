import json
import re
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib import paths
from ferlib.labels import TOP_FOUR, FerlibError
from ferlib.train import experiments, models, predicting, record


def test_round_trip():
    made = made_up.run("mobilenet_top4", seed=3)
    once = record.rounded(made.valid)
    assert once.probabilities.dtype == np.float32 and made_up.same(record.rounded(once), once)
    assert 0 < np.abs(once.probabilities - made.valid.probabilities).max() < 2**-11, "float16 costs this"
    read = made_up.saved(replace(made, test_tta=None))
    assert made_up.same(read.valid, once) and made_up.same(read.test, record.rounded(made.test))
    assert read.experiment == made.experiment and read.valid.classes == TOP_FOUR and read.test_tta is None
    assert (read.seed, read.profile, read.result, read.origin) == (3, "full", made.result, "runs")
    pd.testing.assert_frame_equal(read.history, made.history[list(record.HISTORY)])
    assert read.directory == made_up.directory(made)


def images():
    return np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")


def test_model_comes_back_with_its_weights():
    row = replace(experiments.find("shallow_plain"), switches=(("width", 0.1),))
    run = made_up.saved(replace(made_up.run("shallow_plain"), experiment=row))
    with pytest.raises(FerlibError, match="ferlib train shallow_plain --profile full"):
        run.model()
    network, file = models.build("shallow_cnn", 7, width=0.1), run.directory / record.WEIGHTS_FILE
    network.save_weights(file)
    np.testing.assert_array_equal(run.model()(images()), network(images()))
    whole = file.read_bytes()
    for length in (0, 5000):
        file.write_bytes(whole[:length])
        with pytest.raises(
            FerlibError, match="best.weights.h5 can't be read whole .*delete the folder .* train"
        ):
            run.model()


def test_other_row_profile_dataset_and_seed_have_other_folders():
    row = experiments.find("deep_plain")
    named = [(row, 0, "full", "a" * 64), (row, 1, "full", "a" * 64), (row, 0, "quick", "a" * 64)]
    named += [(row, 0, "full", "b" * 64), (replace(row, epochs=61), 0, "full", "a" * 64)]
    named.append((experiments.find("deep_batch_32"), 0, "full", "a" * 64))
    assert len({record.directory(*one) for one in named}) == len(named)


def test_finished_runs_are_those_of_this_dataset():
    run = made_up.run("deep_plain")
    other = made_up.run("deep_plain", fingerprint="e" * 64)
    assert record.runs(made_up.dataset()) == []
    assert record.find(run.experiment, 0, "full", made_up.FINGERPRINT) is None
    made_up.saved(run), made_up.saved(other)
    assert [r.result["fingerprint"] for r in record.runs(made_up.dataset())] == [made_up.FINGERPRINT]
    assert record.find(run.experiment, 0, "full", made_up.FINGERPRINT).seed == 0


@pytest.mark.parametrize("damage", [b"", b"not a zip", None])
def test_damaged_and_missing_runs_are_told(damage):
    run = made_up.saved(made_up.run("prior"))
    file = run.directory / record.RUN_FILE
    file.write_bytes(file.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(FerlibError, match="run.npz can't be read"):
        record.load_run(run.directory)
    with pytest.raises(FerlibError, match="no finished run at"):
        record.load_run(run.directory / "nothing")


def changed(run, where=None, **values):
    """Change what a run's file says: of the run itself, or of its experiment or result."""
    file = run.directory / record.RUN_FILE
    with np.load(file) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays["run"]))
    (about[where] if where else about).update(values)
    np.savez(file, **arrays | {"run": np.array(json.dumps(about))})


def test_runs_of_another_version_are_read():
    """Fields of the table that this version does not know are left out."""
    run = made_up.saved(made_up.run("prior"))
    changed(run, "experiment", invented_later=1)
    assert record.load_run(run.directory).experiment == run.experiment


@pytest.mark.parametrize(
    ("where", "values", "odd"),
    [
        (None, {"seed": "0/../../../pwned/x"}, "seed"),
        (None, {"seed": -1}, "seed"),
        (None, {"profile": "../full"}, "profile"),
        (None, {"result": []}, "'list'"),
        ("experiment", {"id": "../pwned"}, "no name of a row"),
        ("result", {"seed": 1}, "of another run"),
        ("result", {"fingerprint": "../../pwned"}, "fingerprint"),
        ("result", {"valid_accuracy": 0.99}, "valid predictions have accuracy 0.[0-9]+, not 0.99"),
        ("result", {"test_accuracy": 0.99}, "test predictions have accuracy 0.[0-9]+, not 0.99"),
    ],
)
def test_a_run_that_was_changed_is_told(where, values, odd):
    run = made_up.saved(made_up.run("prior"))
    changed(run, where, **values)
    with pytest.raises(FerlibError, match=f"run.npz can't be read .*{odd}.*; delete it and train again"):
        record.load_run(run.directory)


def test_a_run_without_the_predictions_that_its_result_tells_of_is_told():
    run = made_up.saved(made_up.run("prior"))
    record.save(replace(run, test=None), run.directory / record.RUN_FILE)
    with pytest.raises(FerlibError, match="its test predictions are missing"):
        record.load_run(run.directory)


def test_test_predictions_are_stored_with_the_run():
    run = made_up.saved(made_up.run("prior", tested=False))
    test = made_up.predictions(0.7, seed=5)
    changed = record.with_test(run, test, test, test_accuracy=test.accuracy)
    for one in (changed, record.load_run(run.directory)):
        assert run.test is None and made_up.same(one.test, record.rounded(test))
        assert made_up.same(one.test_tta, record.rounded(test))
        assert one.result == run.result | {"test_accuracy": test.accuracy}


def test_the_record_keeps_the_weights_of_what_ships_alone():
    for seed in range(2):
        run = made_up.saved(made_up.run("logistic", seed=seed))
        network = models.build("logistic")
        network.save_weights(run.directory / record.WEIGHTS_FILE)
        record.publish([run])
        record.keep_weights(run)
    first, second = record.read_record(made_up.dataset())
    assert first.weights is None and second.weights.parent == paths.record()
    np.testing.assert_array_equal(second.model()(images()), network(images()))
    again = replace(run, directory=run.directory.parent / "again")
    again.directory.mkdir()
    (again.directory / record.WEIGHTS_FILE).write_bytes(b"other weights")
    record.publish([again])
    assert second.weights.read_bytes() == b"other weights", "weights and results are of one training"
    record.publish([replace(run, directory=run.directory.parent / "without weights")])
    record.publish([again])
    assert second.weights is None, "only what ships keeps its weights"
    record.keep_weights(again)
    crowd = made_up.saved(made_up.run("lean_crowd"))
    (crowd.directory / record.WEIGHTS_FILE).write_bytes(b"taught by people")
    record.publish([crowd])
    record.keep_weights(crowd)
    assert len(list(paths.record().glob("*.weights.h5"))) == 2, "one of either kind ships"
    second.weights.write_bytes(b"")
    with pytest.raises(FerlibError, match="weights.h5 can't be read whole .*git checkout -- /"):
        second.model()


def test_publishing_keeps_other_rows_and_replaces_its_own():
    assert record.read_record(made_up.dataset()) == []
    first, second = made_up.run("deep_plain"), made_up.run("deep_plain", seed=1)
    foreign = made_up.run("deep_plain", fingerprint="e" * 64)
    record.publish([first, foreign])
    again = made_up.run("deep_plain", accuracy=0.25)
    record.publish([second, again])
    table = record.read_results()
    rows = sorted(zip(table["seed"], table["fingerprint"].str[0], strict=True))
    assert rows == [(0, "e"), (0, "f"), (1, "f")]
    runs = record.read_record(made_up.dataset())
    expected = {run.seed: run.result["valid_accuracy"] for run in (again, second)}
    assert {run.seed: run.result["valid_accuracy"] for run in runs} == expected
    assert made_up.same(runs[1].test, record.rounded(second.test))
    assert {(run.origin, run.directory) for run in runs} == {("record", None)}
    with pytest.raises(FerlibError, match="not here"):
        runs[0].model()
    found = record.recorded(again.experiment, 0, "full", made_up.FINGERPRINT)
    assert found.result == again.result
    assert record.recorded(again.experiment, 2, "full", made_up.FINGERPRINT) is None
    assert record.recorded(replace(again.experiment, epochs=61), 0, "full", made_up.FINGERPRINT) is None


def test_a_changed_row_takes_the_place_of_the_old_one_in_the_record(monkeypatch):
    old = made_up.run("deep_plain")
    record.publish([old])
    record.weights_beside(old.recorded_file).touch()
    changed = replace(old.experiment, epochs=61)
    record.publish([replace(old, experiment=changed)])
    assert len(list(paths.record().glob("*.npz"))) == len(record.read_results()) == 1
    assert not list(paths.record().glob("*.weights.h5")), "they are those of the old row"
    monkeypatch.setitem(experiments.EXPERIMENTS, "deep_plain", changed)
    (run,) = record.read_record(made_up.dataset())
    assert run.experiment == changed


@pytest.mark.parametrize("read", [record.runs, record.read_record])
def test_runs_of_rows_that_have_changed_are_not_shown(read, monkeypatch):
    run = made_up.run("deep_plain")
    made_up.saved(run)
    record.publish([run])
    renamed = replace(run.experiment, title="another name")
    monkeypatch.setitem(experiments.EXPERIMENTS, "deep_plain", renamed)
    assert [found.experiment.title for found in read(made_up.dataset())] == ["another name"]
    monkeypatch.setitem(experiments.EXPERIMENTS, "deep_plain", replace(renamed, epochs=61))
    assert read(made_up.dataset()) == []
    monkeypatch.delitem(experiments.EXPERIMENTS, "deep_plain")
    assert read(made_up.dataset()) == []


def test_recorded_runs_go_by_the_names_that_the_table_has_now():
    old, now = made_up.run("lean"), experiments.find("lean")
    old = replace(old, experiment=replace(old.experiment, group="an earlier name", title="of then"))
    record.publish([old])
    found = record.recorded(now, 0, "full", made_up.FINGERPRINT).experiment
    assert (found.group, found.title) == (now.group, now.title)


@pytest.mark.parametrize("writer", [(np, "savez_compressed"), (pd.DataFrame, "to_csv")])
def test_an_interrupted_publication_leaves_the_record_as_it_was(writer, monkeypatch):
    run = made_up.run("deep_plain")
    record.publish([run])

    def half(*arguments, **options):
        next(one for one in arguments if isinstance(one, Path)).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(*writer, half)
    with pytest.raises(OSError, match="disk full"):
        record.publish([replace(run, result=run.result | {"epochs": 1}), made_up.run("prior")])
    (kept,) = record.read_record(made_up.dataset())
    assert kept.experiment.id == "deep_plain"
    assert not [file for file in paths.record().iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: "", "is damaged or cut off"),
        (lambda text: text.splitlines()[0], "is damaged or cut off"),
        (lambda text: text[: text.rindex("deep_plain")], "is damaged or cut off"),
        (lambda text: text.replace("fingerprint", "thumb"), "is damaged or cut off"),
        (lambda text: text + "<<<<<<< HEAD\n", "is damaged or cut off"),
        (lambda text: text + "1," * 99, "is damaged or cut off"),
        (lambda text: text + text.splitlines()[1], "has the row of deep_plain-full-.* twice"),
    ],
)
def test_a_damaged_table_is_told(damage, told):
    record.publish([made_up.run("deep_plain")])
    table = paths.record() / "results.csv"
    table.write_text(damage(table.read_text()))
    with pytest.raises(FerlibError, match=f"results.csv {told}; restore it .*git checkout -- /"):
        record.read_record(made_up.dataset())


def changed_table(column, value):
    """Change the first row of results.csv by hand."""
    table = paths.record() / "results.csv"
    results = pd.read_csv(table, dtype={"key": str}).astype({column: object})
    results.loc[0, column] = value
    results.to_csv(table, index=False)


@pytest.mark.parametrize(
    "name", [*(f"{place}precious.npz" for place in ("{}/", "../", "")), "{}/precious.txt", "../x/deep_plain"]
)
def test_a_table_names_no_file_but_that_of_its_run(name, tmp_path):
    """What left the table is removed, so that its names decide about files."""
    record.publish([made_up.run("deep_plain")])
    folders = {tmp_path, paths.record(), paths.record().parent}
    precious = [folder / f"precious.{end}" for folder in folders for end in ("txt", "npz")]
    for file in precious:
        file.write_text("precious")
    results = record.read_results()
    if name == "../x/deep_plain":  # a row that leads out of the record
        changed_table("experiment", name)
        name += results["file"][0].removeprefix("deep_plain")
    changed_table("file", name.format(tmp_path))
    for read in (record.read_record, lambda dataset: record.publish([made_up.run("prior")])):
        with pytest.raises(FerlibError, match="results.csv names .* restore it .*git checkout -- /"):
            read(made_up.dataset())
    assert all(file.exists() for file in precious)


def test_a_file_of_another_run_is_told():
    """Its figures would be taken for those of the run that its name tells."""
    runs = [made_up.run("deep_plain"), made_up.run("prior")]
    record.publish(runs)
    runs[0].recorded_file.write_bytes(runs[1].recorded_file.read_bytes())
    with pytest.raises(FerlibError, match="seed0.npz is not of the run that it is named after; restore it"):
        record.read_record(made_up.dataset())


def test_the_readme_shows_eight_rows_of_the_record(monkeypatch):
    root = Path(__file__).parent.parent
    monkeypatch.setenv("FERLIB_RECORD", str(root / "reports" / "record"))
    text = (root / "README.md").read_text()
    told = text.split("## Results")[1].split("\n## ")[0]
    lines = [line for line in told.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == 8
    results = record.read_results()
    by_people = results.groupby("experiment")["crowd_accuracy"].mean()
    card = (root / "ferlib" / "weights" / "crowd" / "MODEL_CARD.md").read_text()
    fear = float(re.search(r"\| fear \| \d+ \| ([\d.]+) %", card)[1])
    assert 40 < fear < 60, "about half of the faces that people call afraid are missed"
    for id in ("lean_crowd", "lean_label"):
        assert f"on {100 * by_people[id]:.1f} %" in text.split("```")[0], "the result on the first screen"
    for line in lines:
        row = experiments.find(line.split("`")[1])
        runs = results[results["experiment"] == row.id]
        means = runs[["parameters", "epochs", "valid_accuracy", "test_accuracy"]].mean()
        assert set(runs["profile"]) == {"full"}
        shares = [f"{100 * means[column]:.1f}" for column in ("valid_accuracy", "test_accuracy")]
        shares += [
            f"{100 * share:.1f}" if share == share else "–"
            for share in (by_people[row.id], row.reported or np.nan)
        ]
        told = f"{means['parameters']:,.0f} | {means['epochs']:.0f} | {len(runs)}"
        assert line.endswith(f"| {' | '.join([told, *shares])} |"), row.id


def test_the_committed_weights_predict_what_the_record_says(real_dataset, monkeypatch):
    root = Path(__file__).parent.parent
    monkeypatch.setenv("FERLIB_RECORD", str(root / "reports" / "record"))
    runs = [run for run in record.read_record(real_dataset) if run.weights]
    assert {run.experiment.target == "label" for run in runs} == {True, False}, "of both networks that ship"
    some = real_dataset.valid.take(range(64))
    for run in runs:
        assert some.names.tolist() == run.valid.names[:64].tolist()
        predicted = predicting.predict(run.model(), some).probabilities
        np.testing.assert_allclose(predicted, run.valid.probabilities[:64], atol=5e-3)
