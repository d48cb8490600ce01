"""Calibration: whether a network that says 80 % is right 80 % of the time, and how to mend it if not."""

import numpy as np
import pandas as pd
from scipy import optimize, special

from ferlib.train.predicting import Predictions


def reliability(predictions: Predictions, bins: int = 15, hits: np.ndarray | None = None) -> pd.DataFrame:
    """Return how often predictions of each confidence are right.

    Args:
        predictions: Predictions of one split.
        bins: Of equal width.
        hits: How right each prediction is, float (n,), 0 to 1, such as the share of people who say the same;
            None asks the labels.

    Returns:
        One row a non-empty bin of equal width: ``low``, ``high`` (its edges), ``confidence`` and ``accuracy``
        (means in the bin, 0 to 1) and ``count``.

    Source:
        DeGroot and Fienberg (1983), "The comparison and evaluation of forecasters".
    """
    hits = predictions.correct if hits is None else hits
    edges = np.linspace(0, 1, bins + 1)
    position = np.clip(np.digitize(predictions.confidence, edges[1:-1], right=True), 0, bins - 1)
    frame = pd.DataFrame({"confidence": predictions.confidence, "accuracy": hits})
    table = frame.astype("float64").groupby(position).mean()
    table.insert(0, "low", edges[table.index])
    table.insert(1, "high", edges[table.index + 1])
    return table.assign(count=np.bincount(position, minlength=bins)[table.index]).reset_index(drop=True)


def expected_calibration_error(
    predictions: Predictions, bins: int = 15, hits: np.ndarray | None = None
) -> float:
    """Return the mean distance of confidence and accuracy over confidence bins, 0 to 1.

    The arguments are those of `reliability`.

    Source:
        Naeini et al. (2015), "Obtaining well calibrated probabilities using Bayesian binning".
    """
    table = reliability(predictions, bins, hits)
    return float(((table["confidence"] - table["accuracy"]).abs() * table["count"]).sum() / len(predictions))


def fit_temperature(predictions: Predictions) -> float:
    """Return the temperature that makes the labels most likely; above 1 it softens overconfident networks.

    Fit it on PublicTest and apply it elsewhere with ``with_temperature``.

    Returns:
        Temperature, 0.05 to 20.

    Source:
        Guo et al. (2017), "On calibration of modern neural networks".
    """
    logits, rows = _log_probabilities(predictions), np.arange(len(predictions))

    def loss(log_temperature):
        return -special.log_softmax(logits / np.exp(log_temperature), axis=1)[rows, predictions.labels].mean()

    bound = np.log(20)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Return predictions whose log-probabilities are divided by a temperature; no decision changes."""
    scaled = special.softmax(_log_probabilities(predictions) / temperature, axis=1).astype("float32")
    return Predictions(predictions.labels, scaled, predictions.names, predictions.classes)


def _log_probabilities(predictions):
    """Logits up to a constant per row; float16 records round small probabilities to zero."""
    return np.log(np.maximum(predictions.probabilities.astype("float64"), 1e-8))
