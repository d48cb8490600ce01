"""Faces are found in pictures of any kind, and cut out as FER-2013's were."""

import cv2
import numpy as np
import pytest
import skimage.data

from ferlib import faces
from ferlib.data import demo
from ferlib.faces import Found
from ferlib.labels import CLASSES, FerlibError

EYES = (205, 105), (250, 105)
"""Columns and rows, roughly, of the astronaut's eyes."""


@pytest.mark.parametrize("detector", faces.DETECTORS)
def test_the_astronauts_face_is_found_once(astronaut, detector):
    boxes = faces.locate(astronaut, detector).boxes
    assert boxes.shape == (1, 4) and boxes.dtype == np.int64
    left, top, width, height = boxes[0]
    assert 60 < width < 180 and 60 < height < 180
    for x, y in EYES:
        assert left < x < left + width and top < y < top + height


def test_no_face_is_found_where_there_is_none(astronaut):
    for image in (skimage.data.coffee()[::2, ::2], np.full((300, 200, 3), 128, np.uint8), astronaut[300:]):
        found = faces.locate(image).boxes
        assert found.shape == (0, 4) and found.dtype == np.int64


def test_two_faces_come_the_largest_first(astronaut):
    face = astronaut[:240, 100:340]
    small = cv2.resize(face, None, fx=0.6, fy=0.6)
    scene = np.full((260, 420, 3), 128, np.uint8)
    scene[:144, :144], scene[:240, 170:410] = small, face
    boxes = faces.locate(scene).boxes
    assert len(boxes) == 2
    assert boxes[0, 0] > 170 > boxes[1, 0] + boxes[1, 2] and boxes[0, 2] > boxes[1, 2]


@pytest.mark.parametrize(
    "convert",
    [lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), lambda image: image[::-1][::-1]],
    ids=["grey", "strided"],  # test_pixels asks the same of all kinds
)
def test_every_kind_of_picture_gives_the_same_face(astronaut, convert):
    boxes = faces.locate(astronaut).boxes
    assert abs(faces.locate(convert(astronaut)).boxes - boxes).max() <= 1, "YuNet sees colour, too"
    face = faces.crop(astronaut, boxes[0])
    assert np.array_equal(faces.crop(convert(astronaut), boxes[0]), face)
    assert face.shape == (48, 48) and face.dtype == np.uint8


def test_large_pictures_are_reduced_and_boxes_scaled_back(astronaut):
    boxes = faces.locate(cv2.resize(astronaut, (1536, 1536))).boxes
    expected = faces.locate(astronaut).boxes * 3
    assert boxes.shape == (1, 4), "the second search adds no face twice"
    assert abs(boxes - expected).max() < 0.15 * expected[0, 2]


@pytest.mark.parametrize("shape", [(1, 1), (19, 400), (400, 3, 3), (2, 2, 4), (1, 5000)])
def test_tiny_and_narrow_pictures_have_no_faces(shape):
    assert faces.locate(np.full(shape, 100, np.uint8)).boxes.shape == (0, 4)


def test_boxes_stay_within_the_picture(astronaut):
    cut = astronaut[60:170, 175:300]
    for picture in (cut, cv2.copyMakeBorder(cut, 0, 40, 0, 0, cv2.BORDER_REPLICATE)):
        for left, top, width, height in faces.locate(picture).boxes:
            assert left >= 0 and top >= 0 and width > 0 and height > 0
            assert left + width <= picture.shape[1] and top + height <= picture.shape[0]
    boxes = np.array([[-5.4, -3, 20, 20], [200, 200, 9, 9], [60, 40, 30, 30]])
    inside = faces._inside(Found(boxes, np.array([1.0, 2, 3])), 100, 50)
    assert inside.boxes.tolist() == [[60, 40, 30, 10], [0, 0, 15, 17]] and inside.tilts.tolist() == [3, 1]


def test_the_narrowest_face_searched_for_can_be_set(astronaut):
    width = faces.locate(astronaut).boxes[0, 2]
    assert len(faces.locate(astronaut, smallest=int(width) - 30).boxes) == 1
    assert len(faces.locate(astronaut, smallest=int(width) + 30).boxes) == 0
    small = cv2.resize(astronaut, (150, 150), interpolation=cv2.INTER_AREA)
    assert len(faces.locate(small, "haar").boxes) == 0, "narrower than HAAR_SMALLEST"
    assert len(faces.locate(small).boxes) == 1 and len(faces.locate(small, "haar", smallest=20).boxes) >= 1


def test_crops_outside_of_the_picture_repeat_its_edge():
    picture = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[np.newaxis], 60, axis=0)
    assert picture.shape == (60, 100)
    right = faces.crop(picture, (90, 0, 48, 48))
    assert np.array_equal(right[:, :10], picture[:48, 90:]) and (right[:, 10:] == 198).all()
    assert (faces.crop(picture, (-500, -500, 48, 48)) == 0).all()
    assert (faces.crop(picture, (500, 500, 48, 48)) == 198).all()


def test_crops_are_square_around_the_middle_and_may_be_wider():
    picture = np.random.default_rng(0).integers(0, 256, (120, 120), dtype=np.uint8)
    assert np.array_equal(faces.crop(picture, (40, 30, 48, 48)), picture[30:78, 40:88])
    assert np.array_equal(faces.crop(picture, (50, 30, 28, 48)), picture[30:78, 40:88]), "tall"
    assert np.array_equal(faces.crop(picture, (40, 40, 48, 28)), picture[30:78, 40:88]), "wide"
    wider = faces.crop(picture, (52, 42, 24, 24), margin=0.5)
    assert np.array_equal(wider, picture[30:78, 40:88])
    assert faces.crop(picture, (10, 10, 0, 0)).shape == (48, 48), "of no size"
    assert faces.crop(picture, (10, 10, 1, 1)).tolist() == [[picture[10, 10]] * 48] * 48


@pytest.mark.parametrize("side", [5, 47, 49, 300])
def test_crops_of_any_size_are_48_pixels_wide(side):
    picture = np.full((320, 320, 3), (10, 60, 200), np.uint8)
    face = faces.crop(picture, (3, 4, side, side))
    grey = round(0.114 * 10 + 0.587 * 60 + 0.299 * 200)
    assert face.shape == (48, 48) and (abs(face.astype(int) - grey) <= 1).all()


@pytest.mark.parametrize(
    ("array", "words"),
    [(np.zeros(shape, np.uint8), "shape") for shape in ((5,), (4, 4, 2), (1, 4, 4, 3), (0, 4))]
    + [(np.full((40, 40), 1.5, np.float32), "float32"), (np.zeros((40, 40), bool), "bool")],
)
def test_arrays_that_are_no_pictures_are_refused(array, words):
    with pytest.raises(FerlibError, match=words):
        faces.locate(array)
    with pytest.raises(FerlibError, match="'dlib'.*yunet or haar"):
        faces.locate(array, "dlib")


def test_tight_crops_hold_faces_and_noise_holds_none():
    rng = np.random.default_rng
    drawn = [demo.face(n % len(CLASSES), rng([1, n])) for n in range(70)]
    assert np.mean([faces.has_face(face) for face in drawn]) > 0.8
    assert faces.has_face(drawn[0][..., np.newaxis]) == faces.has_face(drawn[0])
    assert not any(faces.has_face(np.full((48, 48), grey, np.uint8)) for grey in (0, 10, 128, 255))
    noise = [cv2.GaussianBlur(rng(n).normal(128, 60, (48, 48)), (0, 0), 1 + n % 3) for n in range(30)]
    found = [faces.has_face(np.clip(image, 0, 255).astype(np.uint8)) for image in noise]
    assert sum(found) <= 1


def test_a_face_that_fills_but_half_of_a_tight_crop_is_found_too():
    drawn = [demo.face(n % len(CLASSES), np.random.default_rng([2, n])) for n in range(35)]
    small = [cv2.resize(face, (32, 32), interpolation=cv2.INTER_AREA) for face in drawn]
    framed = [cv2.copyMakeBorder(face, 8, 8, 8, 8, cv2.BORDER_REPLICATE) for face in small]
    assert np.mean([faces.has_face(face) for face in framed]) > 0.7
