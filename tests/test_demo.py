"""Demo faces: the same ones every time, like FER-2013 in shape and shares, with the flaws they promise."""

import numpy as np
import pytest

from ferlib.data import demo
from ferlib.labels import CLASSES, IMAGE_SIZE

SIZES = (100, 70, 70)


@pytest.fixture(scope="module")
def drawn():
    return demo.faces(SIZES)


def test_the_same_seed_draws_the_same_faces_and_another_seed_draws_others(drawn):
    again, other = demo.faces(SIZES), demo.faces(SIZES, seed=1)
    for first, second in zip(drawn, again, strict=True):
        assert np.array_equal(first, second)
    assert (drawn.images != other.images).any(axis=(1, 2, 3)).sum() >= len(drawn.images) - demo.PLANTED_BLANKS


def test_faces_have_the_shape_and_the_names_of_fer2013(drawn):
    total = sum(SIZES)
    assert drawn.images.shape == (total, IMAGE_SIZE, IMAGE_SIZE, 1) and drawn.images.dtype == np.uint8
    assert np.bincount(drawn.splits).tolist() == list(SIZES)
    prefixes = {"Training": 100, "PublicTest": 70, "PrivateTest": 70}
    assert {p: sum(n.startswith(f"{p}_") for n in drawn.names) for p in prefixes} == prefixes
    assert len(set(drawn.names)) == total


def test_classes_have_the_shares_of_fer2013_and_outlive_the_planted_flaws(monkeypatch):
    labels = demo._labels(10_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(labels) / 10_000, demo.SHARES, atol=2e-4)
    assert demo.SHARES.sum() == pytest.approx(1)
    monkeypatch.setattr(demo, "face", lambda emotion, generator: np.zeros((48, 48), np.uint8))
    for seed in range(40):
        found = demo.faces((demo.SMALLEST,) * 3, seed)
        for split in range(3):
            assert len(set(found.labels[found.splits == split])) == len(CLASSES)
    with pytest.raises(ValueError, match="70"):
        demo.faces((100, 70, 69))


def test_expressions_differ_in_the_same_way_in_other_people():
    """What sets a class apart from the mean face is found again in faces drawn with another seed."""

    def deviations(seed):
        emotions = [CLASSES.index(name) for name in ("happy", "surprise", "angry")]
        drawn = [[demo.face(one, np.random.default_rng([seed, n])) for n in range(30)] for one in emotions]
        means = np.mean(drawn, axis=1)
        return (means - means.mean(axis=0)).reshape(3, -1)

    likeness = np.corrcoef(deviations(0), deviations(1))[:3, 3:]
    assert likeness.argmax(axis=1).tolist() == [0, 1, 2] and likeness.diagonal().min() > 0.5


def test_planted_flaws_are_where_the_constants_say(drawn):
    images, labels = drawn.images[..., 0], drawn.labels
    conflicts = demo.PLANTED_CONFLICTS
    assert np.array_equal(images[:conflicts], images[conflicts : 2 * conflicts])
    assert (labels[:conflicts] != labels[conflicts : 2 * conflicts]).all()
    train = {image.tobytes() for image in images[:100]}
    for start in (100, 170):
        copied = [image.tobytes() in train for image in images[start : start + 70]]
        assert copied == [True] * demo.PLANTED_COPIES + [False] * (70 - demo.PLANTED_COPIES)
    assert [int(image.std() == 0) for image in images].count(1) == demo.PLANTED_BLANKS
    assert (images[100 - demo.PLANTED_BLANKS : 100].std(axis=(1, 2)) == 0).all()
