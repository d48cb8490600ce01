from dataclasses import replace

import numpy as np
import pytest

from ferlib.data import votes
from ferlib.data.fer2013 import Split
from ferlib.labels import CLASSES, FerlibError
from ferlib.train import models, targets
from ferlib.train.experiments import Experiment
from ferlib.train.fitting import Fitting

SEEN = np.zeros((6, len(votes.COLUMNS)), "uint8")
SEEN[0, [0, 4]] = 8, 2  # angry, as labelled
SEEN[1, [4, 0]] = 6, 4  # sad, labelled angry
SEEN[2, [3, 5]] = 5, 5  # happy or surprise, labelled happy
SEEN[3, 9] = 10  # no face
SEEN[4, [6, 0]] = 9, 1  # neutral with a single vote for angry, labelled neutral
SEEN[5, [7, 2]] = 5, 5  # contempt or fear, labelled fear


@pytest.fixture
def split(monkeypatch):
    numbers = np.arange(len(SEEN))
    images = np.full((len(SEEN), 48, 48, 1), numbers[:, None, None, None], "uint8")
    monkeypatch.setattr(votes, "of", lambda split: SEEN[split.images[:, 0, 0, 0]])
    return Split("train", images, np.array([0, 0, 3, 6, 6, 2]), numbers.astype(str))


@pytest.mark.parametrize(
    ("target", "images", "labels"),
    [
        ("label", [0, 1, 2, 3, 4, 5], [0, 0, 3, 6, 6, 2]),
        ("crowd", [0, 1, 2, 4, 5], [0, 4, 3, 6, 2]),
        ("majority", [0, 1, 4], [0, 4, 6]),
        ("cleaned", [0, 2, 4, 5], [0, 3, 6, 2]),
    ],
)
def test_who_teaches_what(split, target, images, labels):
    chosen = targets.taught(split, target)
    assert chosen.names.astype(int).tolist() == images
    assert chosen.labels.tolist() == labels


def test_the_crowd_teaches_shares_and_others_one_emotion(split):
    shares = targets.probabilities(targets.taught(split, "crowd"), "crowd")
    np.testing.assert_allclose(shares[1, [4, 0]], [0.6, 0.4])
    assert shares[3, 6] == 1, "a single vote is noise"
    for target in ("label", "majority", "cleaned"):
        chosen = targets.taught(split, target)
        np.testing.assert_array_equal(targets.probabilities(chosen, target), np.eye(7)[chosen.labels])


def test_the_crowd_judges_where_it_has_a_first_emotion(split):
    assert targets.truth(split, "label").tolist() == split.labels.tolist()
    for target in ("crowd", "majority", "cleaned"):
        assert targets.truth(split, target).tolist() == [0, 4, -1, -1, 6, -1]


def test_other_classes_and_images_nobody_voted_on_are_told(split, demo_dataset, monkeypatch):
    with pytest.raises(FerlibError, match="all seven"):
        targets.taught(split.only(CLASSES[:2]), "crowd")
    with pytest.raises(FerlibError, match="'crowds'; choose one of label, crowd,"):
        targets.taught(split, "crowds")
    monkeypatch.undo()
    with pytest.raises(FerlibError, match="nobody voted"):
        targets.taught(replace(demo_dataset.train, votes=None), "crowd")


def test_epochs_are_judged_by_what_is_taught_and_that_reaches_the_network(split):
    """Two people's answers: trained long enough the network gives both their shares."""
    settings = {"model": "logistic", "batch_size": 4, "epochs": 1, "patience": None}
    one = Fitting(Experiment("x", "x", "x", **settings, target="crowd"), 0, split.take([0, 1]), split)
    line = one.epoch()
    predicted = one.keep_best().probabilities.argmax(axis=1)
    assert line["valid_accuracy"] == np.mean(predicted[[0, 1, 4]] == [0, 4, 6])
    settings |= {"model": "prior", "batch_size": 1, "epochs": 12, "learning_rate": 0.3}
    doubtful = split.take([1])
    one = Fitting(Experiment("x", "x", "x", **settings, target="crowd"), 0, doubtful, doubtful)
    for _ in range(12):
        one.epoch()
    answer = np.asarray(one.network(doubtful.images))[0]
    np.testing.assert_allclose(answer[[4, 0]], [0.6, 0.4], atol=0.05)


def test_half_of_what_is_taught_may_be_what_others_answer(split):
    """The mean of two networks: one always says angry, the other always happy."""
    two = split.take([0, 1])
    row = Experiment("x", "x", "x", "prior", target="crowd", teachers=("y", 2, 0.5, "a key"))
    teachers = [models.build("prior") for _ in range(2)]
    for network, emotion in zip(teachers, (0, 3), strict=True):
        network.get_layer("logits").bias.assign(30.0 * np.eye(7)[emotion])
    expected = np.zeros((2, 7))
    expected[0, [0, 3, 4]] = 0.4 + 0.25, 0.25, 0.1
    expected[1, [0, 3, 4]] = 0.2 + 0.25, 0.25, 0.3
    np.testing.assert_allclose(targets.lessons(row, two, teachers), expected, atol=1e-6)
    with pytest.raises(FerlibError, match="x learns from runs of y: train it with: ferlib train x"):
        targets.lessons(row, two)
    alone = replace(row, teachers=None)
    np.testing.assert_array_equal(targets.lessons(alone, two), targets.probabilities(two, "crowd"))
