"""Whatever holds faces is read; answers become tables; faces are followed through films."""

import inspect
import io
import sys
import typing

import cv2
import numpy as np
import pytest
import scenes
from PIL import Image

import ferlib
from ferlib import faces
from ferlib.labels import CLASSES, FerlibError
from ferlib.live import reading, tracker
from ferlib.live.network import load_model

BOX = (200, 120, 150, 150)
BOXES = {"sad": (30, 40, 110, 110), "angry": (250, 60, 170, 170)}
RATE = 25


@pytest.fixture(scope="module")
def happy():
    return scenes.scene([(scenes.face("happy"), BOX)])


@pytest.fixture(scope="module")
def photo():
    return scenes.scene([(scenes.face(emotion), box) for emotion, box in BOXES.items()])


# --- one picture ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((4, 5, 2), np.uint8), r"shape \(4, 5, 2\) is no picture"),
        (np.zeros((0, 7), np.uint8), r"shape \(0, 7\) is no picture"),
        (np.zeros((9, 9), bool), "bool are not understood"),
        (np.full((9, 9), 256), "int64 from 256 to 256 are not understood"),
        (np.full((9, 9), 7.5), "float64 from 7.5 to 7.5 are not understood"),
        (np.full((9, 9), "x"), "<U1 are not understood"),
        (np.full((9, 9), np.nan), "float64 from nan to nan are not understood"),
    ],
)
def test_arrays_that_are_no_images_are_refused(network, array, sentence):
    with pytest.raises(FerlibError, match=sentence):
        ferlib.predict(array, model=network)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"roi": (0, 0, 9)}, "a region is one such row"),
        ({"roi": "0,0,9,9"}, "a region is one such row"),
        ({"roi": (0, 0, 0, 9)}, "a region is one such row"),
        ({"faces": [(0, 0, 9, 9), (0, 0, 9)]}, "boxes are rows of left"),
        ({"faces": [("a", "b", "c", "d")]}, "boxes are rows of left"),
        ({"faces": np.full((1, 4), np.nan)}, "boxes are rows of left"),
        ({"faces": [(640, 0, 9, 9)]}, "the box 640,0,9,9 lies outside of the picture of 640x480 pixels"),
        ({"faces": [(0, 0, 9, 9), (0, -9, 9, 9)]}, "the box 0,-9,9,9 lies outside"),
        ({"model": 5}, "model=5 is no network"),
        ({"model": "a\0b"}, "network.onnx is missing"),
    ],
)
def test_what_is_no_region_box_or_network_is_refused(network, happy, options, sentence):
    with pytest.raises(FerlibError, match=sentence):
        ferlib.predict(happy, **({"model": network} | options))


def test_boxes_of_numpy_and_networks_by_name_are_taken(tmp_path, network, happy):
    boxes = np.array([BOX, (195, -10, 160, 280)])
    named = scenes.write_network(tmp_path)
    assert ferlib.predict(happy, faces=boxes, model=network)[0].emotion == "happy"
    assert ferlib.predict(happy, faces=boxes[:0], model=network) == []
    assert ferlib.predict(happy, faces=[], model=network) == []
    assert ferlib.predict(happy, model=named) == ferlib.predict(happy, model=str(named))


def test_photos_that_cannot_be_read_get_a_sentence(tmp_path, network, happy):
    with pytest.raises(FerlibError, match="cannot be opened .*null"):
        ferlib.predict("a\0b.jpg", model=network)
    with pytest.raises(FerlibError, match="there is no such file"):
        ferlib.predict_video("x" * 300, model=network)
    Image.fromarray(happy).save(tmp_path / "a.png")
    closed = Image.open(tmp_path / "a.png")
    closed.close()
    contents = (tmp_path / "a.png").read_bytes()
    for damaged in (closed, Image.open(io.BytesIO(contents[: len(contents) // 2]))):
        with pytest.raises(FerlibError, match="image of Pillow that cannot be read"):
            ferlib.predict(damaged, model=network)


@pytest.mark.parametrize("every", [0, "2", 1.5])
def test_films_are_read_every_so_many_frames_or_not_at_all(tmp_path, network, happy, every):
    film = scenes.video(tmp_path / "a.mp4", [happy] * 4)
    with pytest.raises(FerlibError, match="every=.* is no whole number from 1 on"):
        ferlib.predict_video(film, every=every, model=network)
    assert len(ferlib.predict_video(film, every=np.int64(2), model=network)) == 2


def test_an_unknown_attribute_of_ferlib_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'guess'"):
        getattr(ferlib, "guess")  # noqa: B009


# --- answers, lists and tables ----------------------------------------------------------------------


def test_faces_are_a_table(network, photo):
    table = ferlib.predict(photo, model=network).to_frame()
    assert list(table) == ["face", "x", "y", "width", "height", "emotion", "confidence", *CLASSES]
    assert table["emotion"].tolist() == ["angry", "sad"] and table["face"].tolist() == [1, 2]
    assert table["confidence"].tolist() == table[list(CLASSES)].max(axis=1).tolist()


def test_several_photos_are_a_list_and_one_table(tmp_path, network, photo):
    cv2.imwrite(str(tmp_path / "a.png"), photo)
    blank = np.full_like(photo, 90)
    contents = (tmp_path / "a.png").read_bytes()
    read = ferlib.predict([tmp_path / "a.png", blank, Image.fromarray(photo), contents], model=network)
    assert [len(people) for people in read] == [2, 0, 2, 2] and read[0] == read[2] == read[3]
    assert read.to_frame()["photo"].tolist() == [tmp_path / "a.png"] * 2 + [2] * 2 + [3] * 2
    assert ferlib.predict([contents], model=network) == [read[3]]
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


def test_without_pandas_one_learns_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FerlibError, match="pip install pandas"):
        ferlib.Faces().to_frame()


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


# --- following faces --------------------------------------------------------------------------------


@pytest.fixture
def follow(network):
    """A function that says who is shown in each of a film's pictures."""

    def follow(pictures, rate=RATE):
        follower = tracker.Tracker(network)
        return [follower.update(picture, number / rate) for number, picture in enumerate(pictures)]

    return follow


def happy_at(*boxes, size=(480, 640)):
    return [scenes.scene([(scenes.face("happy"), box)], size) for box in boxes]


def with_a_sad_face(picture):
    both = picture.copy()
    both[300:440, 450:590] = cv2.resize(scenes.face("sad"), (140, 140))[..., None]
    return both


def test_a_face_counts_from_its_second_sighting(follow, happy):
    shown = follow([happy] * 3)
    assert [len(people) for people in shown] == [0, 1, 1]
    assert shown[1][0].emotion == "happy" and faces.overlap(shown[1][0].box, BOX) > 0.55


@pytest.fixture(scope="module")
def other():
    """The same face, disgusted."""
    return scenes.scene([(scenes.face("disgust"), BOX)])


def test_a_single_wrong_frame_does_not_change_the_label(network, follow, happy, other):
    assert ferlib.predict(other[..., ::-1], model=network)[0].emotion == "disgust"  # without smoothing
    shown = follow([happy] * 10 + [other] + [happy] * 5)[1:]
    assert {people[0].emotion for people in shown} == {"happy"}
    assert shown[10][0].probabilities["disgust"] > shown[8][0].probabilities["disgust"]


def test_a_lasting_change_is_followed_within_a_second(follow, happy, other):
    shown = follow([happy] * 10 + [other] * RATE)
    assert shown[9][0].emotion == "happy" and shown[-1][0].emotion == "disgust"


def test_smoothing_goes_by_time_not_by_frames(follow, happy, other):
    """At a third of the rate, each picture counts for more; after the same time the average is the same."""
    slow, fast = (follow([happy] * rate + [other] * rate, rate)[-1][0] for rate in (10, 30))
    assert slow.probabilities["disgust"] == pytest.approx(fast.probabilities["disgust"], abs=0.1)


def test_a_face_that_leaves_is_forgotten_after_a_few_frames(follow, happy):
    shown = follow([happy] * 4 + [np.zeros_like(happy)] * (tracker.PATIENCE + 2))
    assert [len(people) for people in shown[4:]] == [1] * tracker.PATIENCE + [0, 0]


def test_a_face_that_jumps_does_not_leave_a_ghost_behind(follow, happy):
    x, y, width, height = BOX
    there = (x + width * 2 // 3, y, width, height)
    shown = follow([happy] * 4 + happy_at(there) * 3)
    assert max(len(people) for people in shown) == 1 and faces.overlap(shown[-1][0].box, there) > 0.55


def test_a_new_face_is_noticed_soon(follow, happy):
    shown = follow([happy] * 5 + [with_a_sad_face(happy)] * (tracker.FULL_SEARCH_EVERY + 2))
    assert len(shown[4]) == 1 and len(shown[-1]) == 2


def test_overlap():
    assert faces.overlap((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert faces.overlap((0, 0, 4, 4), (2, 0, 4, 4)) == pytest.approx(8 / 24)
    assert faces.overlap((0, 0, 4, 4), (9, 9, 4, 4)) == 0


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1920, 1080)])
def test_a_face_of_six_percent_of_the_width_is_followed(follow, width, height):
    """Beyond arm's length: 40 pixels of 640, 115 of 1920."""
    side = round(0.08 * width)  # the box is about three quarters of the drawn head
    boxes = [(width // 3 + 2 * n, height // 3, side, side) for n in range(15)]
    shown = follow(happy_at(*boxes, size=(height, width)))
    assert [len(people) for people in shown[1:]] == [1] * 14
    assert shown[-1][0].box[2] < 0.08 * width


def test_everybody_keeps_a_number(follow):
    def picture(n):
        people = [(scenes.face("happy"), (20 + 5 * n, 60, 130, 130))]
        people += [(scenes.face("sad"), (480 - 5 * n, 300, 130, 130))] if n >= 10 else []
        return scenes.scene(people)

    shown = follow([picture(n) for n in range(40)])
    assert {face.number for people in shown[:10] for face in people} == {1}
    assert {face.number: face.emotion for face in shown[-1]} == {1: "happy", 2: "sad"}


def test_far_apart_pictures_are_searched_whole_and_keep_numbers(follow):
    """A picture a second: a face moves by its own width."""
    boxes = [(30 + 60 * n, 120, 150, 150) for n in range(6)]
    shown = follow(happy_at(*boxes), rate=1)
    assert [len(people) for people in shown[1:]] == [1] * 5
    assert {face.number for people in shown for face in people} == {1}
    assert faces.overlap(shown[-1][0].box, boxes[-1]) > 0.5, "no average of places"


def test_a_film_counts_faces_from_their_first_sighting_but_no_false_alarm(network, happy):
    blank = np.full_like(happy, scenes.GREY)
    pictures = [with_a_sad_face(blank), blank, blank, *[happy] * 6, blank]
    frames = [reading.Frame(picture, n, n / RATE) for n, picture in enumerate(pictures)]
    counts = [len(people) for _, people in tracker.follow(frames, network)]
    assert counts[:9] == [0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_unwanted_frames_are_not_hoarded(network, happy):
    frames = (reading.Frame(happy, n, n / RATE, wanted=n % 1000 == 0) for n in range(400))
    taken = []

    def counted():
        for frame in frames:
            taken.append(frame.index)
            yield frame

    first, _ = next(iter(tracker.follow(counted(), network)))
    assert first.index == 0 and len(taken) <= tracker.MOST_WAITING + 1
