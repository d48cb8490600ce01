"""Scores of one network: class by class, paired tests, and whether 80 % confidence means 80 % right."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import optimize, special
from sklearn import metrics
from statsmodels.stats import contingency_tables, proportion
from statsmodels.stats.multitest import multipletests

from ferlib.evaluate import resampling
from ferlib.train.predicting import Predictions

BINS = 15
"""Of confidence, of equal width."""


def recall_intervals(predictions: Predictions) -> pd.DataFrame:
    """Return each class's recall with its 95 % Wilson score interval.

    Returns:
        Rows in alphabetical order of the classes that occur; columns ``recall``, ``low``, ``high`` (0 to 1)
        and ``support``.

    Source:
        Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    hits = pd.Series(predictions.correct).groupby(np.array(predictions.classes)[predictions.labels])
    table = hits.agg(recall="mean", support="size").rename_axis("class")
    low, high = proportion.proportion_confint(hits.sum(), table["support"], method="wilson")
    return table.assign(low=low, high=high)[["recall", "low", "high", "support"]]


def confusion(predictions: Predictions, normalize: bool = True) -> pd.DataFrame:
    """Return the confusion matrix, true classes as rows, both axes alphabetical.

    Args:
        predictions: Predictions of one split.
        normalize: Divide each row by its sum (shares of the true class, 0 to 1) rather than count images.
    """
    every = range(len(predictions.classes))
    counts = metrics.confusion_matrix(predictions.labels, predictions.predicted, labels=every)
    if normalize:
        counts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = list(predictions.classes)
    table = pd.DataFrame(
        counts, index=pd.Index(names, name="true"), columns=pd.Index(names, name="predicted")
    )
    return table.sort_index().sort_index(axis=1)


def mcnemar(first: Predictions, second: Predictions) -> float:
    """Return the two-sided exact p-value that two networks, on the same images, are right equally often.

    Args:
        first: Predictions of one network.
        second: Predictions of another, for the same images in the same order.

    Raises:
        ValueError: The two were not made on the same images and labels.

    Source:
        McNemar (1947); recommended for single runs by Dietterich (1998).
    """
    first, second = resampling.aligned([first, second])
    n01, n10 = (~first.correct & second.correct).sum(), (first.correct & ~second.correct).sum()
    return float(contingency_tables.mcnemar([[0, n01], [n10, 0]], exact=True).pvalue)


def holm(ps: Sequence[float]) -> np.ndarray:
    """Correct p-values for their number.

    Source:
        Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    return multipletests(np.asarray(ps, "float64"), method="holm")[1]


def expected_calibration_error(predictions: Predictions, hits: np.ndarray | None = None) -> float:
    """Return the mean distance of confidence and accuracy over confidence bins, 0 to 1.

    Args:
        predictions: Predictions of one split.
        hits: How right each prediction is, float (n,), 0 to 1, such as the share of people who say the same;
            None asks the labels.

    Source:
        Naeini et al. (2015), "Obtaining well calibrated probabilities using Bayesian binning".
    """
    hits, sure = predictions.correct if hits is None else hits, predictions.confidence.astype("float64")
    return float(np.abs((sure - hits) @ _in_bins(sure)).sum() / len(sure))


def calibration_floor(predictions: Predictions) -> float:
    """Return the calibration error that a perfectly calibrated network of these confidences would show.

    Whether it is right is drawn from the confidences themselves, so all that is left comes from few images
    in a bin.

    Args:
        predictions: Predictions of one split.

    Returns:
        The mean over 200 draws, 0 to 1.

    Source:
        Bröcker and Smith (2007), "Increasing the reliability of reliability diagrams"; there it is called
        consistency resampling.
    """
    sure = predictions.confidence.astype("float64")
    drawn = np.random.default_rng(0).random((200, len(sure))) < sure
    return float(np.abs((drawn - sure) @ _in_bins(sure)).sum(axis=1).mean() / len(sure))


def fit_temperature(predictions: Predictions, shares: np.ndarray | None = None) -> float:
    """Return the temperature that makes the truth most likely; above 1 it softens overconfident networks.

    Fit it on PublicTest and apply it elsewhere with ``with_temperature``.

    Args:
        predictions: Predictions of one split.
        shares: What people say of each image, float (n, classes), rows sum to one; None asks the labels.

    Returns:
        Temperature, 0.05 to 20.

    Source:
        Guo et al. (2017), "On calibration of modern neural networks".
    """
    logits = _log_probabilities(predictions)
    truth = np.eye(logits.shape[1])[predictions.labels] if shares is None else shares

    def loss(log_temperature):
        return -(truth * special.log_softmax(logits / np.exp(log_temperature), axis=1)).sum(axis=1).mean()

    bound = np.log(20)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Return predictions whose log-probabilities are divided by a temperature; no decision changes."""
    scaled = special.softmax(_log_probabilities(predictions) / temperature, axis=1).astype("float32")
    return Predictions(predictions.labels, scaled, predictions.names, predictions.classes)


def _in_bins(confidence):
    """Say which of `BINS` holds each confidence, (n, bins); an edge belongs to the bin below it."""
    places = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    return np.eye(BINS)[places]


def _log_probabilities(predictions):
    """Logits up to a constant per row; float16 records round small probabilities to zero."""
    return np.log(np.maximum(predictions.probabilities.astype("float64"), 1e-8))
