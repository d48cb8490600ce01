import made_up
import pandas as pd
import pytest

from ferlib import claims, compare, differences, findings

SHARES = {"shallow_plain": 0.5, "deep_plain": 0.6, "deep_both": 0.75, "mini_xception": 0.66}


@pytest.fixture(scope="module")
def runs():
    return [made_up.run(id, share, seed) for id, share in SHARES.items() for seed in (0, 1)]


@pytest.fixture(scope="module")
def table(runs):
    return compare.results_table(runs)


@pytest.fixture(scope="module")
def judged(runs):
    return claims.claims_table(runs, made_up.dataset())


def test_headline_states_the_numbers_of_the_best_row(table):
    text = findings.headline(table, "deep_both")
    row = table.loc["deep_both"]
    assert f"{100 * row['test_accuracy']:.1f} % of the faces" in text
    assert f"interval {100 * row['test_low']:.1f} % to {100 * row['test_high']:.1f} %" in text
    assert "mean of 2 seeds" in text and "deep CNN, augmented and tuned" in text


def test_caution_speaks_up_only_where_needed(table):
    real, drawn = made_up.dataset(), made_up.dataset(is_demo=True)
    assert findings.caution(real, table) == ""
    assert "not FER-2013" in findings.caution(drawn, table)
    mixed = compare.results_table(
        [made_up.run("deep_both", profile="quick"), made_up.run("four_block", profile="cpu")]
    )
    assert "1 of 2 rows (`deep_both`) had a quick training" in findings.caution(real, mixed)
    assert "1 of 2 rows (`four_block`) saw all images, but on a processor" in findings.caution(real, mixed)
    assert "The network had a quick training" in findings.caution(real, mixed.loc[["deep_both"]])
    quick = mixed.assign(profile="quick")
    assert "All rows had a quick training" in findings.caution(real, quick)
    assert "saw all images" not in findings.caution(real, quick)
    many = pd.concat([quick.add_prefix(f"{n}_", axis=0) for n in range(2)] + [mixed.loc[["four_block"]]])
    assert "4 of 5 rows had a quick training" in findings.caution(real, many)
    whole = compare.results_table([made_up.run("prior", profile="cpu")])
    assert findings.caution(real, whole) == "", "its ten epochs are all that it was meant to have"


def test_single_runs_are_warned_of():
    quick = made_up.run("deep_both", profile="quick")
    assert "quick" in findings.warning(made_up.dataset(), [quick])
    assert findings.warning(made_up.dataset(), [made_up.run("deep_both")]) == ""


def test_rows_are_held_against_reported_figures(table):
    text = findings.against_reports(table)
    assert text.startswith("4 rows have a figure reported elsewhere: 1 of them lie above it")
    assert "2 below it, 1 cannot be told from it" in text
    assert "No row" in findings.against_reports(table.assign(reported=None))
    quick = table.assign(profile="quick", test_accuracy=0.1, test_low=0.0, test_high=0.2).add_prefix(
        "q_", axis=0
    )
    assert findings.against_reports(pd.concat([table, quick])) == text.replace(
        "rows", "rows, quick ones aside,"
    )
    assert findings.against_reports(quick).startswith("4 rows have a figure reported elsewhere: 0 of them")


def test_verdicts_are_counted_and_listed(judged):
    text = findings.verdicts(judged)
    assert text.startswith(f"Of {len(judged)} claims") and "could not be tested" in text
    assert all(str(number) in text for number in judged["verdict"].value_counts())
    bullets = findings.by_verdict(judged).splitlines()
    assert (
        "- **Not tested (no run of shallow_tuned):** “Tuning the training lifts" in bullets[-1] + bullets[-2]
    )
    assert sum(bullet.count("“") for bullet in bullets) == len(judged)
    order = [bullet[4:8] for bullet in bullets]
    assert order == sorted(order, key=["Hold", "Does", "With", "Not "].index)


def test_batches_are_told_by_steps_time_and_memory():
    runs = [
        made_up.run(f"deep_batch_{size}", 0.6, steps_per_epoch=28709 / size, seconds_per_epoch=600 / size)
        for size in (16, 512)
    ]
    text = findings.batch_ablation(compare.results_table(runs))
    assert "fall from 1,794 to 56" in text and "go from 37.5 to 1.2" in text
    assert "900 to 900 MB" in text


@pytest.mark.parametrize("temperature, word", [(1.4, "overconfident"), (0.8, "underconfident")])
def test_calibration_names_the_direction(table, temperature, word):
    row = table.loc["deep_both"].copy()
    row["temperature"] = temperature
    text = findings.calibration(row)
    assert word in text and "falls from 10.0 % to 2.0 %" in text
    row["calibration_error_scaled"] = 0.2
    assert "does not fall: it goes from 10.0 % to 20.0 %" in findings.calibration(row)
    row["calibration_error_scaled"] = 0.1001
    assert "error stays at 10.0 %;" in findings.calibration(row)


def test_costs_and_calibrations_are_summed_up(table):
    table = table.assign(milliseconds=1.0, calibration_error=0.1, calibration_error_scaled=0.2)
    table.loc["deep_both", ["milliseconds", "calibration_error_scaled"]] = 4.0, 0.05
    assert findings.costs(table).endswith("`deep_both` takes 4 times as long.")
    text = findings.calibrations(table)
    assert f"in 1 of {len(table)} rows: 10.0 % to " in text
    table.loc["deep_plain", "profile"] = "quick"
    assert f"in 1 of {len(table) - 1} rows, quick ones aside: " in findings.calibrations(table)
    assert findings.costs(table.assign(milliseconds=float("nan"))) == ""


def test_abstract_and_lessons_are_made_of_the_results(table, judged, runs):
    text = findings.abstract(table, "deep_both", judged, made_up.dataset(), "mini_xception")
    assert (
        "grey faces of FER-2013" in text
        and "120 (PrivateTest) to judge by" in text
        and "were run 8 times in all" in text
    )
    assert findings.headline(table, "deep_both") in text and "`mini_xception` watches video" in text
    same = findings.abstract(table, "deep_both", judged, made_up.dataset(is_demo=True), "deep_both")
    assert "nothing was chosen by it. The faces are drawn" in same and "`deep_both` watches video" in same
    pairs = differences.paired_differences(runs, [("deep_plain", "deep_both"), ("deep_plain", "deep_plain")])
    assert len(findings.lessons(table, "deep_both", judged, pairs, "").splitlines()) == 3
    lessons = findings.lessons(table, "deep_both", judged, pairs, "Leaks matter.")
    assert "- Leaks matter." in lessons.splitlines()
    assert "+1.0 points" in lessons and "1 of 2 paired differences" in lessons
