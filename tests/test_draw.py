import numpy as np
import pytest

from ferlib import draw
from ferlib.answers import Face
from ferlib.labels import CLASSES

PICTURE = np.full((480, 640, 3), 128, np.uint8)


def person(box, emotion="happy", confidence=0.7):
    rest = (1 - confidence) / 6
    return Face(box, {name: confidence if name == emotion else rest for name in CLASSES})


def blue(picture):
    return (picture == draw.BLUE).all(axis=2)


def test_the_box_is_drawn_around_the_face_and_the_original_stays():
    drawn = draw.annotated(PICTURE, [person((200, 150, 100, 120))])
    marked = blue(drawn)
    assert marked[160:260, 200].all() and marked[160:260, 300].all() and marked[270, 210:290].all()
    assert not marked[160:260, 210:290].any()  # the face itself stays visible
    assert marked[100:149, 200:260].any()  # the label is above
    assert (PICTURE == 128).all()


def test_boxes_of_large_photos_are_scaled_to_the_smaller_copy():
    direct = draw.annotated(PICTURE, [person((100, 100, 50, 50))])
    np.testing.assert_array_equal(draw.annotated(PICTURE, [person((400, 400, 200, 200))], scale=4), direct)


@pytest.mark.parametrize("box", [(0, 0, 40, 40), (610, 2, 28, 30), (600, 440, 60, 60)])
def test_labels_at_the_rim_stay_inside(box):
    drawn = draw.annotated(PICTURE, [person(box, "surprise", 1.0)])
    columns = np.flatnonzero(blue(drawn).any(axis=0))
    assert np.ptp(columns) >= 60, "the whole label fits beside the rim"


def test_a_picture_of_one_pixel_can_be_annotated():
    assert draw.annotated(np.zeros((1, 1, 3), np.uint8), []).shape == (1, 1, 3)


def test_the_panel_has_bars_as_long_as_the_probabilities():
    view = draw.live_view(PICTURE, [person((200, 150, 100, 100), "sad", 0.7)], 30)
    assert view.shape == (480, 842, 3)
    lengths = [run for run in blue(view[:, 640:])[:, 86:].sum(axis=1) if run]
    assert max(lengths) == pytest.approx(0.7 * (view.shape[1] - 640 - 100), abs=3)
    assert len({round(run) for run in lengths}) == 2  # one long bar, six equal short ones


def test_the_panel_shows_as_many_faces_as_fit_and_says_when_there_is_none():
    people = [person((50 * n, 100, 40, 40)) for n in range(5)]
    few, many = (draw.live_view(PICTURE, people[:n], 30)[:, 640:] for n in (2, 5))
    np.testing.assert_array_equal(few, many)
    empty = draw.live_view(PICTURE, [], 30)[:, 640:]
    assert (empty[:60] != draw.DARK).any() and not blue(empty).any()
