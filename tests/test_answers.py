"""Answers become tables where pandas is there, and predict takes whatever holds faces."""

import inspect
import subprocess
import sys
import typing

import cv2
import numpy as np
import pytest
import scenes
from PIL import Image

import ferlib
from ferlib.labels import CLASSES, FerlibError
from ferlib.live import reading
from ferlib.live.network import load_model

BOXES = {"sad": (30, 40, 110, 110), "angry": (250, 60, 170, 170)}


@pytest.fixture(scope="module")
def photo():
    return scenes.scene([(scenes.face(emotion), box) for emotion, box in BOXES.items()])


def test_faces_are_a_table(network, photo):
    table = ferlib.predict(photo, model=network).to_frame()
    assert list(table) == ["face", "x", "y", "width", "height", "emotion", "confidence", *CLASSES]
    assert table["emotion"].tolist() == ["angry", "sad"] and table["face"].tolist() == [1, 2]
    assert table["confidence"].tolist() == table[list(CLASSES)].max(axis=1).tolist()


def test_several_photos_are_a_list_and_one_table(tmp_path, network, photo):
    cv2.imwrite(str(tmp_path / "a.png"), photo)
    blank = np.full_like(photo, 90)
    read = ferlib.predict([tmp_path / "a.png", blank, Image.fromarray(photo)], model=network)
    assert [len(people) for people in read] == [2, 0, 2] and read[0] == read[2]
    assert read.to_frame()["photo"].tolist() == [tmp_path / "a.png"] * 2 + [2] * 2
    stacked = ferlib.predict(np.stack([photo, blank]), model=network)
    assert [len(people) for people in stacked] == [2, 0]
    assert ferlib.predict([], model=network) == []


def test_crops_are_read_as_they_are(network):
    crops = [scenes.face(emotion) for emotion in CLASSES]
    read = ferlib.predict(crops, faces="given", model=network)
    assert [people[0].emotion for people in read] == list(CLASSES)
    larger = cv2.resize(crops[3], (96, 96), interpolation=cv2.INTER_CUBIC)
    (face,) = ferlib.predict(larger, faces="given", model=network)
    assert (face.emotion, face.box) == ("happy", (0, 0, 96, 96))


def test_faces_at_known_places_are_read_in_the_order_given(network, photo):
    read = ferlib.predict(photo, faces=list(BOXES.values()), model=network)
    assert [(face.emotion, face.box) for face in read] == list(BOXES.items())
    with pytest.raises(FerlibError, match="boxes are rows of left, top, width, height"):
        ferlib.predict(photo, faces=[(1, 2, 3)], model=network)
    with pytest.raises(FerlibError, match="faces='none': use 'find', 'given', or boxes"):
        ferlib.predict(photo, faces="none", model=network)
    with pytest.raises(FerlibError, match="boxes belong to one photo"):
        ferlib.predict([photo, photo], faces=[(1, 2, 3, 4)], model=network)


def test_a_film_is_a_table_with_the_same_number_for_one_person(tmp_path, network):
    frames = [scenes.scene([(scenes.face("happy"), (40 + 6 * n, 150, 140, 140))]) for n in range(20)]
    film = ferlib.predict_video(scenes.video(tmp_path / "film.mp4", frames), model=network)
    assert [moment.frame for moment in film] == list(range(20))
    table = film.to_frame()
    assert len(table) == 20 and set(table["face"]) == {1} and set(table["emotion"]) == {"happy"}
    assert table["seconds"].tolist() == pytest.approx(np.arange(20) / 25)
    assert table["x"].is_monotonic_increasing


def test_without_pandas_one_learns_what_to_install():
    code = """
import sys
import typing
sys.modules["pandas"] = None
import ferlib
assert set(ferlib.__all__) <= set(dir(ferlib))
try:
    ferlib.Faces().to_frame()
except ferlib.FerlibError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install pandas" in done.stdout, done.stderr


def test_the_network_says_what_it_is(tmp_path):
    source = {"experiment": "lean", "valid_accuracy": 0.6876, "crowd_accuracy": 0.6908}
    told = repr(load_model(scenes.write_network(tmp_path / "both", source=source)))
    assert all(name in told for name in ("lean", *CLASSES))
    assert "69.1% by ten people" in told and "68.8% by its labels" in told
    del source["crowd_accuracy"]
    assert "people" not in repr(load_model(scenes.write_network(tmp_path / "one", source=source)))


def test_a_table_without_faces_has_the_columns_of_one_with_faces(network, photo):
    blank = np.full_like(photo, 90)
    one = ["face", "x", "y", "width", "height", "emotion", "confidence"]
    assert list(ferlib.predict(blank, model=network).to_frame()) == one
    assert list(ferlib.predict([blank, blank], model=network).to_frame()) == ["photo", *one]
    assert list(ferlib.Film().to_frame()) == ["frame", "seconds", *one]


def test_a_film_among_photos_is_shown_the_right_door(network):
    with pytest.raises(FerlibError, match=r"film\.mp4: a video; pass it to ferlib\.predict_video"):
        ferlib.predict("film.mp4", model=network)


def test_the_types_name_the_options_that_there_are():
    taken = inspect.signature(reading.predict).parameters.values()
    known = [one.name for one in taken if one.kind is one.KEYWORD_ONLY]
    assert list(reading.Options.__annotations__) == known
    assert len(typing.get_overloads(reading.predict)) == 2
