import made_up
import numpy as np
import pytest

from ferlib import experiments, models, overview, remarks
from ferlib.augment import POLICIES


@pytest.fixture(scope="module")
def runs():
    shares = {"shallow_plain": 0.5, "deep_plain": 0.7}
    return [made_up.run(id, share, seed, tested=False) for id, share in shares.items() for seed in (0, 1)]


def test_results_are_means_over_seeds_in_percent(runs):
    table = overview.results(runs)
    assert list(table.index) == ["shallow_plain", "deep_plain"]
    row, of_row = table.loc["deep_plain"], [run for run in runs if run.experiment.id == "deep_plain"]
    assert row["seeds"] == 2
    assert row["PublicTest %"] == pytest.approx(100 * np.mean([run.valid.accuracy for run in of_row]))
    low, high = map(float, row["interval %"].split(" to "))
    assert low < row["PublicTest %"] < high
    assert row["gap %"] == pytest.approx(row["training %"] - row["PublicTest %"])
    assert row["reported elsewhere %"] == pytest.approx(100 * experiments.find("deep_plain").reported)
    assert np.isnan(overview.results([made_up.run("deep_augmented")])["reported elsewhere %"].iloc[0])


def test_recipes_show_what_was_set(runs):
    table = overview.recipes([*runs, made_up.run("deep_both")])
    assert table.loc["deep_both", "augmentation"] == "standard"
    assert (
        table.loc["deep_both", "learning rate"] == f"{experiments.find('deep_both').learning_rate:g} cosine"
    )
    assert table.loc["shallow_plain", "patience"] == f"{experiments.find('shallow_plain').patience}"
    assert table.loc["deep_both", "patience"] == "–"


def test_recipes_show_what_ran_beside_what_was_meant():
    meant = experiments.find("shallow_both")
    run = made_up.run("shallow_both", profile="cpu")
    run.result["steps_per_epoch"] = 20
    shown = overview.recipes([run]).loc["shallow_both"]
    assert shown["epochs"] == f"{run.experiment.epochs} of {meant.epochs}"
    steps = run.experiment.epochs * run.result["steps_per_epoch"]
    assert shown["averaging"] == f"{1 - 10 / steps:.3g}" != f"{meant.ema:.3g}"


def test_augmented_versions_differ():
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1), dtype="uint8")
    versions = overview.augmented(images, POLICIES["standard"], versions=3)
    assert [version.shape for version in versions] == [images.shape] * 3
    assert np.abs(versions[0] - versions[1]).mean() > 1


def test_shown_pieces_have_names_captions_and_alt_texts(monkeypatch, runs):
    shown = {}
    for kind in ("figure", "table"):
        monkeypatch.setattr(
            overview.report, kind, lambda thing, name, **rest: shown.update({name: (thing, rest)})
        )
    model = models.build("shallow_cnn")
    overview.show_network(model, "a")
    overview.show_results(runs, "b")
    overview.show_run(runs[0], "c")
    assert list(shown) == [
        *("a_stages", "a_network", "b_recipes", "b_results", "c_curves", "c_confusion", "c_scores")
    ]
    assert f"{model.count_params():,} parameters" in shown["a_stages"][1]["caption"]
    assert "12×12 while their number goes from 1 to 64" in shown["a_network"][1]["caption"]
    assert "lie in stage 4" in shown["a_stages"][1]["caption"]  # the dense layer of 512
    assert "`deep_plain` is best" in shown["b_results"][1]["caption"]
    assert remarks.mistakes(runs[0].valid) in shown["c_confusion"][1]["caption"]
    assert all(
        rest["alt"] for name, (_, rest) in shown.items() if name[2:] in ("network", "curves", "confusion")
    )


def test_four_classes_are_not_better_than_seven(monkeypatch):
    shown = {}
    monkeypatch.setattr(
        overview.report, "table", lambda frame, name, caption: shown.update({name: (frame, caption)})
    )
    runs = [made_up.run("mobilenet_top4", 0.9), made_up.run("mobilenet_frozen", 0.5)]
    overview.show_results(runs, "transfer")
    table, caption = shown["transfer_results"]
    assert list(table["classes"]) == [7, 4]
    assert "`mobilenet_frozen` is best" in caption
    overview.show_results(runs[1:], "transfer")
    assert "classes" not in shown["transfer_results"][0]
