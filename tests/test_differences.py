from dataclasses import replace

import made_up
import numpy as np
import pytest

from ferlib import caveats, compare, differences, experiments


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
    clean = compare.leak_free(runs, dataset, Audit())
    pairs = [("shallow_plain", "shallow_augmented"), ("shallow_plain", "shallow_plain")]
    return runs, clean, [differences.paired_differences(some, pairs) for some in (runs, clean)]


def test_leak_free_runs_keep_images_without_copies_alone(leaked):
    runs, clean, _ = leaked
    assert len(clean[0].test) == len(runs[0].test) - len(runs[0].test) // 2
    assert clean[0].test.names[0] == runs[0].test.names[len(runs[0].test) // 2]
    assert len(clean[0].valid) == len(runs[0].valid) and clean[0].result == runs[0].result


def test_leaked_images_favour_who_remembers_them(leaked):
    _, _, tables = leaked
    shown = differences.side_by_side(*tables)
    assert shown["difference %"][0] < -15 and abs(shown["difference %, leak-free"][0]) < 12
    assert shown["p"][0] == tables[0]["p_holm"][0] and "to +" not in shown["95 % interval"][0]
    told = differences.count(*tables)
    assert "1 of 2 are below 0.05 on all images, 0 on leak-free ones" in told and "4,000 resamples" in told
    gains = differences.gain_without_leaks(*tables)
    assert gains["second"].tolist() == ["shallow_augmented"], "in the other pair neither is augmented"
    assert (
        gains["gain"][0] == pytest.approx(gains["leak_free"][0] - gains["difference"][0])
        and gains["gain"][0] > 0.1
    )
    told = caveats.leaks(gains)
    assert "In 1 of the pairs compared" in told and "remembers the faces" in told
    assert f"to {100 * gains['leak_free'][0]:+.1f}".replace("-", "−") in told
    assert "remembers" not in caveats.leaks(gains.assign(gain=-gains["gain"]))
    assert caveats.leaks(gains.head(0)) == ""
