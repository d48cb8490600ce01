import keras
import made_up
import numpy as np
import pytest

from ferlib import evaluate, galleries

pytestmark = pytest.mark.usefixtures("figures")


@pytest.fixture(scope="module")
def split():
    return made_up.dataset(images=90).valid


@pytest.fixture(scope="module")
def predictions():
    return made_up.predictions(0.5, images=90)


def drawn(fig):
    """Position in the split's images and title of every face."""
    return [(ax.images[0].get_array(), ax.get_title("center")) for ax in fig.axes if ax.images]


def position(face, split):
    return int(np.flatnonzero((split.images[..., 0] == face).all(axis=(1, 2)))[0])


def test_misclassified_faces_are_mistakes_of_their_row(split, predictions):
    fig = galleries.misclassified(split, predictions, per_class=3)
    assert len(drawn(fig)) <= 21
    for face, title in drawn(fig):
        index = position(face, split)
        assert not predictions.correct[index]
        assert title == f"{predictions.classes[predictions.predicted[index]]} 80 %"
    names = [ax.texts[0].get_text() for ax in fig.axes if ax.texts]
    assert names == sorted(names)


def test_disputed_faces_come_in_order_with_both_opinions(split, predictions):
    wanted = np.flatnonzero(~predictions.correct)[:5][::-1]
    fig = galleries.disputed(split, predictions, wanted, columns=3)
    assert [position(face, split) for face, _ in drawn(fig)] == wanted.tolist()
    label, told = drawn(fig)[0][1].split("\n")
    assert label == f"label {predictions.classes[predictions.labels[wanted[0]]]}"
    assert told == f"{predictions.classes[predictions.predicted[wanted[0]]]} 80 %"


def test_explained_faces_carry_heat_for_prediction_and_label(split):
    inputs = keras.Input((48, 48, 1))
    maps = keras.layers.Conv2D(7, 5, strides=4)(keras.layers.Rescaling(1 / 255)(inputs))
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    model = keras.Model(inputs, keras.layers.Softmax()(pooled))
    predictions = evaluate.predict(model, split)
    fig = galleries.explained(model, split, predictions, columns=2)
    assert [len(ax.images) for ax in fig.axes] == [2] * 6
    titles = [title for _, title in drawn(fig)]
    wrong = [position(face, split) for face, _ in drawn(fig)[2:4]]
    assert not predictions.correct[wrong].any()
    assert titles[2:4] == [predictions.classes[k] for k in predictions.predicted[wrong]]
    assert titles[4:6] == [predictions.classes[k] for k in predictions.labels[wrong]]
