"""Demo faces: the same ones every time, like FER-2013 in shape and shares, with the flaws they promise."""

import numpy as np
import pytest

from ferlib.data import demo, portrait
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


def test_classes_have_the_shares_of_fer2013():
    labels = demo._labels(10_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(labels) / 10_000, demo.SHARES, atol=2e-4)
    assert demo.SHARES.sum() == pytest.approx(1)


def test_every_class_outlives_the_planted_flaws_in_the_smallest_splits(monkeypatch):
    monkeypatch.setattr(demo, "face", lambda emotion, generator: np.zeros((48, 48), np.uint8))
    for seed in range(40):
        found = demo.faces((demo.SMALLEST,) * 3, seed)
        for split in range(3):
            assert len(set(found.labels[found.splits == split])) == len(CLASSES)


def test_too_few_faces_for_every_class_are_refused():
    with pytest.raises(ValueError, match="70"):
        demo.faces((100, 70, 69))


def test_expressions_differ_in_the_same_way_in_other_people():
    """What sets a class apart from the mean face is found again in faces drawn with another seed."""

    def deviations(seed):
        means = [
            np.mean(
                [portrait.face(CLASSES.index(name), np.random.default_rng([seed, n])) for n in range(30)],
                axis=0,
            )
            for name in ("happy", "surprise", "angry")
        ]
        return [(mean - np.mean(means, axis=0)).ravel() for mean in means]

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
