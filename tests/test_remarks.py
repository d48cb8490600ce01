import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib import compare, overview, remarks
from ferlib.augment import POLICIES
from ferlib.labels import TOP_FOUR


@pytest.fixture(scope="module")
def runs():
    shares = {"shallow_plain": 0.5, "deep_plain": 0.7}
    return [made_up.run(id, share, seed, tested=False) for id, share in shares.items() for seed in (0, 1)]


def test_standing_has_seeds_and_an_interval_around_the_accuracy(runs):
    row = overview.results(runs).loc["deep_plain"]
    text = remarks.standing(runs, "deep_plain")
    assert text.startswith(f"`deep_plain` reads {row['PublicTest %']:.1f} %")
    assert f"(mean of seeds 0 and 1; 95 % interval {row['interval %']} %".replace(" to ", " % to ") in text
    assert "(seed 1; 95 %" in remarks.standing(runs[-1:], "deep_plain")


def test_difference_has_a_verdict_that_follows_the_interval(runs):
    assert remarks.difference(runs, "shallow_plain", "deep_plain").endswith(", provisionally better.")
    assert remarks.difference(runs, "deep_plain", "shallow_plain").endswith(", provisionally worse.")
    same = [made_up.run(id, 0.6) for id in ("shallow_plain", "shallow_augmented")]
    assert remarks.difference(same, "shallow_plain", "shallow_augmented").endswith(", not told apart.")
    mixed = [made_up.run("shallow_plain"), made_up.run("deep_plain", profile="quick")]
    assert remarks.difference(mixed, "shallow_plain", "deep_plain").endswith("not compared.")


def test_verdicts_say_what_they_rest_on(runs):
    text = remarks.provisional(compare.rows(runs))
    assert "PublicTest" in text and "on seeds 0 and 1, " in text and "not corrected" in text
    assert "on seed 0, " in remarks.provisional(compare.rows([made_up.run("lean")]))


def test_quick_rows_are_left_out_and_named():
    mixed = compare.rows([made_up.run("lean", profile="cpu"), made_up.run("best", profile="quick")])
    assert list(remarks.at_scale(mixed)) == ["lean"]
    fooled = mixed | compare.rows([made_up.run("deep_both", 0.9, profile="quick")])
    four = compare.rows([made_up.run("mobilenet_top4", 0.9, profile="full")])
    assert remarks.best_of(fooled | four) == "lean"
    assert remarks.left_out(mixed) == "Left out, because only a quick training exists: `best`."
    quick = compare.rows([made_up.run(id, profile="quick") for id in ("lean", "best")])
    assert remarks.at_scale(quick) == quick and remarks.left_out(quick) == ""


def test_the_extent_counts_rows_runs_and_seeds(runs):
    assert remarks.extent(compare.rows(runs)) == "2 rows are shown here, 4 runs in all (seeds 0 and 1)."
    assert remarks.extent(compare.rows(runs[::2])) == "2 rows are shown here, one run each (seed 0)."
    assert remarks.extent(compare.rows(runs[:1])) == "One row is shown here, one run (seed 0)."


def test_all_in_which_recipes_differ_is_named():
    ids = ("deep_both", "lean", "deep_augmented", "deep_no_dropout", "shallow_both", "four_block")
    runs = [made_up.run(id, profile="cpu") for id in ids]
    epochs = {run.experiment.id: run.experiment.epochs for run in runs}
    text = remarks.apart(runs, "deep_both", "lean")
    assert text == (
        "`deep_both` and `lean` differ in the network with its dropout, batch size (128 and 64) and most "
        f"epochs ({epochs['deep_both']} and {epochs['lean']}); the difference cannot be put down to one of "
        "these."
    )
    assert remarks.apart(runs, "shallow_both", "four_block").startswith(
        "`shallow_both` and `four_block` differ in the network with its dropout and most epochs "
        f"({epochs['shallow_both']} and {epochs['four_block']});"
    )
    alone = remarks.apart(runs, "deep_augmented", "deep_no_dropout")
    assert alone.endswith("differ in the network's switches alone.")
    assert "patience (3 and none)" in remarks.apart(runs, "deep_augmented", "lean")
    assert remarks.apart(runs, "lean", "lean") == ""


def test_what_imagenet_adds_is_told_only_from_a_pair_at_one_scale():
    tuned = made_up.run("mobilenet_finetuned", 0.7, profile="cpu")
    assert "cannot be told from these runs" in remarks.imagenet([tuned])
    quick = made_up.run("mobilenet_scratch", 0.4, profile="quick")
    assert "cannot be told from these runs" in remarks.imagenet([tuned, quick])
    both_quick = [quick, made_up.run("mobilenet_finetuned", 0.7, profile="quick")]
    assert "cannot be told from these runs" in remarks.imagenet(both_quick)
    text = remarks.imagenet([tuned, made_up.run("mobilenet_scratch", 0.4, profile="cpu")])
    assert "`mobilenet_finetuned` against `mobilenet_scratch`: +" in text and "better" in text
    assert "differ in the first weights and learning rate (0.05 and 0.02);" in text


def test_seven_classes_are_restricted_to_the_four_of_another_network():
    seven, four = made_up.run("mobilenet_finetuned", 0.6), made_up.run("mobilenet_top4", 0.7)
    four.__dict__["valid"] = made_up.predictions(0.7, classes=TOP_FOUR)
    text = remarks.four_of_seven(seven, four)
    positions = [seven.valid.classes.index(name) for name in TOP_FOUR]
    kept = seven.valid.take(np.isin(seven.valid.labels, positions))
    free = 100 * kept.accuracy
    forced = (
        100
        * (
            kept.probabilities[:, positions].argmax(axis=1) == [positions.index(k) for k in kept.labels]
        ).mean()
    )
    assert forced > free
    assert f"is right in {forced:.1f} % when it may only choose among these ({free:.1f} % when" in text
    assert f"`mobilenet_top4` (seed 0), trained on these only, in {100 * four.valid.accuracy:.1f} %" in text
    quick = made_up.run("mobilenet_top4", profile="quick")
    assert remarks.four_of_seven(seven, quick).endswith("different scales: not compared.")


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
