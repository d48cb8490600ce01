from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib.evaluate import differences, private_test
from ferlib.train import experiments


def test_paired_differences_see_what_differs():
    runs = [
        made_up.run(id, share, seed)
        for id, share in [("deep_both", 0.8), ("deep_plain", 0.6)]
        for seed in (0, 1)
    ]
    pairs = [("deep_plain", "deep_both"), ("deep_plain", "deep_plain"), ("deep_plain", "prior")]
    table = differences.paired_differences(runs, pairs)
    assert len(table) == 2  # nobody ran prior
    better, same = table.iloc[0], table.iloc[1]
    assert better["difference"] == pytest.approx(0.2, abs=0.06) and better["low"] > 0
    assert better["p_holm"] == pytest.approx(2 * better["p"]) and better["p"] < 0.01
    assert better["p_mcnemar"] < 0.001 and better["seeds"] == "2, 2"
    assert same["difference"] == 0 and same["p"] == 1


def test_pairs_of_different_profiles_are_left_out():
    runs = [made_up.run("deep_both"), made_up.run("deep_plain", profile="quick", images=500)]
    assert differences.paired_differences(runs, [("deep_plain", "deep_both")]).empty


def test_every_pair_is_of_rows_that_exist():
    assert {id for pair in differences.PAIRS for id in pair} <= set(experiments.TABLE)


def test_the_runner_up_is_second_on_public_test():
    runs = [made_up.run(id, share) for id, share in [("prior", 0.3), ("deep_both", 0.8), ("deep_plain", 0.6)]]
    runs.append(made_up.run("mobilenet_top4", 0.7))
    assert differences.runner_up(runs) == "deep_plain", "four classes are easier"


@pytest.fixture
def leaked():
    """Two rows that are equally good, but the plain one knows the first half of the images by heart."""
    dataset = made_up.dataset()
    half = np.arange(len(dataset.test)) < len(dataset.test) // 2
    plain, augmented = (
        made_up.run(id, 0.5, seed, images=len(half))
        for seed, id in enumerate(["shallow_plain", "shallow_augmented"])
    )
    known = np.where(half[:, None], np.eye(7)[plain.test.labels], plain.test.probabilities)
    plain = replace(plain, test=replace(plain.test, probabilities=known.astype("float32")))

    class Audit:
        def leak_free(self, split):
            return ~half if split == "test" else np.ones(len(dataset.valid), bool)

    runs = [plain, augmented]
    clean = private_test.leak_free(runs, dataset, Audit())
    pairs = [("shallow_plain", "shallow_augmented"), ("shallow_plain", "shallow_plain")]
    return runs, clean, [differences.paired_differences(some, pairs) for some in (runs, clean)]


def test_leak_free_runs_keep_images_without_copies_alone(leaked):
    runs, clean, _ = leaked
    assert len(clean[0].test) == len(runs[0].test) - len(runs[0].test) // 2
    assert clean[0].test.names[0] == runs[0].test.names[len(runs[0].test) // 2]
    assert len(clean[0].valid) == len(runs[0].valid) and clean[0].result == runs[0].result


def test_leaked_images_favour_who_remembers_them(leaked):
    _, _, tables = leaked
    shown = [differences.shown(table) for table in tables]
    assert tables[0]["difference"][0] < -0.15 and abs(tables[1]["difference"][0]) < 0.12
    assert shown[0]["difference"][0] == f"−{-100 * tables[0]['difference'][0]:.1f}"
    assert "to +" not in shown[0]["95 % interval"][0] and "to +" in shown[1]["95 % interval"][0]


def test_what_leaks_do_to_augmentation_is_a_difference_of_differences(leaked):
    dataset = made_up.dataset(600)
    half = np.arange(len(dataset.test)) % 2 == 0
    rows = []
    for pair in differences.AUGMENTED_ALONE:
        plain, augmented = made_up.run(pair[0], 0.5), made_up.run(pair[1], 0.6)
        known = np.where(half[:, None], np.eye(7)[plain.test.labels], plain.test.probabilities)
        test = replace(plain.test, probabilities=known.astype("float32"))
        rows += [replace(plain, test=test), augmented]
    shift = differences.gain_on_leak_free(rows, ~half)
    by_hand = [run.test.correct[~half].mean() - run.test.correct.mean() for run in rows]
    assert shift.value == pytest.approx(np.mean(by_hand[1::2]) - np.mean(by_hand[::2]))
    assert shift.above and shift.low < shift.value < shift.high
    assert differences.gain_on_leak_free(rows[:4], ~half).above is pd.NA
