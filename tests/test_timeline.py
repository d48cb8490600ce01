import csv
from pathlib import Path

import numpy as np
import pytest

from ferlib.labels import CLASSES, COLOURS
from ferlib.live import draw
from ferlib.live.answers import Face, Faces
from ferlib.live.draw import LEFT, ROW, TOP, WIDTH, Timeline
from ferlib.live.media import read_photo


def person(emotion, number, confidence=0.7):
    rest = (1 - confidence) / 6
    return Face((0, 0, 9, 9), {name: confidence if name == emotion else rest for name in CLASSES}, number)


@pytest.fixture
def timeline():
    """Ten seconds, a frame a second: face 1 happy for four, then sad for two; face 2 from the third on."""
    line = Timeline(CLASSES, least=0.5)
    for second in range(10):
        people = [person("happy" if second < 4 else "sad", 1)] if second < 6 else []
        people += [person("angry", 2, 0.6 if second < 8 else 0.3)] if second >= 2 else []
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
        line.add(Path("a.mkv"), seconds, Faces([person("fear", 1)]))
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


def test_colours_differ_in_lightness_too():
    values = np.array([draw._bgr(colour) for colour in (*COLOURS.values(), draw.UNSURE)])
    apart = np.abs(values[:, None] - values[None]).sum(axis=2) + 999 * np.eye(len(values))
    assert apart.min() > 60


def test_classes_of_ones_own_have_colours_of_their_own():
    names = ("bored", "happy", "sleepy")
    line = Timeline(names)
    for second, name in enumerate(names):
        line.add(Path("a.mp4"), second, Faces([Face((0, 0, 9, 9), {name: 1.0}, 1)]))
    row = line.picture()[TOP + ROW // 2, LEFT : WIDTH - 20]
    seen = [tuple(row[round(len(row) * (n + 0.5) / 3)].tolist()) for n in range(3)]
    assert len({*seen, draw._bgr(draw.UNSURE)}) == 4
    assert seen[1] == draw._bgr(COLOURS["happy"])
    assert len(draw.palette([str(n) for n in range(9)])) == 9
