import made_up
import numpy as np
import pandas as pd
import pytest

from ferlib.figures import galleries, style
from ferlib.labels import CLASSES

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
    fig = galleries.misclassified(split, predictions)
    assert 21 < len(drawn(fig)) <= 63
    for face, title in drawn(fig):
        index = position(face, split)
        assert title == predictions.classes[predictions.predicted[index]] and not predictions.correct[index]
    names = [ax.texts[0].get_text() for ax in fig.axes if ax.texts]
    assert names == sorted(names) and fig.axes[0].title.get_color() == style.WRONG


def test_disputed_faces_come_in_order_with_both_opinions(split, predictions):
    wanted = np.flatnonzero(~predictions.correct)[:5][::-1]
    fig = galleries.disputed(split, predictions, wanted)
    assert [position(face, split) for face, _ in drawn(fig)] == wanted.tolist()
    label, told = drawn(fig)[0][1].split("\n")
    assert label == f"label {predictions.classes[predictions.labels[wanted[0]]]}"
    assert told == f"{predictions.classes[predictions.predicted[wanted[0]]]} 80 %"


def test_regions_are_drawn_about_zero_or_about_their_own_mean(split):
    faces, maps = split.images[:2, ..., 0], np.stack([np.eye(48), 3 - np.eye(48)])
    fig = galleries.regions(faces, ["happy", "sad"], [("alone", maps, None), ("all", maps, 4.0)])
    assert [ax.get_title("center") for ax in fig.axes] == ["happy", "sad", "", ""]
    assert [fig.axes[place].texts[0].get_text() for place in (0, 2)] == ["alone", "all"]
    np.testing.assert_array_equal(fig.axes[1].images[0].get_array(), faces[1])
    alone, shared = (fig.axes[place].images[1] for place in (1, 3))
    np.testing.assert_allclose(alone.get_array(), maps[1] - maps[1].mean())
    assert alone.get_clim()[1] == pytest.approx(maps[1].mean() - 2)
    np.testing.assert_array_equal(shared.get_array(), maps[1])
    assert shared.get_clim() == (-4, 4)


def test_voted_faces_stand_beside_their_votes_and_who_says_what(split, predictions):
    cast = np.zeros((90, 10), np.uint8)
    cast[:, 6], cast[:, 7], cast[:, 9] = 6, 3, 1
    other = made_up.predictions(0.5, seed=1, images=90)
    fig = galleries.voted(split, cast, {"one": predictions, "two": other}, np.array([5, 2, 7]))
    faces = [ax for ax in fig.axes if ax.images]
    assert [position(ax.images[0].get_array(), split) for ax in faces] == [5, 2, 7]
    for index, bars in zip((5, 2, 7), [fig.axes[n] for n in (1, 3, 5)], strict=True):
        names = [tick.get_text() for tick in bars.get_yticklabels()]
        assert names[:3] == ["neutral 6", "contempt 3", "no face 1"]
        assert [bar.get_width() for bar in bars.patches] == [int(name.split()[-1]) for name in names]
        said = dict(zip([name.rsplit(" ", 1)[0] for name in names], bars.texts, strict=True))
        assert "label" in said[split.classes[split.labels[index]]].get_text()
        for name, one in (("one", predictions), ("two", other)):
            assert f"{name} 80 %" in said[one.classes[one.predicted[index]]].get_text()
    assert not fig.axes[7].patches, "the place of a fourth face stays empty"


def test_flagged_faces_have_a_row_a_flag_and_leaks_stand_above_their_copies():
    dataset = made_up.dataset(images=90)
    split = ["train"] * 5 + ["valid"] * 12
    audited = pd.DataFrame({"split": split, "index": [*range(5), *range(12)]})
    labels = [*dataset.train.labels[:5], *dataset.valid.labels[:12]]
    audited = audited.assign(label=labels, exact_group=-1, partner=-1)
    audited.loc[[5, 6, 7], "exact_group"] = 0
    audited.loc[[8, 9, 10, 11, 12, 13], "exact_group"] = 1  # nine in all: the second group would be cut
    audited.loc[[14, 15], "partner"] = 3, 1
    flags = {
        "conflicting": range(5, 14),
        "leaked": [15],
        "faceless": [0, 16],
        "low_contrast": [],
        "blank": [],
    }
    audited = audited.assign(**{flag: audited.index.isin(rows) for flag, rows in flags.items()})
    fig = galleries.flagged(dataset, audited)
    names = [ax.texts[0].get_text() for ax in fig.axes if ax.texts]
    assert names == ["same image", "in a test split", "its copy in train", "no face"]
    shown = [*(("valid", place) for place in (0, 1, 2, 10, 9)), ("train", 1), ("train", 3)]
    expected = [getattr(dataset, split).images[place, ..., 0] for split, place in shown]
    for (image, _), wanted in zip(drawn(fig), expected, strict=False):
        np.testing.assert_array_equal(image, wanted)
    titles = [title for _, title in drawn(fig)]
    assert titles[:7] == [CLASSES[getattr(dataset, split).labels[place]] for split, place in shown]
    assert titles[7:] == ["", ""], "only where copies have labels do these matter"


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
