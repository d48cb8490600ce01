from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.train import experiments, models, predicting, publishing, record


def test_a_run_from_the_record_has_no_weights():
    publishing.publish([made_up.run("deep_plain")])
    (run,) = publishing.read_record(made_up.dataset())
    assert (run.origin, run.directory) == ("record", None)
    with pytest.raises(FerlibError, match="not here"):
        run.model()


def test_the_record_keeps_the_weights_of_what_ships_alone():
    for seed in range(2):
        run = made_up.saved(made_up.run("logistic", seed=seed))
        network = models.build("logistic")
        network.save_weights(run.directory / record.WEIGHTS_FILE)
        publishing.publish([run])
        publishing.keep_weights(run)
    first, second = publishing.read_record(made_up.dataset())
    assert first.weights is None and second.weights.parent == paths.record()
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype("float32")
    np.testing.assert_array_equal(second.model()(images), network(images))
    again = replace(run, directory=run.directory.parent / "again")
    again.directory.mkdir()
    (again.directory / record.WEIGHTS_FILE).write_bytes(b"other weights")
    publishing.publish([again])
    assert second.weights.read_bytes() == b"other weights", "weights and results are of one training"
    publishing.publish([replace(run, directory=run.directory.parent / "without weights")])
    assert second.weights is None
    publishing.publish([again])
    assert second.weights is None, "only what ships keeps its weights"
    publishing.keep_weights(again)
    second.weights.write_bytes(b"")
    with pytest.raises(FerlibError, match="weights.h5 can't be read whole .*git checkout -- /"):
        second.model()


def test_publishing_keeps_other_rows_and_replaces_its_own():
    first, second = made_up.run("deep_plain"), made_up.run("deep_plain", seed=1)
    foreign = made_up.run("deep_plain", fingerprint="e" * 64)
    publishing.publish([first, foreign])
    publishing.publish([second, replace(first, result=first.result | {"valid_accuracy": 0.25})])
    table = publishing.read_results()
    assert sorted(zip(table["seed"], table["fingerprint"].str[0], strict=True)) == [
        (0, "e"),
        (0, "f"),
        (1, "f"),
    ]
    runs = publishing.read_record(made_up.dataset())
    assert {run.seed: run.result["valid_accuracy"] for run in runs} == {
        0: 0.25,
        1: second.result["valid_accuracy"],
    }
    assert made_up.same(runs[1].test, record.rounded(second.test))


def test_a_recorded_run_is_found_by_its_row():
    run = made_up.run("deep_plain")
    publishing.publish([run])
    assert publishing.recorded(run.experiment, 0, "full", made_up.FINGERPRINT).result == run.result
    assert publishing.recorded(run.experiment, 1, "full", made_up.FINGERPRINT) is None
    assert publishing.recorded(replace(run.experiment, epochs=61), 0, "full", made_up.FINGERPRINT) is None


def test_a_changed_row_takes_the_place_of_the_old_one_in_the_record(monkeypatch):
    old = made_up.run("deep_plain")
    publishing.publish([old])
    record.weights_beside(old.recorded_file).touch()
    changed = replace(old.experiment, epochs=61)
    publishing.publish([replace(old, experiment=changed)])
    assert len(list(paths.record().glob("*.npz"))) == len(publishing.read_results()) == 1
    assert not list(paths.record().glob("*.weights.h5")), "they are those of the old row"
    monkeypatch.setitem(experiments.EXPERIMENTS, "deep_plain", changed)
    (run,) = publishing.read_record(made_up.dataset())
    assert run.experiment == changed


@pytest.mark.parametrize("read", [record.runs, publishing.read_record])
def test_runs_of_rows_that_have_changed_are_not_shown(read, monkeypatch):
    run = made_up.run("deep_plain")
    made_up.saved(run)
    publishing.publish([run])
    renamed = replace(run.experiment, title="another name")
    monkeypatch.setitem(experiments.EXPERIMENTS, "deep_plain", renamed)
    assert [found.experiment.title for found in read(made_up.dataset())] == ["another name"]
    monkeypatch.setitem(experiments.EXPERIMENTS, "deep_plain", replace(renamed, epochs=61))
    assert read(made_up.dataset()) == []
    monkeypatch.delitem(experiments.EXPERIMENTS, "deep_plain")
    assert read(made_up.dataset()) == []


def test_an_interrupted_publication_leaves_the_old_table(monkeypatch):
    publishing.publish([made_up.run("deep_plain")])

    def half(self, file, **options):
        file.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", half)
    with pytest.raises(OSError, match="disk full"):
        publishing.publish([made_up.run("prior")])
    assert [run.experiment.id for run in publishing.read_record(made_up.dataset())] == ["deep_plain"]


def test_only_runs_that_are_tested_and_not_quick_are_recorded():
    dataset = made_up.dataset()
    with pytest.raises(FerlibError, match="which opens the test split"):
        publishing.publish_finished(dataset)
    made_up.saved(made_up.run("deep_plain"))
    made_up.saved(made_up.run("deep_tuned", profile="cpu"))
    made_up.saved(made_up.run("prior", profile="quick"))
    made_up.saved(made_up.run("logistic", tested=False))
    assert "2 runs are in" in publishing.publish_finished(dataset)
    assert [run.experiment.id for run in publishing.read_record(dataset)] == ["deep_plain", "deep_tuned"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:30],
        lambda text: text.splitlines()[0],
        lambda text: text[: text.rindex("deep_plain")],
        lambda text: text.replace("fingerprint", "thumb"),
        lambda text: text + 'x,"y',
        lambda text: "\xff\xfe\0" + text,
        lambda text: text + "1," * 99,
    ],
)
def test_a_damaged_table_is_told(damage):
    publishing.publish([made_up.run("deep_plain")])
    table = paths.record() / "results.csv"
    table.write_text(damage(table.read_text()), encoding="latin-1")
    with pytest.raises(
        FerlibError, match="results.csv is damaged or cut off; restore it .*git checkout -- /"
    ):
        publishing.read_record(made_up.dataset())


def test_without_a_record_there_are_no_runs():
    assert publishing.read_record(made_up.dataset()) == []


def test_the_readme_shows_every_recorded_row(monkeypatch):
    root = Path(__file__).parent.parent
    monkeypatch.setenv("FERLIB_RECORD", str(root / "reports" / "record"))
    told = (root / "README.md").read_text().split("## Results")[1].split("\n## ")[0]
    results = publishing.read_results()
    shown = ["parameters", "epochs", "valid_accuracy", "test_accuracy", "leak_free_accuracy"]
    for (id, profile), runs in results.groupby(["experiment", "profile"]):
        row, means = experiments.find(id), runs[shown].mean()
        accuracies = " | ".join(f"{100 * means[name]:.1f}" for name in shown[2:])
        settings = f"{means['parameters']:,.0f} | {profile}, {means['epochs']:.0f} | {len(runs)}"
        assert f"| {row.group}: {row.title} | {settings} | {accuracies} |" in told
    assert told.count("\n|") == 2 + results.groupby(["experiment", "profile"]).ngroups


def test_the_committed_weights_predict_what_the_record_says(real_dataset, monkeypatch):
    root = Path(__file__).parent.parent
    monkeypatch.setenv("FERLIB_RECORD", str(root / "reports" / "record"))
    (run,) = [run for run in publishing.read_record(real_dataset) if run.weights]
    some = real_dataset.valid.take(range(64))
    assert some.names.tolist() == run.valid.names[:64].tolist()
    predicted = predicting.predict(run.model(), some).probabilities
    np.testing.assert_allclose(predicted, run.valid.probabilities[:64], atol=5e-3)
