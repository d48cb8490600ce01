from dataclasses import replace

import numpy as np
import pytest

from ferlib.labels import CLASSES
from ferlib.live import draw
from ferlib.live.answers import Face

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


def test_labels_of_a_large_photo_leave_the_eyes_free():
    picture = np.full((3000, 4000, 3), 128, np.uint8)
    boxes = [(100 + 600 * n, 800, 240, 290) for n in range(6)]
    marked = blue(draw.annotated(picture, [person(box, "surprise", 0.99) for box in boxes]))
    for x, y, width, height in boxes:
        assert not marked[y + 20 : y + height - 20, x + 20 : x + width - 20].any()
        assert marked[y - 60 : y, x : x + width].mean() > 0.5, "the label is above"


def test_labels_of_a_crowd_do_not_hide_each_other_or_faces():
    faces = [
        person((40 + 90 * n, 100 + 90 * row, 60, 70), "surprise", 0.99) for n in range(6) for row in range(3)
    ]
    marked = blue(draw.annotated(PICTURE, faces))
    for face in faces:
        x, y, width, height = face.box
        assert marked[y + 4 : y + height - 4, x + 4 : x + width - 4].mean() < 0.25


def test_a_small_picture_shows_the_whole_label():
    picture = np.full((60, 60, 3), 128, np.uint8)
    drawn = draw.annotated(picture, [person((5, 5, 40, 45), "surprise", 1.0)])
    assert (drawn.min(axis=2) > 190).any() and drawn.shape == picture.shape


def test_numbers_are_written_where_there_are_several_faces():
    one, two = person((100, 200, 90, 90)), person((300, 200, 90, 90))
    numbered = [replace(face, number=n) for n, face in enumerate((one, two), 1)]
    assert (draw.annotated(PICTURE, numbered) != draw.annotated(PICTURE, [one, two])).any()
    np.testing.assert_array_equal(draw.annotated(PICTURE, numbered[:1]), draw.annotated(PICTURE, [one]))
    assert (draw.annotated(PICTURE, numbered[:1], numbered=True) != draw.annotated(PICTURE, [one])).any()


def test_labels_say_less_where_a_small_picture_has_no_room_for_more():
    picture = np.full((64, 320, 3), 128, np.uint8)
    boxes = [(16 + 64 * n, 14, 30, 37) for n in range(5)]
    faces = [replace(person(box, "surprise", 0.99), number=n) for n, box in enumerate(boxes, 1)]
    marked = blue(draw.annotated(picture, faces))
    for x, y, width, height in boxes:
        assert not marked[y + 2 : y + height - 2, x + 2 : x + width - 2].any()
        assert marked[:, x - 16 : x - 2].any(), "its number is beside the face"
