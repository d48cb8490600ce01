from dataclasses import replace

import made_up
import numpy as np
import pytest
from scipy import stats

from ferlib.evaluate import claims, metrics
from ferlib.evaluate.claims import FAILS, HOLDS, NOISE, UNTESTED
from ferlib.labels import CLASSES
from ferlib.train import experiments
from ferlib.train.experiments import EXPERIMENTS

DATASET = made_up.dataset()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw fewer resamples, and spare the collection of garbage that statsmodels orders each time."""
    monkeypatch.setattr(metrics, "RESAMPLES", 1000)
    monkeypatch.setattr("gc.collect", lambda *generation: 0)
    metrics._weights.cache_clear()
    yield
    metrics._weights.cache_clear()


def judged(runs, text, dataset=DATASET):
    """The row of the claims table whose claim contains a text."""
    table = claims.claims_table(runs, dataset)
    (row,) = table[table["claim"].str.contains(text)].to_dict("records")
    return row


def verdict(runs, text):
    return judged(runs, text)["verdict"]


def pair(better, worse, high=0.75, low=0.55):
    """Three seeds of two rows."""
    shares = {better: high, worse: low}
    return [made_up.run(id, share, seed) for id, share in shares.items() for seed in range(3)]


@pytest.mark.parametrize(
    "text, better, worse",
    [
        ("Tuning the training", "shallow_tuned", "shallow_plain"),
        ("holds the shallow CNN back", "shallow_plain", "shallow_augmented"),
        ("Augmentation and tuning", "deep_both", "deep_plain"),
        ("bottleneck", "deep_both", "mobilenet_frozen"),
        ("Batch normalization", "deep_augmented", "deep_no_batch_norm"),
        ("Dropout", "deep_augmented", "deep_no_dropout"),
    ],
)
def test_claims_of_a_better_row(text, better, worse):
    row = judged(pair(better, worse), text)
    assert row["verdict"] == HOLDS and f"against {worse}" in row["measured"]
    assert row["low"] < row["effect"] < row["high"] and row["effect"] == pytest.approx(0.2, abs=0.05)
    assert verdict(pair(better, worse, 0.55, 0.75), text) == FAILS
    assert verdict(pair(better, worse, 0.65, 0.65), text) == NOISE


def test_missing_and_quick_runs_and_demo_faces_are_not_judged():
    text = "Augmentation and tuning"
    row = judged([made_up.run("deep_both")], text)
    assert row["verdict"] == UNTESTED and row["why"] == "no run of deep_plain" and np.isnan(row["effect"])
    quick = [replace(run, profile="quick") for run in pair("deep_both", "deep_plain")]
    row = judged(quick, text)
    assert row["verdict"] == UNTESTED and row["why"] == "quick runs only" and row["effect"] > 0
    assert np.isnan(row["p_holm"]) and row["reported"] == "65.55 % to 68.62 %"
    assert judged(pair("deep_both", "deep_plain"), text, made_up.dataset(is_demo=True))["why"] == "demo faces"
    assert set(claims.claims_table([], DATASET)["verdict"]) == {UNTESTED}


def test_claims_are_shown_corrected_for_their_number_with_what_was_reported_or_why_not_tested():
    runs = pair("shallow_tuned", "shallow_plain") + pair("deep_both", "deep_plain")
    table = claims.claims_table(runs, DATASET)
    ps = table["p_holm"].dropna()
    assert len(ps) > 2
    assert ps.min() == pytest.approx(len(ps) * 2 / 1001), "the smallest p that 1,000 draws can give"
    shown = claims.shown(table)
    assert shown["p"][0] == f"≤ {np.ceil(1000 * ps.min()) / 1000:.3f}" and shown["p"][1] == "–"
    assert shown["claim"][0] == "Tuning the training lifts the shallow CNN (reported: 56.31 % to 61.1 %)"
    assert shown["effect"][0].startswith(f"{100 * table['effect'][0]:+.1f} (")
    assert shown["effect"][1] == "–" and shown["measured"][1].startswith("no run of")
    assert "against shallow_plain" in shown["measured"][0]


def test_batches_double_from_row_to_row():
    sizes = [EXPERIMENTS[id].batch_size for id in claims.BATCHES]
    assert sizes == [32, 64, 128, 256, 512]
    alike = {experiments.key(replace(EXPERIMENTS[id], batch_size=64)) for id in claims.BATCHES}
    assert len(alike) == 1, "nothing else differs"


def runs_with_gaps(others, plain):
    gaps = dict.fromkeys(claims.CLOSE_ROWS, others) | dict.fromkeys(claims.OPEN_ROWS, plain)
    return [made_up.run(id, 0.6, train_accuracy=0.6 + gap, images=3000) for id, gap in gaps.items()]


@pytest.mark.parametrize("text", ["overfits", "stay close"])
def test_gaps_that_older_runs_did_not_count_are_not_judged(text):
    runs = runs_with_gaps(0.0, 0.3)
    assert judged(runs, text)["why"] == ""
    next(run for run in runs if run.experiment.id == "deep_plain").result.pop("clean_train_accuracy")
    row = judged(runs, text)
    assert row["verdict"] == UNTESTED and np.isnan(row["effect"]) and row["measured"] == ""
    assert row["why"].startswith("no accuracy on unchanged training images of 1 of ")


@pytest.mark.parametrize(
    "others, plain, overfits, stay_close",
    [(0.0, 0.2, HOLDS, HOLDS), (0.2, 0.0, FAILS, FAILS), (0.12, 0.3, HOLDS, FAILS), (0.0, 0.0, NOISE, FAILS)],
)
def test_gaps_are_judged_by_the_worst_row(others, plain, overfits, stay_close):
    runs = runs_with_gaps(others, plain)
    assert verdict(runs, "overfits") == overfits
    row = judged(runs, "stay close")
    assert row["verdict"] == stay_close
    near = 7 if others < claims.CLOSE else 0
    assert row["measured"].startswith(f"{near} of the 7 others have a gap below 5 points")


@pytest.mark.parametrize("slope, expected", [(-0.06, HOLDS), (0.06, FAILS), (0.0, NOISE)])
def test_large_batches_are_judged_by_a_slope(slope, expected):
    runs = [made_up.run(id, 0.6 + slope * power) for power, id in enumerate(claims.BATCHES, -1)]
    row = judged(runs, "Large batches")
    assert row["verdict"] == expected
    assert row["effect"] == pytest.approx(-slope, abs=0.015)


def test_the_slope_over_batches_is_as_uncertain_as_trainings_scatter_about_it():
    scatter = (0.05, -0.05, 0.05, -0.05, 0.05)
    runs = [
        made_up.run(id, 0.6 - 0.015 * power + away, images=4000)
        for (power, id), away in zip(enumerate(claims.BATCHES, -1), scatter, strict=True)
    ]
    row = judged(runs, "Large batches")
    accuracies = [run.test.accuracy for run in runs]
    line = stats.linregress(np.arange(5), accuracies)
    assert row["verdict"] == NOISE and row["effect"] == pytest.approx(-line.slope)
    width = 2 * stats.t(len(runs) - 2).ppf(0.975) * line.stderr
    assert row["high"] - row["low"] == pytest.approx(width, rel=0.15)
    more = runs + [made_up.run(run.experiment.id, run.test.accuracy, 1, images=4000) for run in runs]
    assert "from 10 trainings" in judged(more, "Large batches")["measured"]


@pytest.mark.parametrize("surprise, expected", [(0.9, HOLDS), (0.3, FAILS)])
def test_easiest_classes_have_the_highest_recall(surprise, expected):
    shares = [{"happy": 0.95, "surprise": surprise}.get(name, 0.6) for name in CLASSES]
    row = judged([made_up.run("deep_both", shares, images=2000)], "easiest")
    assert row["verdict"] == expected and row["measured"].startswith("recall of happy 9")


def test_mistakes_go_where_claimed_and_each_claim_names_one_pair():
    circle = {"fear": "sad", "sad": "fear", "neutral": "sad", "disgust": "angry", "surprise": "happy"}
    run = made_up.run("deep_both", 0.5, images=2000, wrong=circle)
    table = claims.claims_table([run], DATASET).set_index("claim")
    both, mistaken = "are confused with each other", "is mistaken for"
    expected = {
        f"Fear and sad {both}": HOLDS,
        f"Neutral and sad {both}": FAILS,
        f"Fear and neutral {both}": FAILS,
        f"Disgust {mistaken} anger": HOLDS,
        f"Disgust {mistaken} sadness": FAILS,
        f"Surprise {mistaken} anger": FAILS,
    }
    assert table["verdict"][list(expected)].to_dict() == expected
    assert "100.0 % of the mistakes" in table["measured"][f"Disgust {mistaken} anger"]
    assert verdict([made_up.run("deep_both", 0.5, images=2000)], "Disgust is mistaken for anger") == NOISE


def test_a_network_that_takes_everything_for_anger_does_not_confuse_it_with_disgust():
    everything = {name: "angry" for name in CLASSES if name != "angry"}
    run = made_up.run("deep_both", 0.5, images=2000, wrong=everything)
    row = judged([run], "Disgust is mistaken for anger")
    assert row["measured"] == "100.0 % of the mistakes, 100.0 % of those on other classes"
    assert row["effect"] == 0 and row["verdict"] == NOISE


def test_every_row_that_a_claim_needs_exists():
    assert {id for claim in claims.CLAIMS for id in claim.needs} <= set(experiments.EXPERIMENTS)
