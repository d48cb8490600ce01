import made_up
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from ferlib.evaluate import metrics, summary
from ferlib.figures import charts
from ferlib.labels import CLASSES
from ferlib.train.predicting import Predictions

pytestmark = pytest.mark.usefixtures("figures")


@pytest.fixture(scope="module")
def runs():
    shares = {"shallow_plain": 0.55, "deep_plain": 0.6, "deep_both": 0.7, "mini_xception": 0.65}
    return [made_up.run(id, share, seed) for id, share in shares.items() for seed in (0, 1)]


@pytest.fixture(scope="module")
def table(runs):
    return summary.results_table(runs).assign(compute=lambda found: 1e6 * found["parameters"])


def test_accuracy_stands_over_cost_with_its_interval(table):
    ax = charts.accuracy_against_compute(table)
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "multiplications in training"
    drawn = set(zip(*ax.containers[0].lines[0].get_data(), strict=True))
    assert drawn == set(zip(table["compute"], table["test_accuracy"], strict=True))
    segment = ax.containers[0].lines[2][0].get_segments()[0]
    assert segment[:, 1] == pytest.approx(table.iloc[0][["test_low", "test_high"]].tolist())
    written = [ax.yaxis.get_major_formatter()(share) for share in (0.625, 0.65, 1)]
    assert written == ["62.5 %", "65 %", "100 %"], "half percents are not rounded away"


def test_labels_name_every_point_and_do_not_overlap(table):
    crowded = pd.concat([table] * 3)
    crowded.index = [f"a_long_name_{number}" for number in range(len(crowded))]
    ax = charts.accuracy_against_compute(crowded)
    ax.figure.canvas.draw()
    assert {text.get_text() for text in ax.texts} == set(crowded.index)
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without the lines to the points
    assert not any(box.count_overlaps(boxes[:place]) for place, box in enumerate(boxes))


def test_recalls_run_from_the_easiest_class_to_the_hardest(runs):
    table = summary.recalls([*runs, made_up.run("mobilenet_top4", 0.9)])
    ax = charts.recalls(table)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(table.index)
    drawn = ax.collections[0].get_array()
    np.testing.assert_allclose(np.nanmean(drawn, axis=0), sorted(table.mean(), reverse=True))
    happy = [text.get_text() for text in ax.get_xticklabels()].index("happy")
    assert drawn[0, happy] == table["happy"].iloc[0]
    assert f"{100 * table['happy'].iloc[0]:.0f}" in {text.get_text() for text in ax.texts}


def test_learning_curves_have_a_column_a_row_and_two_lines_a_seed(runs):
    fig = charts.learning_curves(summary.rows(runs))
    losses, accuracies = fig.axes[:4], fig.axes[4:]
    assert [ax.get_title("left") for ax in losses] == list(summary.rows(runs))
    assert [len(ax.lines) for ax in fig.axes] == 8 * [6]  # training, PublicTest and the epoch that is kept
    np.testing.assert_allclose(losses[0].lines[1].get_ydata(), runs[0].history["valid_loss"])
    np.testing.assert_allclose(accuracies[0].lines[0].get_ydata(), runs[0].history["accuracy"])
    assert set(accuracies[0].lines[2].get_xdata()) == {runs[0].result["best_epoch"]}


def test_two_truths_shows_counts_and_how_often_the_network_sides_with_the_crowd():
    pairs = pd.MultiIndex.from_tuples([("fear", "fear"), ("fear", "sad")], names=["label", "crowd"])
    ax = charts.two_truths(pd.DataFrame({"images": [30, 9], "with crowd": [0.9, 0.7]}, index=pairs))
    assert [text.get_text() for text in ax.texts] == ["30\n90 %", "9", "", ""], "of nine no share"
    colours = ax.collections[0].get_array().reshape(2, 2)
    assert colours[0, 0] == pytest.approx(0.9) and np.ma.getmaskarray(colours)[0, 1]


def test_reliability_is_drawn_where_there_are_images():
    bins = pd.DataFrame({"confidence": [0.3, 0.5, 0.9], "hits": [0.2, 0.4, 0.8], "images": [29, 30, 200]})
    ax = charts.reliability({"lean": bins, "lean_crowd": bins.assign(hits=[0.3, 0.5, 0.9])})
    _, lean, people = ax.lines
    assert [line.get_label() for line in ax.lines] == ["as sure as people", "lean", "lean_crowd"]
    assert lean.get_xydata().tolist() == [[0.5, 0.4], [0.9, 0.8]]
    assert people.get_ydata().tolist() == [0.5, 0.9]


def test_two_judges_stand_beside_each_other_with_their_intervals():
    columns = {"label": [0.7, 0.6], "label_low": [0.6, 0.5], "label_high": [0.8, 0.7]}
    columns |= {"crowd": [0.65, 0.85], "crowd_low": [0.6, 0.8], "crowd_high": [0.7, 0.9]}
    ax = charts.two_judges(pd.DataFrame(columns, index=["lean", "lean_crowd"]), {"one of ten": 0.78})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["lean_crowd", "lean"], "the best first"
    label, crowd = (bars.lines[0].get_data() for bars in ax.containers)
    assert label[0].tolist() == [0.6, 0.7] and crowd[0].tolist() == [0.85, 0.65]
    assert (label[1] > crowd[1]).all() and np.rint(label[1]).tolist() == np.rint(crowd[1]).tolist() == [2, 1]
    assert {text.get_text() for text in ax.texts} == {"70.0", "60.0", "65.0", "85.0", "one of ten: 78.0"}
    ends = ax.containers[1].lines[2][0].get_segments()[0][:, 0]
    assert ends == pytest.approx([0.8, 0.9]) and ax.texts[-1].get_position()[0] == 0.78


def test_theme_uses_fonts_that_are_there(recwarn):
    fig, ax = plt.subplots()
    ax.set_title("1 × 2 → 3 ± 4")
    fig.canvas.draw()
    assert not [warning for warning in recwarn if "font" in str(warning.message).lower()]
    assert ax.title.get_fontname() == "Source Sans Pro"


def test_class_counts_draws_a_bar_for_each_split_and_class():
    counts = pd.DataFrame({"train": [7, 3], "both tests": [2, 1]}, index=["happy", "sad"])
    ax = charts.class_counts(counts)
    assert [[bar.get_height() for bar in bars] for bars in ax.containers] == [[7, 3], [2, 1]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["happy", "sad"]
    assert [text.get_text() for text in ax.get_legend().texts] == ["training", "both tests"]


def test_confusion_matrix_averages_seeds_and_counts_images():
    predictions = made_up.predictions(0.5)
    worse = Predictions(predictions.labels, predictions.probabilities[::-1], predictions.names, CLASSES)
    ax = charts.confusion_matrix([predictions, worse])
    shares = (metrics.confusion(predictions) + metrics.confusion(worse)) / 2
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(7, 7), shares)
    assert ax.texts[1].get_text() == f"{shares.iloc[0, 1] * 100:.0f}"
    angry = (predictions.labels == CLASSES.index("angry")).sum()
    assert ax.get_yticklabels()[0].get_text() == f"angry\n{angry}"
