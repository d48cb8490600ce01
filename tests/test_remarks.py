import made_up
import pandas as pd
import pytest

from ferlib import overview, remarks
from ferlib.augment import POLICIES
from ferlib.labels import TOP_FOUR


@pytest.fixture(scope="module")
def runs():
    shares = {"shallow_plain": 0.5, "deep_plain": 0.7}
    return [made_up.run(id, share, seed, tested=False) for id, share in shares.items() for seed in (0, 1)]


def test_standing_has_an_interval_around_the_accuracy(runs):
    row = overview.results(runs).loc["deep_plain"]
    text = remarks.standing(runs, "deep_plain")
    assert text.startswith(f"`deep_plain` reads {row['PublicTest %']:.1f} %")
    assert f"interval {row['interval %']} %".replace(" to ", " % to ") in text


def test_difference_has_a_verdict_that_follows_the_interval(runs):
    assert remarks.difference(runs, "shallow_plain", "deep_plain").endswith("better.")
    assert remarks.difference(runs, "deep_plain", "shallow_plain").endswith("worse.")
    same = [made_up.run(id, 0.6) for id in ("shallow_plain", "shallow_augmented")]
    assert remarks.difference(same, "shallow_plain", "shallow_augmented").endswith("told apart.")
    mixed = [made_up.run("shallow_plain"), made_up.run("deep_plain", profile="quick")]
    assert remarks.difference(mixed, "shallow_plain", "deep_plain").endswith("not compared.")


def test_curves_are_read_at_the_kept_and_the_last_epoch():
    run = made_up.run("deep_plain", best_epoch=3)
    history = pd.DataFrame({"epoch": [1, 2, 3, 4], "accuracy": [0.3, 0.5, 0.7, 0.9], "valid_accuracy": 0.5})
    history.loc[2, "valid_accuracy"] = 0.6
    run.__dict__["history"] = history
    text = remarks.curves(run)
    assert "best at epoch 3 of 4 with 60.0 %" in text
    assert "90.0 % on its training images and 50.0 % on PublicTest, a gap of +40.0 points" in text


def test_mistakes_name_the_best_and_the_worst_class():
    shares = [0.5, 0.6, 0.2, 0.95, 0.6, 0.6, 0.6]  # code order: fear is the third, happy the fourth
    text = remarks.mistakes(made_up.predictions(shares, images=2000, wrong={"fear": "sad"}))
    assert text.startswith("Of happy faces 9")
    assert "of fear faces" in text and "fear is most often taken for sad" in text


def test_scores_name_classes_that_are_never_predicted():
    even = remarks.scores(made_up.predictions(0.7))
    assert "never" not in even.lower()
    one = made_up.predictions(1.0, classes=TOP_FOUR)
    one.probabilities[one.labels == 3] = [0.7, 0.1, 0.1, 0.1]
    assert remarks.scores(one).endswith(" Fear is never predicted.")
    one.probabilities[:] = [0.7, 0.1, 0.1, 0.1]
    assert remarks.scores(one).endswith(" Never predicted: fear, neutral and sad.")


def test_substitutes_are_named():
    wanted = ["mobilenet_frozen", "resnet50_frozen", "resnet50_finetuned"]
    runs = [made_up.run(id) for id in ("mobilenet_frozen", "resnet50_scratch")]
    text = remarks.substitutes(wanted, runs)
    assert "`resnet50_frozen` and `resnet50_finetuned` could not" in text
    assert "`resnet50_scratch` ran instead" in text and "its own name" in text
    assert remarks.substitutes(wanted[:1], runs[:1]) == ""


def test_changes_of_a_policy_are_told():
    assert remarks.changes(POLICIES["standard"]) == (
        "mirrored in 50 % of the cases, turned by up to 12°, resized by up to 20 % and moved by up to 10 % "
        "of its width"
    )
    assert remarks.changes(POLICIES["none"]) == "not changed"
