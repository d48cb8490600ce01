import numpy as np
import pandas as pd
import pytest
from scipy import special

from ferlib.evaluate import metrics
from ferlib.labels import CLASSES
from ferlib.train.predicting import Predictions


def calibrated(n=6000, seed=0):
    """Predictions whose labels are drawn from the predicted probabilities themselves."""
    generator = np.random.default_rng(seed)
    probabilities = special.softmax(generator.normal(0, 1.5, (n, 7)), axis=1)
    labels = (probabilities.cumsum(axis=1) > generator.random((n, 1))).argmax(axis=1)
    return Predictions(labels, probabilities.astype("float32"), np.arange(n).astype(str), CLASSES)


def test_error_is_the_distance_in_bins_weighed_by_their_images():
    one = calibrated()
    places = np.ceil(one.confidence.astype(float) * 15)
    gaps = [
        len(inside) * abs(one.confidence[inside].astype(float).mean() - one.correct[inside].mean())
        for inside in (np.flatnonzero(places == place) for place in np.unique(places))
    ]
    assert metrics.expected_calibration_error(one) == pytest.approx(sum(gaps) / len(one))
    assert metrics.expected_calibration_error(one, one.confidence) == 0, "right as often as it is sure"
    assert metrics.expected_calibration_error(one) < 0.025
    assert metrics.expected_calibration_error(metrics.with_temperature(one, 0.4)) > 0.15, "overconfident"


def test_certainty_stands_in_the_last_bin():
    certain = np.eye(7, dtype="float32")[[0, 0, 1]]
    sure = Predictions(np.zeros(3, int), certain, np.array(list("abc")), CLASSES)
    assert metrics.expected_calibration_error(sure) == pytest.approx(1 / 3)


def test_perfect_calibration_shows_the_error_that_binning_alone_makes():
    errors = [metrics.expected_calibration_error(calibrated(600, seed)) for seed in range(60)]
    floor = metrics.calibration_floor(calibrated(600))
    assert floor == pytest.approx(np.mean(errors), rel=0.1)
    assert floor == metrics.calibration_floor(calibrated(600)), "the same every time"
    sharper = metrics.with_temperature(calibrated(600), 0.4)
    assert metrics.calibration_floor(sharper) < floor, "the surer, the less chance there is"
    assert metrics.expected_calibration_error(sharper) > 3 * metrics.calibration_floor(sharper)
    assert metrics.calibration_floor(calibrated(9600)) < floor / 2, "sixteen times the images"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_fitted_temperature_undoes_a_known_one(temperature):
    one = calibrated()
    distorted = metrics.with_temperature(one, 1 / temperature)
    assert metrics.fit_temperature(distorted) == pytest.approx(temperature, rel=0.05)
    assert (distorted.predicted == one.predicted).all() and distorted.probabilities.dtype == np.float32
    np.testing.assert_allclose(distorted.probabilities.sum(axis=1), 1, atol=1e-6)


def test_the_shares_of_votes_can_be_the_truth():
    true = np.random.default_rng(0).dirichlet(np.ones(7), 400)
    sharp = true**2 / (true**2).sum(axis=1, keepdims=True)
    said = Predictions(true.argmax(axis=1), sharp.astype("float32"), np.arange(400).astype(str), CLASSES)
    assert metrics.fit_temperature(said, true) == pytest.approx(2, rel=0.01)
    assert metrics.fit_temperature(said) < 1, "by the first emotion alone it is not sure enough"


def test_probabilities_rounded_to_zero_are_survived():
    rounded = np.eye(7, dtype="float16")[[0, 2]].astype("float32")
    sure = Predictions(np.array([1, 1]), rounded, np.array(["a", "b"]), CLASSES)
    assert metrics.fit_temperature(sure) == pytest.approx(20, rel=1e-3), "both wrong: the bound"


def test_shares_are_written_in_percent_with_their_interval_where_it_is_wider_than_nothing():
    table = pd.DataFrame({"a": [0.5, 1.0], "a_low": [0.4, 1.0], "a_high": [0.62, 1.0], "b": [0.123, 0.0]})
    assert metrics.percentages(table, "a") == ["50.0 (40.0 to 62.0)", "100.0"]
    assert metrics.percentages(table, "b", 0) == ["12", "0"]
