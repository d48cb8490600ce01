import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib import experiments, models, overview
from ferlib.augment import POLICIES
from ferlib.labels import TOP_FOUR


@pytest.fixture(scope="module")
def runs():
    shares = {"shallow_plain": 0.5, "deep_plain": 0.7}
    return [made_up.run(id, share, seed, tested=False) for id, share in shares.items() for seed in (0, 1)]


def test_stages_of_a_network_add_up():
    model = models.build("deep_cnn")
    table = overview.network(model)
    total = table.iloc[-1]
    assert total["stage"] == "sum"
    assert total["parameters"] == model.count_params()
    assert total["multiplications"] == models.macs(model)
    assert table["output"].iloc[0] == "48×48×1" and table["output"].iloc[-2] == "7"
    assert "conv 3×3, 64" in table["stage"].iloc[2]


def test_results_are_means_over_seeds_in_percent(runs):
    table = overview.results(runs)
    assert list(table.index) == ["shallow_plain", "deep_plain"]
    row, of_row = table.loc["deep_plain"], [run for run in runs if run.experiment.id == "deep_plain"]
    assert row["seeds"] == 2
    assert row["PublicTest %"] == pytest.approx(100 * np.mean([run.valid.accuracy for run in of_row]))
    assert row["from %"] < row["PublicTest %"] < row["to %"]
    assert row["gap %"] == pytest.approx(row["training %"] - row["PublicTest %"])
    assert row["reported elsewhere %"] == pytest.approx(100 * experiments.find("deep_plain").reported)
    assert np.isnan(overview.results([made_up.run("deep_augmented")])["reported elsewhere %"].iloc[0])


def test_standing_has_an_interval_around_the_accuracy(runs):
    row = overview.results(runs).loc["deep_plain"]
    text = overview.standing(runs, "deep_plain")
    numbers = [f"{row[name]:.1f} %" for name in ("PublicTest %", "from %", "to %")]
    assert text.startswith(f"`deep_plain` reads {numbers[0]}")
    assert f"interval {numbers[1]} to {numbers[2]}" in text


def test_recipes_show_what_was_set(runs):
    table = overview.recipes([*runs, made_up.run("deep_both")])
    assert table.loc["deep_both", "augmentation"] == "standard"
    assert table.loc["deep_both", "learning rate"] == f"{experiments.find('deep_both').learning_rate:g}"
    assert table.loc["shallow_plain", "patience"] == experiments.find("shallow_plain").patience
    assert pd.isna(table.loc["deep_both", "patience"])


def test_augmented_versions_differ_and_changes_are_told():
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1), dtype="uint8")
    versions = overview.augmented(images, POLICIES["standard"], versions=3)
    assert [version.shape for version in versions] == [images.shape] * 3
    assert np.abs(versions[0] - versions[1]).mean() > 1
    assert overview.changes(POLICIES["standard"]) == (
        "mirrored in 50% of the cases, turned by up to 12°, resized by up to 20% and moved by up to 10% of "
        "its width"
    )
    assert overview.changes(POLICIES["none"]) == "not changed"


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
    assert "lie in stage 4" in shown["a_stages"][1]["caption"]  # the dense layer of 512
    assert "`deep_plain` is best" in shown["b_results"][1]["caption"]
    assert overview.mistakes(runs[0].valid) in shown["c_confusion"][1]["caption"]
    assert all(
        rest["alt"] for name, (_, rest) in shown.items() if name[2:] in ("network", "curves", "confusion")
    )


def test_difference_has_a_verdict_that_follows_the_interval(runs):
    assert overview.difference(runs, "shallow_plain", "deep_plain").endswith("better.")
    assert overview.difference(runs, "deep_plain", "shallow_plain").endswith("worse.")
    same = [made_up.run(id, 0.6) for id in ("shallow_plain", "shallow_augmented")]
    assert overview.difference(same, "shallow_plain", "shallow_augmented").endswith("told apart.")
    mixed = [made_up.run("shallow_plain"), made_up.run("deep_plain", profile="quick")]
    assert overview.difference(mixed, "shallow_plain", "deep_plain").endswith("not compared.")


def test_curves_are_read_at_the_kept_and_the_last_epoch():
    run = made_up.run("deep_plain", best_epoch=3)
    history = pd.DataFrame({"epoch": [1, 2, 3, 4], "accuracy": [0.3, 0.5, 0.7, 0.9], "valid_accuracy": 0.5})
    history.loc[2, "valid_accuracy"] = 0.6
    run.__dict__["history"] = history
    text = overview.curves(run)
    assert "best at epoch 3 of 4 with 60.0 %" in text
    assert "90.0 % on its training images and 50.0 % on PublicTest, a gap of +40.0 points" in text


def test_mistakes_name_the_best_and_the_worst_class():
    shares = [0.5, 0.6, 0.2, 0.95, 0.6, 0.6, 0.6]  # code order: fear is the third, happy the fourth
    text = overview.mistakes(made_up.predictions(shares, images=2000, wrong={"fear": "sad"}))
    assert text.startswith("Of happy faces 9")
    assert "of fear faces" in text and "fear is most often taken for sad" in text


def test_scores_name_classes_that_are_never_predicted():
    even = overview.scores(made_up.predictions(0.7))
    assert "never" not in even.lower()
    one = made_up.predictions(1.0, classes=TOP_FOUR)
    one.probabilities[one.labels == 3] = [0.7, 0.1, 0.1, 0.1]
    assert overview.scores(one).endswith(" Fear is never predicted.")
    one.probabilities[:] = [0.7, 0.1, 0.1, 0.1]
    assert overview.scores(one).endswith(" Never predicted: fear, neutral and sad.")


def test_substitutes_are_named():
    wanted = ["mobilenet_frozen", "resnet50_frozen", "resnet50_finetuned"]
    runs = [made_up.run(id) for id in ("mobilenet_frozen", "resnet50_scratch")]
    text = overview.substitutes(wanted, runs)
    assert "`resnet50_frozen` and `resnet50_finetuned` could not" in text
    assert "`resnet50_scratch` ran instead" in text and "its own name" in text
    assert overview.substitutes(wanted[:1], runs[:1]) == ""
