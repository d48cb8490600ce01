"""Networks are held against labels and votes on the right images, and every number can be counted by hand."""

from dataclasses import replace

import made_up
import numpy as np
import pytest

from ferlib import cli
from ferlib.data import audit, fer2013, votes
from ferlib.evaluate import crowd, summary
from ferlib.evaluate.comparison import Difference
from ferlib.labels import CLASSES, FerlibError
from ferlib.tools import export
from ferlib.train import targets
from ferlib.train.predicting import Predictions

IMAGES = 120


@pytest.fixture(scope="module")
def cast():
    """Votes on 120 images: seven or eight for the label or, on every third image, for the next class."""
    labels = made_up.dataset(IMAGES).valid.labels
    answers = np.where(np.arange(IMAGES) % 3 == 0, (labels + 1) % 7, labels)
    table = np.zeros((IMAGES, 10), np.uint8)
    table[np.arange(IMAGES), answers] = np.where(np.arange(IMAGES) % 2, 8, 5)
    table[np.arange(IMAGES), (answers + 2) % 7] = np.where(np.arange(IMAGES) % 2, 2, 4)
    table[:, 8] = 10 - table.sum(axis=1)
    table[10] = [5, 5, *[0] * 8]  # no unique first place
    table[11] = [3, 0, 0, 0, 0, 0, 0, 7, 0, 0]  # contempt
    table[12] = 0  # not voted on
    return table


@pytest.fixture
def voted(cast, monkeypatch):
    """A data set with these votes, of which every fifth image of PublicTest has a copy in training."""
    monkeypatch.setattr(votes, "of", lambda split: cast[split.names.astype(int)])
    clean = np.arange(IMAGES) % 5 > 0
    found = type("Found", (), {"leak_free": lambda self, split: {"valid": clean, "test": ~clean}[split]})()
    monkeypatch.setattr(audit, "audit", lambda dataset: found)
    return made_up.dataset(IMAGES)


@pytest.fixture
def judged(voted):
    runs = [made_up.run("lean", 0.8, seed, images=IMAGES, tested=False) for seed in (0, 1)]
    return crowd.judge([*runs, made_up.run("mobilenet_top4", images=IMAGES)], voted)


def test_the_network_for_a_camera_is_chosen_by_the_crowd(voted, monkeypatch):
    def run(id, hits, **facts):
        seen = votes.majority(votes.of(voted.valid))
        answers = np.where(hits(seen, voted.valid.labels), seen, (seen + 3) % 7)
        said = np.eye(7, dtype="float32")[answers]
        made = made_up.run(id, images=IMAGES, tested=False, parameters=10**6, macs=10**7)
        return replace(made, valid=replace(made.valid, probabilities=said))

    by_people = run("lean_crowd", lambda seen, _: seen >= 0)
    by_labels = run("lean", lambda seen, own: seen == own)
    assert crowd.choose([by_labels, by_people], voted) == "lean_crowd"
    monkeypatch.setattr(votes, "of", lambda split: None)
    assert crowd.choose([by_labels, by_people], voted) == "lean", "nobody voted: the labels choose"


def test_a_network_is_made_as_sure_as_its_teachers_are(voted, cast):
    sharp = votes.distribution(cast) ** 2 + 1e-6
    sharp /= sharp.sum(axis=1, keepdims=True)
    made = made_up.run("lean_crowd", images=IMAGES, tested=False)
    run = replace(made, valid=replace(made.valid, probabilities=sharp.astype("float32")))
    assert 1.5 < export.temperature(run, voted) < 2.1, "squared shares are about twice as sure"


def test_rows_of_seven_classes_meet_the_votes_of_either_split(judged, voted, cast):
    (lean,) = judged
    assert lean.row == "lean" and len(lean.predictions) == 2
    assert (lean.cast == cast).all() and lean.clean.sum() == IMAGES * 4 // 5
    assert (lean.seen == votes.majority(cast)).all() and (lean.seen < 0).sum() == 3
    run = made_up.run("lean", 0.9, images=IMAGES)
    (one,) = crowd.judge([run], voted, "test")
    assert one.predictions[0] is run.test and one.clean.sum() == IMAGES / 5


def test_a_run_on_part_of_the_images_meets_the_votes_of_that_part(voted, cast):
    quick = made_up.run("lean", profile="quick", images=IMAGES, tested=False)
    kept = replace(quick.experiment, valid_images=70)
    part = targets.judged(kept, voted.valid)
    places = part.names.astype(int)
    (one,) = crowd.judge([replace(quick, experiment=kept, valid=quick.valid.take(places))], voted)
    assert len(places) == 70 and (one.cast == cast[places]).all()
    with pytest.raises(FerlibError, match="lean was tested on other images"):
        crowd.judge([replace(quick, experiment=kept, valid=quick.valid.take(places[::-1]))], voted)


def test_without_votes_nothing_is_judged():
    with pytest.raises(FerlibError, match="nobody voted on these images"):
        crowd.judge([], made_up.dataset())


def test_the_table_counts_both_truths_on_the_same_images(judged, cast):
    (lean,) = judged
    row, seen = crowd.table(judged).loc["lean"], votes.majority(cast)
    known, right = seen >= 0, lean.told == seen
    agreed, clean = known & (cast.max(axis=1) >= 6), known & (np.arange(IMAGES) % 5 > 0)
    assert row["seeds"] == 2 and row["images"] == known.sum() == IMAGES - 3
    assert row["label"] == pytest.approx((lean.told == lean.labels)[:, known].mean())
    shares = [right[:, images].mean() for images in (known, agreed, clean)]
    assert row[["crowd", "agreed", "leak_free"]].tolist() == pytest.approx(shares)
    assert row["agreed_images"] == agreed.sum() < known.sum() and row["leak_free_images"] == clean.sum()
    for name in ("crowd", "agreed", "label", "leak_free", "cross_entropy"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_cross_entropy_and_calibration_are_to_the_shares_of_votes(judged, cast):
    row = crowd.table(judged).loc["lean"]
    enough, shares = votes.enough(cast), votes.distribution(cast)
    surprises, gaps = [], []
    for network in judged[0].predictions:
        logs = np.log(network.probabilities.astype("float64"))
        surprises.append(-(shares * logs).sum(axis=1)[enough].mean())
        said = shares[np.arange(IMAGES), network.predicted]
        gaps.append((network.confidence - said)[enough].mean())
    assert row["cross_entropy"] == pytest.approx(np.mean(surprises))
    # All answers have the confidence 0.8, so that there is one bin.
    assert row["calibration_error"] == pytest.approx(np.mean(np.abs(gaps)), abs=1e-6)
    (bin,) = crowd.reliability(judged[0]).to_dict("records")
    assert bin["images"] == 2 * enough.sum(), "of two seeds"
    assert bin["confidence"] - bin["hits"] == pytest.approx(np.mean(gaps), abs=1e-6)


def test_labels_and_crowd_stand_in_the_table_as_readers(judged, cast):
    table = crowd.table(crowd.readers(judged[0]))
    label, people = table.loc[crowd.READERS[0]], table.loc[crowd.READERS[1]]
    known = votes.majority(cast) >= 0
    agreement = (votes.majority(cast) == judged[0].labels)[known].mean()
    assert label["label"] == people["crowd"] == 1
    assert label["crowd"] == people["label"] == pytest.approx(agreement)
    shares = votes.distribution(cast)[votes.enough(cast)]
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1).mean()
    assert people["cross_entropy"] == pytest.approx(entropy) and np.isnan(label["cross_entropy"])


def test_recall_by_class_is_by_either_truth(judged, cast):
    table = crowd.per_class(judged[0])
    assert list(table.index) == sorted(CLASSES)
    seen, told, labels = votes.majority(cast), judged[0].told, judged[0].labels
    row, code = table.loc["sad"], CLASSES.index("sad")
    by_label = (labels == code) & (seen >= 0)
    assert row["images"] == (seen == code).sum() and row["label_images"] == by_label.sum()
    assert row["crowd"] == pytest.approx((told[:, seen == code] == code).mean())
    assert row["labelled"] == pytest.approx((labels[seen == code] == code).mean())
    assert row["label"] == pytest.approx((told[:, by_label] == code).mean())


def test_agreement_and_matrix_tell_the_same(judged, cast):
    ways, sides = crowd.agreement(judged[0]), crowd.matrix(judged[0])
    seen, told, labels = votes.majority(cast), judged[0].told, judged[0].labels
    known, everybody = seen >= 0, ways["all images"]
    assert ways.sum().to_numpy() == pytest.approx(np.ones(8))
    counted = {
        "all agree": (told == seen) & (seen == labels),
        "label and network": (told == labels) & (seen != labels),
        "none agree": (told != seen) & (told != labels) & (seen != labels),
    }
    for way, images in counted.items():
        assert everybody[way] == pytest.approx(images[:, known].mean())
    apart = sides[sides.index.get_level_values("label") != sides.index.get_level_values("crowd")]
    assert sides["images"].sum() == known.sum() and apart["images"].sum() == (seen != labels)[known].sum()
    with_crowd = (apart["with crowd"] * apart["images"]).sum() / known.sum()
    assert everybody["crowd and network"] == pytest.approx(with_crowd)


def test_the_published_protocol_counts_contempt_and_leaves_unclear_images_out():
    cast = np.zeros((6, 10), np.uint8)
    cast[0, [3, 4]] = 6, 4  # happy
    cast[1, [7, 0]] = 8, 2  # contempt
    cast[2, [3, 4, 5]] = 5, 3, 2  # no more than half
    cast[3, [8, 0]] = 7, 3  # unknown
    cast[4, [4, 0, 1, 2, 3, 5]] = 5, 1, 1, 1, 1, 1  # sad, once single votes are gone
    cast[5, [0, 6]] = 9, 1  # angry
    assert votes.more_than_half(cast).tolist() == [3, 7, -1, -1, 4, 0]
    answers = np.eye(7)[[3, 0, 0, 0, 4, 1]]
    said = Predictions(np.zeros(6, int), answers, np.arange(6).astype(str), CLASSES)
    one = crowd.Judged("lean", (said,), cast, np.ones(6, bool))
    assert crowd.published_accuracy(one).value == 0.5


def test_one_row_gains_on_another_by_either_truth(voted):
    shares = {"lean": 0.9, "best": 0.4}
    runs = [made_up.run(id, share, images=IMAGES, tested=False) for id, share in shares.items()]
    lean, best = crowd.judge(runs, voted)
    found = crowd.gain(lean, best)
    assert found.value == pytest.approx(lean.by_crowd.value - best.by_crowd.value) and found.low < found.value
    right = [(one.predictions[0].correct)[one.seen >= 0].mean() for one in (lean, best)]
    assert crowd.gain(lean, best, by="label").value == pytest.approx(right[0] - right[1])
    afraid = lean.seen == CLASSES.index("fear")
    named = [one.predictions[0].predicted[afraid] == CLASSES.index("fear") for one in (lean, best)]
    assert crowd.gain(lean, best, among="fear").value == pytest.approx(named[0].mean() - named[1].mean())
    assert crowd.gain(lean, None) == Difference(), "of a row that was not trained nothing is known"


def test_other_seeds_would_change_what_a_network_says_and_not_what_the_labels_say(judged, monkeypatch):
    (lean,), labels = judged, crowd.readers(judged[0])[0]

    def intervals(**deviations):
        monkeypatch.setattr(summary, "seed_deviation", lambda split: (deviations[split], 20))
        return [one.by_crowd.interval() for one in (lean, labels, replace(lean, split="test"))]

    images, seeds = intervals(valid=0.0, test=0.0), intervals(valid=0.05, test=0.0)
    assert seeds[1:] == images[1:], "the label is no network, and PrivateTest has its own scatter"
    assert seeds[0][0] < images[0][0] - 0.01 and seeds[0][1] > images[0][1] + 0.01


def test_the_command_prints_both_truths_and_refuses_rows_that_it_lacks(voted, monkeypatch, capsys):
    monkeypatch.setattr(fer2013, "load", lambda source: voted)
    assert cli.main(["evaluate"]) == 1
    assert "no network was trained on this data" in capsys.readouterr().err
    made_up.saved(made_up.run("mobilenet_top4", images=IMAGES, tested=False))
    assert cli.main(["evaluate"]) == 1
    assert "no network of all seven emotions is finished" in capsys.readouterr().err
    made_up.saved(made_up.run("lean", 0.9, images=IMAGES, tested=False))
    assert cli.main(["evaluate", "lean"]) == 0
    printed = capsys.readouterr().out
    row = crowd.table(crowd.judge(summary.every_run(voted), voted)).loc["lean"]
    (line,) = (line for line in printed.splitlines() if line.split()[:1] == ["lean"])
    assert f"{100 * row['crowd']:.1f} (" in line and f"{100 * row['label']:.1f} (" in line
    assert "lean, class by class" in printed and "lean, who agrees" in printed
    assert cli.main(["evaluate", "deep_both"]) == 1
    assert "deep_both has no finished run" in capsys.readouterr().err


def test_of_each_row_full_runs_count_before_quick_ones(voted):
    made_up.saved(made_up.run("lean", profile="quick", images=IMAGES, tested=False))
    for seed in (0, 1):
        made_up.saved(made_up.run("lean", 0.9, seed, images=IMAGES, tested=False))
    made_up.saved(made_up.run("prior", profile="quick", images=IMAGES, tested=False))
    found = [(run.experiment.id, run.profile, run.seed) for run in summary.every_run(voted)]
    assert sorted(found) == [("lean", "full", 0), ("lean", "full", 1), ("prior", "quick", 0)]


def test_the_label_agrees_with_the_crowd_as_published_for_fer2013(real_dataset):
    cast = votes.of(real_dataset.valid)
    seen = votes.majority(cast)
    assert (seen >= 0).sum() == 3372 and votes.agreed(cast).sum() == 2854
    labels = np.eye(7, dtype="float32")[real_dataset.valid.labels]
    told = Predictions(real_dataset.valid.labels, labels, real_dataset.valid.names, CLASSES)
    one = crowd.Judged("labels", (told,), cast, np.ones(len(cast), bool))
    assert crowd.table([one]).loc["labels", "crowd"] == pytest.approx(0.6536, abs=5e-5)
