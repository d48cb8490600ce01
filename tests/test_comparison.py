"""Ways of training are compared image by image, and what was not run or ran otherwise stays unknown."""

from dataclasses import replace
from types import SimpleNamespace

import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib.evaluate import comparison, private_test, summary
from ferlib.labels import TOP_FOUR
from ferlib.train import experiments, record
from ferlib.words import p_value

SHARES = {"shallow_plain": 0.5, "deep_plain": 0.7}


@pytest.fixture(scope="module")
def runs():
    return [made_up.run(id, share, seed) for id, share in SHARES.items() for seed in (0, 1)]


def shown(results):
    return summary.display_table(results, summary.PUBLIC_COLUMNS)


def test_results_are_means_over_seeds_and_missing_for_rows_that_were_not_run(runs):
    table = comparison.results([replace(run, test=None) for run in runs])
    row, of_row = table.loc["deep_plain"], [run for run in runs if run.experiment.id == "deep_plain"]
    assert row["seeds"] == 2 and row["classes"] == 7 and table.index.name == "experiment"
    assert row["public"] == pytest.approx(np.mean([run.result["valid_accuracy"] for run in of_row]))
    assert row["low"] < row["public"] < row["high"] and row["gap"] == pytest.approx(0.7 - row["public"])
    assert (table.public["lean"] > 0.1) is pd.NA
    assert list(shown(table).index) == list(SHARES) and not {"test_accuracy", "macro_f1"} & set(table)
    result = {name: value for name, value in runs[-1].result.items() if name != "clean_train_accuracy"}
    unknown = comparison.results([*runs[:-1], replace(runs[-1], result=result)])
    assert (unknown.gap["deep_plain"] > 0.1) is pd.NA and unknown.gap["shallow_plain"] > 0


def test_results_are_shown_in_percent_where_there_are_any():
    runs = [made_up.run("deep_plain", seed=seed, epochs=7 + seed) for seed in (0, 1)]
    table = comparison.results([*runs, made_up.run("lean")])
    row, told = table.loc["deep_plain"], shown(table)
    assert told.loc["deep_plain"].to_dict() == {
        "seeds": 2,
        "epochs": "8 of 60",
        "training %": pytest.approx(70),
        "PublicTest %": pytest.approx(100 * row["public"]),
        "95 % interval": f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
        "macro-F1 %": pytest.approx(100 * row["public_f1"]),
        "elsewhere %": pytest.approx(65.55),
        "parameters": np.mean([run.result["parameters"] for run in runs]),
    }
    assert pd.api.types.is_integer_dtype(told["parameters"])
    assert set(told) - set(shown(comparison.results([made_up.run("lean")]))) == {"elsewhere %"}


def test_a_difference_is_told_apart_where_its_interval_leaves_zero_out(runs):
    deeper = comparison.difference(runs, "deep_plain", "shallow_plain")
    assert deeper.above and not deeper.below and deeper.low < deeper.value < deeper.high
    assert comparison.difference(runs, "shallow_plain", "deep_plain").below
    same = comparison.difference(runs, "deep_plain", "deep_plain")
    assert not same.above and not same.below
    known = {"value": -0.03, "low": -0.0718, "high": 0.0124}
    assert comparison.Difference(**known).fields() == known | {"interval": "−7.2 to +1.2 points"}
    unknown = comparison.difference(runs, "best", "deep_plain")
    assert unknown.above is unknown.below is unknown.fields()["interval"] is pd.NA


def test_rows_of_seven_and_of_four_classes_meet_on_the_four():
    pair = ("mobilenet_top4", "mobilenet_finetuned")
    seven = made_up.run(pair[1], 0.9, images=700)
    kept = seven.valid.among(TOP_FOUR)
    turned = replace(kept, probabilities=kept.probabilities[:, ::-1])
    four, third = replace(made_up.run(pair[0]), valid=turned), made_up.run("lean", images=20)
    few = replace(four, valid=turned.take(np.arange(50)))
    elsewhere = replace(seven, valid=seven.valid.take(~np.isin(seven.valid.names, few.valid.names)))

    def value(*runs):
        return comparison.difference(runs, *pair, classes=TOP_FOUR).value

    by_hand = turned.correct.astype(float) - kept.correct
    assert value(four, seven, third) == pytest.approx(by_hand.mean())
    assert value(few, seven, third) == pytest.approx(by_hand[:50].mean()), "on the images of both"
    assert value(few, elsewhere) is value(third) is pd.NA, "there are none"
    with pytest.raises(ValueError, match="same images"):
        comparison.difference([four, seven], *pair)


def test_variation_between_seeds_widens_intervals(monkeypatch, runs):
    alone = comparison.difference(runs, "deep_plain", "shallow_plain")
    monkeypatch.setattr(summary, "seed_deviation", lambda split: (0.05, 30))
    wider = comparison.difference(runs, "deep_plain", "shallow_plain")
    assert wider.value == alone.value
    width = wider.high - wider.low
    images = (alone.high - alone.low) / 3.92  # standard errors
    assert width / 3.92 == pytest.approx(np.hypot(images, 0.05), rel=0.1)  # two rows of two seeds each


def test_seeds_deviate_as_recorded_rows_with_several_do():
    assert summary.seed_deviation() == (0.0, 1)
    record.publish(made_up.run("lean", seed=seed, valid_accuracy=0.6 + seed / 50) for seed in range(3))
    record.publish([made_up.run("deep_plain", valid_accuracy=0.5)])  # one seed says nothing
    for fixed in ("prior", "logistic", "mobilenet_frozen"):  # which vary less, or not at all
        record.publish(made_up.run(fixed, seed=seed, valid_accuracy=0.25 + seed / 10) for seed in range(3))
    assert summary.seed_deviation() == (pytest.approx(0.02), 2)


def test_quick_runs_are_left_out_where_there_are_others(runs):
    quick = made_up.run("lean", profile="quick")
    assert comparison.at_scale([*runs, quick]) == runs and comparison.at_scale([quick]) == [quick]


def test_runs_and_rows_are_picked_by_seed_and_by_public_test(runs):
    assert comparison.first(runs, "deep_plain").seed == 0 and comparison.first(runs, "lean") is None
    assert comparison.best_of(runs, ["shallow_plain"]) == "shallow_plain"
    others = [made_up.run(id, share) for id, share in [("prior", 0.3), ("deep_both", 0.8)]]
    others.append(made_up.run("mobilenet_top4", 0.9))  # four classes are easier
    others.append(
        replace(made_up.run("lean", 0.4), test=made_up.predictions(0.99))
    )  # PrivateTest chooses nothing
    assert comparison.best_of([*runs, *others]) == "deep_both"
    assert comparison.runner_up([*runs, *others]) == "deep_plain"


def test_recipes_tell_what_ran_and_what_was_meant():
    capped = made_up.run("deep_plain", profile="quick")
    table = comparison.recipes([capped, made_up.run("deep_tuned", steps_per_epoch=4)])
    assert table.loc["deep_plain", ["epochs", "patience"]].tolist() == ["5 of 60", "3 of 10"]
    told = table.loc["deep_tuned"]
    assert told[["optimizer", "learning rate"]].tolist() == ["SGD, Nesterov 0.9", "0.05 cosine"]
    assert told[["augmentation", "epochs", "patience", "batch"]].tolist() == ["none", "60", "–", 128]
    assert told[["warm-up", "weight decay", "smoothing"]].tolist() == ["0.1", "0.005", "0.1"]
    assert told["averaging"] == "0.958"


def test_paired_differences_see_what_differs(runs):
    pairs = [("shallow_plain", "deep_plain"), ("deep_plain", "prior"), ("deep_plain", "deep_plain")]
    table = comparison.paired_differences(runs, pairs)
    assert len(table) == 2  # nobody ran prior
    better, same = table.iloc[0], table.iloc[1]
    assert better["difference"] == pytest.approx(0.2, abs=0.06) and better["low"] > 0
    assert better["p_holm"] == pytest.approx(2 * better["p"]) and better["p"] < 0.01
    assert better["p_mcnemar"] < 0.001 and better["seeds"] == "2, 2"
    assert same["difference"] == 0 and same["p"] == 1
    assert {id for pair in comparison.PAIRS for id in pair} <= set(experiments.TABLE)


def by_heart(run, known):
    """The run, always right on known images of PrivateTest."""
    chances = np.where(known[:, None], np.eye(7)[run.test.labels], run.test.probabilities)
    return replace(run, test=replace(run.test, probabilities=chances.astype("float32")))


def test_leaked_images_favour_who_remembers_them():
    """The plain one of two rows that are equally good knows the first half of the images by heart."""
    dataset = made_up.dataset()
    half = np.arange(len(dataset.test)) < len(dataset.test) // 2
    pair = ("shallow_plain", "shallow_augmented")
    plain, augmented = (made_up.run(id, 0.5, seed, images=len(half)) for seed, id in enumerate(pair))
    runs = [by_heart(plain, half), augmented]
    audit = SimpleNamespace(leak_free=lambda split: ~half if split == "test" else np.ones(len(half), bool))
    clean = private_test.leak_free(runs, dataset, audit)
    assert (clean[0].test.names == plain.test.names[~half]).all()
    assert len(clean[0].valid) == len(plain.valid) and clean[0].result == plain.result
    leaking, fair = (comparison.paired_differences(some, [pair]) for some in (runs, clean))
    assert leaking["difference"][0] < -0.15 and abs(fair["difference"][0]) < 0.12
    shown = comparison.shown_pairs(fair).loc[0]
    assert [shown["p"], shown["McNemar"]] == [p_value(fair[p][0]) for p in ("p_holm", "p_mcnemar")]
    assert "to +" in shown["95 % interval"]
    low = comparison.shown_pairs(leaking)["95 % interval"][0]
    assert low.startswith(f"−{-100 * leaking['low'][0]:.1f} to −")


def test_what_leaks_do_to_augmentation_is_a_difference_of_differences():
    half, rows = np.arange(600) % 2 == 0, []
    for plain, augmented in comparison.AUGMENTED_ALONE:
        rows += [by_heart(made_up.run(plain, 0.5), half), made_up.run(augmented, 0.6)]
    shift, pairs = comparison.gain_on_leak_free(rows, ~half)
    by_hand = [run.test.correct[~half].mean() - run.test.correct.mean() for run in rows]
    assert shift.value == pytest.approx(np.mean(by_hand[1::2]) - np.mean(by_hand[::2]))
    assert shift.above and shift.low < shift.value < shift.high and pairs == 4
    shift, pairs = comparison.gain_on_leak_free(rows[1:], ~half)
    assert shift.value == pytest.approx(np.mean(by_hand[3::2]) - np.mean(by_hand[2::2]))
    assert pairs == 3, "a row alone is no pair"
    nothing, pairs = comparison.gain_on_leak_free(rows[:1], ~half)
    assert nothing.above is pd.NA and pairs == 0
