import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ferlib.evaluate import metrics
from ferlib.evaluate.metrics import Sampled


def coin(share, images=500, seed=0):
    return np.random.default_rng(seed).random(images) < share


def test_one_seed_gives_the_bootstrap_interval_over_images():
    hits = coin(0.7)
    sampled = metrics.ratio([hits])
    assert sampled.value == pytest.approx(hits.mean())
    expected = stats.bootstrap(
        (hits.astype(float),), np.mean, method="percentile", n_resamples=5000, rng=3
    ).confidence_interval
    assert sampled.interval() == pytest.approx((expected.low, expected.high), abs=0.006)


def test_pairing_narrows_a_difference():
    first = coin(0.7)
    second = first.copy()
    second[:10] = ~second[:10]
    paired = metrics.ratio([first], row="a") - metrics.ratio([second], row="b")
    assert np.ptp(paired.interval()) < 0.03 < np.ptp(metrics.ratio([first]).interval())


def test_seeds_that_disagree_widen_the_interval():
    alike = metrics.ratio([coin(0.7, seed=seed) for seed in range(3)])
    apart = metrics.ratio([coin(share, seed=seed) for seed, share in enumerate([0.6, 0.7, 0.8])])
    assert np.ptp(apart.interval()) > 2 * np.ptp(alike.interval())


def test_a_row_minus_itself_is_zero_in_every_resample():
    several = [coin(0.6, seed=seed) for seed in range(3)]
    nothing = metrics.ratio(several, row="x") - metrics.ratio(several, row="x")
    assert not nothing.samples.any() and nothing.p() == 1
    assert (metrics.ratio(several, row="x") - metrics.ratio(several, row="y")).samples.any()
    assert not (metrics.ratio(several) - metrics.ratio(several, row="")).samples.any()


def test_p_value_is_uniform_without_a_difference_and_small_with_one():
    generator = np.random.default_rng(3)
    ps = []
    for _ in range(60):
        pair = generator.random((2, 120)) < 0.5
        ps.append((metrics.ratio(pair[:1]) - metrics.ratio(pair[1:])).p())
    assert 0 <= np.mean(np.array(ps) < 0.05) < 0.15 and 0.3 < np.mean(ps) < 0.7
    better = metrics.ratio([coin(0.9)]) - metrics.ratio([coin(0.6, seed=1)])
    assert better.p() == pytest.approx(2 / (metrics.RESAMPLES + 1))


def test_ratio_divides_sums():
    numerators, denominators = np.array([[1, 0, 1, 0]]), np.array([[1, 1, 1, 0]])
    assert metrics.ratio(numerators, denominators).value == pytest.approx(2 / 3)
    single = np.array([[1, 0, 0, 0]])
    alone = metrics.ratio(single, single)
    assert alone.value == 1 and set(alone.samples) == {0, 1}, "nothing where no image counts"


def test_sampled_numbers_calculate_like_numbers():
    one, two = Sampled(1.0, np.array([1.0, 2.0])), Sampled(3.0, np.array([0.0, 5.0]))
    assert (one + two).value == 4 and (one - two).samples.tolist() == [1, -3]
    assert (5 - one).value == 4 and (one * 2).samples.tolist() == [2, 4]
    assert sum([one, two]).value == 4
    assert metrics.smallest([one, two]).samples.tolist() == [0, 2]
    assert metrics.largest([one, two]).value == 3
    assert Sampled(0.0, np.arange(4001)).interval() == pytest.approx((100, 3900))
    many = Sampled(1.0, np.arange(metrics.RESAMPLES) - 98.5)
    assert many.p() == (-many).p() == pytest.approx(2 * (1 + 99) / (metrics.RESAMPLES + 1))


def test_p_values_are_corrected_by_holms_method_without_missing_ones():
    corrected = metrics.holm(pd.Series([0.01, np.nan, 0.04, 0.03]))
    assert corrected.dropna().tolist() == pytest.approx([0.03, 0.06, 0.06]) and np.isnan(corrected[1])
    assert metrics.holm(pd.Series([np.nan])).isna().all()


def test_sentences_get_a_value_and_its_interval():
    sampled = metrics.ratio(np.arange(400)[None] % 2)
    told = sampled.fields()
    low, high = sampled.interval()
    assert told == {"value": 0.5, "interval": f"{100 * low:.1f} to {100 * high:.1f} %"}
