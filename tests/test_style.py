import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ferlib.data import demo
from ferlib.data.fer2013 import Split
from ferlib.evaluate import metrics
from ferlib.figures import charts, galleries, style
from ferlib.labels import CLASSES
from ferlib.train.predicting import Predictions

pytestmark = pytest.mark.usefixtures("figures")


@pytest.fixture(scope="module")
def split():
    drawn = demo.faces((140, 70, 70))
    train = drawn.splits == 0
    return Split("train", drawn.images[train], drawn.labels[train], drawn.names[train])


@pytest.fixture(scope="module")
def predictions(split):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(split)).astype("float32")
    return Predictions(split.labels, probabilities, split.names, CLASSES)


def faces_of(fig):
    """Images drawn in a figure, in order of the axes."""
    return [ax.images[0].get_array() for ax in fig.axes if ax.images]


def test_theme_uses_fonts_that_are_there(recwarn):
    fig, ax = plt.subplots()
    ax.set_title("1 × 2 → 3 ± 4")
    fig.canvas.draw()
    assert not [warning for warning in recwarn if "font" in str(warning.message).lower()]
    assert ax.title.get_fontname() == "Source Sans Pro"
    assert plt.rcParams["svg.hashsalt"] == "ferlib"


def test_class_counts_draws_a_bar_for_each_split_and_class():
    counts = pd.DataFrame({"train": [7, 3], "test": [2, 1], "total": [9, 4]}, index=["happy", "sad"])
    ax = charts.class_counts(counts)
    assert [[bar.get_height() for bar in bars] for bars in ax.containers] == [[7, 3], [2, 1]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["happy", "sad"]
    assert [text.get_text() for text in ax.get_legend().texts] == ["training", "test (PrivateTest)"]
    assert ax.get_ylabel() == "images"


def test_sample_faces_come_from_their_class(split):
    fig = galleries.sample_faces(split, per_class=3)
    assert [ax.texts[0].get_text() for ax in fig.axes if ax.texts] == sorted(CLASSES)
    happy = split.images[split.labels == CLASSES.index("happy"), ..., 0]
    start = 3 * sorted(CLASSES).index("happy")
    faces = [ax.images[0].get_array() for ax in fig.axes[start : start + 3]]
    assert all((happy == face).all(axis=(1, 2)).any() for face in faces)


def test_mean_faces_are_means(split):
    fig = galleries.mean_faces(split)
    assert [ax.get_title("center") for ax in fig.axes[:7]] == sorted(CLASSES)
    angry = split.images[split.labels == 0, ..., 0].mean(axis=0)
    np.testing.assert_allclose(fig.axes[0].images[0].get_array(), angry)
    every = split.images[..., 0].mean(axis=0)
    difference = (angry - angry.mean()) - (every - every.mean())
    np.testing.assert_allclose(fig.axes[7].images[0].get_array(), difference)


def test_gallery_rows_may_differ_in_length(split):
    rows = [
        galleries.Row(split.images[:2], "seen", ["yes", "no"], [style.RIGHT, style.WRONG]),
        galleries.Row(split.images[2:3], "unseen"),
    ]
    fig = galleries.gallery(rows)
    assert [len(ax.images) for ax in fig.axes] == [1, 1, 1, 0]
    assert [ax.get_title("center") for ax in fig.axes] == ["yes", "no", "", ""]
    assert fig.axes[1].title.get_color() == style.WRONG


def test_confusion_matrix_averages_seeds_and_counts_images(predictions):
    worse = Predictions(predictions.labels, predictions.probabilities[::-1], predictions.names, CLASSES)
    ax = charts.confusion_matrix([predictions, worse])
    shares = (metrics.confusion(predictions) + metrics.confusion(worse)) / 2
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(7, 7), shares)
    assert ax.texts[1].get_text() == f"{shares.iloc[0, 1] * 100:.0f}"
    angry = (predictions.labels == CLASSES.index("angry")).sum()
    assert ax.get_yticklabels()[0].get_text() == f"angry\n{angry}"
    assert ax.get_xlabel() == "predicted emotion"
