"""Boxes and labels hide nothing, bars are as long as probabilities, and a film is told at a glance."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ferlib.labels import CLASSES, COLOURS
from ferlib.live import draw
from ferlib.live.answers import Face, Faces
from ferlib.live.draw import LEFT, ROW, TOP, WIDTH, Timeline
from ferlib.live.media import read_photo

PICTURE = np.full((480, 640, 3), 128, np.uint8)
BOX = (200, 150, 100, 120)


def person(box, emotion="happy", confidence=0.7, number=None):
    rest = (1 - confidence) / 6
    return Face(box, {name: confidence if name == emotion else rest for name in CLASSES}, number)


def blue(picture):
    return (picture == draw.BLUE).all(axis=2)


def test_the_box_is_drawn_around_the_face_and_the_original_stays():
    drawn = draw.annotated(PICTURE, [person(BOX)])
    marked = blue(drawn)
    assert marked[160:260, 200].all() and marked[160:260, 300].all() and marked[270, 210:290].all()
    assert not marked[160:260, 210:290].any()  # the face itself stays visible
    assert marked[100:149, 200:260].any()  # the label is above
    assert (PICTURE == 128).all()
    assert draw.annotated(PICTURE[:1, :1], []).shape == (1, 1, 3)


def test_boxes_of_large_photos_are_scaled_to_the_smaller_copy():
    direct = draw.annotated(PICTURE, [person((100, 100, 50, 50))])
    np.testing.assert_array_equal(draw.annotated(PICTURE, [person((400, 400, 200, 200))], scale=4), direct)


@pytest.mark.parametrize("box", [(0, 0, 40, 40), (610, 2, 28, 30), (600, 440, 60, 60)])
def test_labels_at_the_rim_stay_inside(box):
    drawn = draw.annotated(PICTURE, [person(box, "surprise", 1.0)])
    columns = np.flatnonzero(blue(drawn).any(axis=0))
    assert np.ptp(columns) >= 60, "the whole label fits beside the rim"


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


def test_a_small_picture_shows_the_whole_label():
    picture = np.full((60, 60, 3), 128, np.uint8)
    drawn = draw.annotated(picture, [person((5, 5, 40, 45), "surprise", 1.0)])
    assert (drawn.min(axis=2) > 190).any() and drawn.shape == picture.shape


def test_numbers_are_written_where_there_are_several_faces():
    plain = [person((100, 200, 90, 90)), person((300, 200, 90, 90))]
    numbered = [replace(face, number=n) for n, face in enumerate(plain, 1)]
    assert (draw.annotated(PICTURE, numbered) != draw.annotated(PICTURE, plain)).any()
    alone = draw.annotated(PICTURE, plain[:1])
    np.testing.assert_array_equal(draw.annotated(PICTURE, numbered[:1]), alone)
    assert (draw.annotated(PICTURE, numbered[:1], numbered=True) != alone).any()


def test_labels_say_less_where_a_small_picture_has_no_room_for_more():
    picture = np.full((64, 320, 3), 128, np.uint8)
    boxes = [(16 + 64 * n, 14, 30, 37) for n in range(5)]
    faces = [replace(person(box, "surprise", 0.99), number=n) for n, box in enumerate(boxes, 1)]
    marked = blue(draw.annotated(picture, faces))
    for x, y, width, height in boxes:
        assert not marked[y + 2 : y + height - 2, x + 2 : x + width - 2].any()
        assert marked[:, x - 16 : x - 2].any(), "its number is beside the face"


# --- films at a glance -------------------------------------------------------------------------------


@pytest.fixture
def timeline():
    """Ten seconds, a frame a second: face 1 happy for four, then sad for two; face 2 from the third on."""
    line = Timeline(CLASSES, least=0.5)
    for second in range(10):
        people = [person(BOX, "happy" if second < 4 else "sad", number=1)] if second < 6 else []
        people += [person(BOX, "angry", 0.6 if second < 8 else 0.3, number=2)] if second >= 2 else []
        line.add(Path("a film.mp4"), float(second), Faces(people))
    return line


def test_the_seconds_of_each_emotion_add_up(timeline):
    first, second = timeline.rows()
    assert (first["face"], first["from"], first["to"], first["seen"]) == (1, 0, 6, 6)
    assert (first["happy"], first["sad"], first["angry"], first["unsure"]) == (4, 2, 0, 0)
    assert (second["from"], second["to"], second["angry"], second["unsure"]) == (2, 10, 6, 2)
    assert timeline.spans()[Path("a film.mp4"), 1] == [(0, 4, "happy"), (4, 6, "sad")]


def test_uneven_frames_last_until_the_next():
    line = Timeline(CLASSES)
    for seconds in (0.0, 1.0, 4.0):
        line.add(Path("a.mkv"), seconds, Faces([person(BOX, "fear", number=1)]))
    assert line.rows()[0]["fear"] == pytest.approx(6), "the last one lasts as long as the median"


def test_table_and_picture_are_written(timeline, tmp_path):
    timeline.write(tmp_path / "new" / "s.csv")
    rows = list(csv.DictReader((tmp_path / "new" / "s.csv").read_text().splitlines()))
    assert [float(row["seen"]) for row in rows] == [6, 8] and rows[0]["file"] == "a film.mp4"
    picture = read_photo(tmp_path / "new" / "s.png").image
    assert picture.shape == (TOP + 2 * ROW + 34, WIDTH, 3)
    row = picture[TOP + ROW // 2, LEFT:]
    for name, share in (("happy", 0.4), ("sad", 0.2), ("fear", 0)):
        drawn = (row == draw._bgr(COLOURS[name])).all(axis=1).sum()
        assert drawn == pytest.approx(share * (WIDTH - LEFT - 20), abs=3)
    with pytest.raises(OSError, match="s.csv/t.csv"):
        timeline.write(tmp_path / "new" / "s.csv" / "t.csv")


def test_photos_alone_give_a_table_without_rows(tmp_path):
    Timeline(CLASSES).write(tmp_path / "s.csv")
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 1 and not (tmp_path / "s.png").exists()


def test_classes_of_ones_own_have_colours_of_their_own():
    names = ("bored", "happy", "sleepy")
    line = Timeline(names)
    for second, name in enumerate(names):
        line.add(Path("a.mp4"), second, Faces([Face(BOX, {name: 1.0}, 1)]))
    row = line.picture()[TOP + ROW // 2, LEFT : WIDTH - 20]
    seen = [tuple(row[round(len(row) * (n + 0.5) / 3)].tolist()) for n in range(3)]
    assert len({*seen, draw._bgr(draw.UNSURE)}) == 4
    assert seen[1] == draw._bgr(COLOURS["happy"])
    assert len(draw.palette([str(n) for n in range(9)])) == 9
