import ast
import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import keras
import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib import cli, paths
from ferlib.data import audit, fer2013
from ferlib.evaluate import comparison, private_test, summary
from ferlib.labels import CLASSES, TOP_FOUR
from ferlib.train import models, predicting, record
from ferlib.train.record import Run

ROOT = Path(__file__).parent.parent


@pytest.fixture
def dataset():
    return made_up.dataset()


@pytest.fixture
def trained(monkeypatch):
    """A run whose network is a small untrained one; its model counts how often it is loaded."""
    pooled = [keras.layers.AveragePooling2D(12), keras.layers.Flatten(), keras.layers.Rescaling(1 / 99)]
    model = keras.Sequential([keras.Input((48, 48, 1)), *pooled, keras.layers.Dense(7, activation="softmax")])
    loaded = []
    monkeypatch.setattr(Run, "model", lambda self: loaded.append(self) or model)
    run = made_up.run("shallow_plain", tested=False, images=120)
    return SimpleNamespace(run=run, model=model, loaded=loaded)


def test_private_test_is_predicted_once_and_kept(trained, dataset, tmp_path):
    run = replace(trained.run, directory=tmp_path)
    record.save(run, tmp_path / record.RUN_FILE)
    (opened,) = private_test.open_private_test([run], dataset, made_up.Audit())
    expected = predicting.predict(trained.model, dataset.test)
    np.testing.assert_allclose(opened.test.probabilities, expected.probabilities, atol=1e-3)
    _, averaged = predicting.predict_views(trained.model, dataset.test, views="ten")
    np.testing.assert_allclose(opened.test_tta.probabilities, averaged.probabilities, atol=1e-3)
    result = opened.result
    assert result["test_accuracy"] == opened.test.accuracy
    assert result["test_accuracy_tta"] == opened.test_tta.accuracy
    assert result["leak_free_accuracy"] == opened.test.correct[::2].mean()
    assert result["leak_free_images"] == 60
    stored = record.load_run(tmp_path)
    np.testing.assert_array_equal(stored.test.probabilities, opened.test.probabilities)
    assert stored.result["macro_f1"] == opened.test.macro_f1
    assert abs(date.fromisoformat(stored.result["opened"]) - date.today()) <= timedelta(days=1)
    assert private_test.open_private_test([opened], dataset, made_up.Audit()) == [opened]
    assert len(trained.loaded) == 1


def test_what_ten_people_see_is_counted_where_they_voted(dataset):
    run, labels = made_up.run("lean", images=120), dataset.test.labels
    assert "crowd_accuracy" not in private_test.figures(run, dataset, made_up.Audit())
    cast = np.zeros((120, 10), np.uint8)
    cast[np.arange(120), (labels + 1) % 7] = 9
    cast[:20] = 5  # no answer leads
    voted = replace(dataset, test=replace(dataset.test, votes=cast))
    told = private_test.figures(run, voted, made_up.Audit())["crowd_accuracy"]
    assert told == (run.test.predicted == (labels + 1) % 7)[20:].mean() > 0
    fewer = made_up.run("mobilenet_top4", images=len(dataset.test.only(TOP_FOUR)))
    assert "crowd_accuracy" not in private_test.figures(fewer, voted, made_up.Audit())


def test_quick_runs_see_a_subset_and_top_four_rows_their_classes(trained, dataset):
    row = replace(trained.run.experiment, valid_images=30)
    quick = replace(trained.run, profile="quick", experiment=row)
    (opened,) = private_test.open_private_test([quick], dataset, made_up.Audit())
    assert 25 <= len(opened.test) <= 35 and opened.result["views"] == "flip"
    even = np.isin(opened.test.names, np.arange(0, 120, 2).astype(str))
    assert opened.result["leak_free_images"] == even.sum()
    assert opened.result["leak_free_accuracy"] == opened.test.correct[even].mean()


def test_the_command_tests_and_records_all_runs_but_quick_ones(trained, dataset, monkeypatch, capsys):
    monkeypatch.setattr(fer2013, "load", lambda _: dataset)
    monkeypatch.setattr(audit, "audit", lambda _: made_up.Audit())
    made_up.saved(made_up.run("prior", profile="quick"))
    with monkeypatch.context() as other:
        other.setattr(fer2013, "load", lambda _: replace(dataset, is_demo=True))
        assert cli.main(["record"]) == 1
    assert "drawn faces are not recorded" in capsys.readouterr().err
    assert cli.main(["record"]) == 1
    assert "nothing to record in" in capsys.readouterr().err
    made_up.saved(made_up.run("deep_plain"))
    made_up.saved(trained.run)
    assert cli.main(["record"]) == 0 and len(trained.loaded) == 1
    assert capsys.readouterr().out == f"2 runs are in {paths.record()}\n"
    recorded = {run.experiment.id: run for run in record.read_record(dataset)}
    assert set(recorded) == {"deep_plain", "shallow_plain"} and len(recorded["shallow_plain"].test) == 120


def code_of(path):
    """Python source of a module, or of a notebook's code cells."""
    if path.suffix == ".py":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def readings_of_private_test(source):
    """Places that read an attribute `test` of anything, or the split by its name, or open it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("test", "open_private_test"):
            found.append(ast.unparse(node))
        if isinstance(node, ast.Constant) and node.value == "test":
            found.append("'test'")
    return found


MAY_NOT_READ = [
    *(path for path in sorted((ROOT / "ferlib" / "train").glob("*.py")) if path.stem != "record"),
    *(ROOT / "ferlib" / "tools" / f"{name}.py" for name in ("tune", "matrix")),
    *(next((ROOT / "notebooks").glob(f"{number}_*.ipynb")) for number in ("02", "03", "04", "06")),
]


@pytest.mark.parametrize("path", MAY_NOT_READ, ids=lambda path: path.stem)
def test_private_test_is_not_read_before_chapter_five(path):
    assert readings_of_private_test(code_of(path)) == []
    reads = {"dataset.test.images": "dataset.test", "getattr(dataset, 'test')": "'test'"}
    reads |= {"private_test.open_private_test(runs)": "private_test.open_private_test"}
    for source, reading in reads.items():
        assert readings_of_private_test(source) == [reading], "the search finds them"


def test_results_are_means_over_seeds():
    runs = [made_up.run("deep_both", share, seed) for seed, share in enumerate([0.6, 0.65, 0.7])]
    runs += [made_up.run("shallow_plain", 0.5)]
    table = summary.results_table(runs)
    assert table["public"].tolist() == comparison.results(runs)["public"].dropna().tolist()
    deep, shares = table.loc["deep_both"], [run.test.accuracy for run in runs[:3]]
    assert deep["test_accuracy"] == pytest.approx(np.mean(shares))
    assert deep["test_deviation"] == pytest.approx(np.std(shares, ddof=1))
    assert deep["seeds"] == 3 and deep["reported"] == 0.6862
    assert deep["test_low"] < deep["test_accuracy"] < deep["test_high"]
    assert pd.isna(table.loc["shallow_plain", "test_deviation"])


def test_other_seeds_join_their_row(dataset, monkeypatch):
    first, second = made_up.run("deep_both", seed=0), made_up.run("deep_both", seed=1)
    changed = replace(second, seed=2, experiment=replace(second.experiment, learning_rate=0.5))
    strangers = [
        changed,
        made_up.run("deep_plain", seed=1),
        made_up.run("deep_both", seed=3, profile="quick"),
    ]
    monkeypatch.setattr(record, "runs", lambda dataset: [first, *strangers])
    monkeypatch.setattr(record, "read_record", lambda dataset: [second, first])
    assert summary.with_other_seeds([first], dataset) == [first, second]


def test_real_time_network_is_the_cheapest_within_a_standard_error():
    rows = {
        "resnet50_finetuned": [0.74, 24e6, 9e8],
        "mobilenet_top4": [0.85, 3e6, 2e8],  # of four classes
        "deep_both": [0.700, 1e6, 4e7],
        "deep_plain": [0.694, 4e6, 8e6],
        "four_block": [0.695, 4e6, 8e6],
        "mini_xception": [0.660, 6e4, 6e6],
    }
    runs = [made_up.run(id, parameters=parameters, macs=macs) for id, (_, parameters, macs) in rows.items()]
    accuracy = {id: share for id, (share, *_) in rows.items()}
    assert summary.choose_for_real_time(runs, accuracy, 3589) == "four_block", "of equally cheap, the better"
    assert summary.choose_for_real_time(runs, accuracy, 10**6) == "deep_both"


def test_compute_counts_a_frozen_backbone_once():
    plain = made_up.run("shallow_plain", images=700)
    frozen = made_up.run("mobilenet_frozen", images=700, macs=models.macs(models.build("mobilenet_scratch")))
    runs = [replace(run, result=run.result | {"images": 50}) for run in (plain, frozen)]
    compute = summary.results_table(runs)["compute"]
    assert compute["shallow_plain"] == 3 * 3e7 * 10 * 50
    head = 1024 * 256 + 256 * 7
    assert compute["mobilenet_frozen"] == (frozen.result["macs"] - head + 3 * head * 10) * 50


def test_times_are_of_one_go_a_network():
    assert summary.milliseconds().empty
    lines = ("part,task,value,device,date", "latency,one image with deep_cnn,9,old,2026-01-01")
    lines += ("latency,one image with deep_cnn,2,new,2026-01-02",)
    lines += ("latency,one image with mobilenet,7,new,2026-01-02", "networks,train,300,other,2026-01-03")
    paths.record().mkdir(parents=True)
    (paths.record() / "speed.csv").write_text("\n".join(lines))
    ids = ("deep_both", "deep_plain", "mobilenet_finetuned", "mobilenet_scratch", "lean")
    table = summary.results_table(map(made_up.run, ids))["milliseconds"]
    assert table.drop("lean").tolist() == [2.0, 2.0, 7.0, 7.0] and np.isnan(table["lean"])
    assert summary.milliseconds().name == "new"


def test_recalls_are_means_over_seeds_and_mix_to_any_accuracy():
    runs = [made_up.run("deep_both", np.linspace(0.3, 0.9, 7), seed) for seed in (0, 1)]
    table = summary.recalls([*runs, made_up.run("mobilenet_top4", 0.8)])
    tests = [run.test for run in runs]
    happy = [one.correct[one.labels == CLASSES.index("happy")].mean() for one in tests]
    assert table.loc["deep_both", "happy"] == pytest.approx(np.mean(happy))
    assert list(table.columns) == sorted(CLASSES) and table.loc["mobilenet_top4"].isna().sum() == 3
    images = pd.Series(np.bincount(tests[0].labels, minlength=7), index=list(CLASSES))
    mixed, four = summary.at_mix(table, images), table.loc["mobilenet_top4"].dropna()
    assert mixed["deep_both"] == pytest.approx(np.mean([one.accuracy for one in tests]))
    assert mixed["mobilenet_top4"] == pytest.approx(np.average(four, weights=images[four.index]))


def test_rows_run_in_the_order_of_the_table():
    ids = ["deep_batch_32", "mobilenet_scratch", "mini_xception"]
    runs = [*map(made_up.run, ids), made_up.run("deep_both", seed=1), made_up.run("deep_both")]
    gathered = summary.rows(runs)
    assert [run.seed for run in gathered["deep_both"]] == [0, 1]
    assert list(gathered) == ["deep_both", "mobilenet_scratch", "mini_xception", "deep_batch_32"]
