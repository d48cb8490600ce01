"""Faces are found in pictures of any kind, by YuNet or Haar, and cut out as FER-2013's were."""

import hashlib

import cv2
import numpy as np
import pytest
import scenes
import skimage.data

from ferlib import faces, paths
from ferlib.data import demo
from ferlib.faces import Found
from ferlib.labels import CLASSES, FerlibError
from ferlib.live import tracker

EYES = (205, 105), (250, 105)
"""Columns and rows, roughly, of the astronaut's eyes."""

BOX = (200, 120, 150, 150)

TINY = [(1, 1), (19, 400), (400, 3, 3), (2, 2, 4), (1, 5000), (300, 200, 3)]
"""Shapes of pictures that are too small or narrow for a face, or plain."""


@pytest.mark.parametrize("detector", faces.DETECTORS)
def test_the_astronauts_face_is_found_once(astronaut, detector):
    boxes = faces.locate(astronaut, detector).boxes
    assert boxes.shape == (1, 4) and boxes.dtype == np.int64
    left, top, width, height = boxes[0]
    assert 60 < width < 180 and 60 < height < 180
    for x, y in EYES:
        assert left < x < left + width and top < y < top + height


def test_two_faces_come_the_largest_first(astronaut):
    face = astronaut[:240, 100:340]
    small = cv2.resize(face, None, fx=0.6, fy=0.6)
    scene = np.full((260, 420, 3), 128, np.uint8)
    scene[:144, :144], scene[:240, 170:410] = small, face
    boxes = faces.locate(scene).boxes
    assert len(boxes) == 2
    assert boxes[0, 0] > 170 > boxes[1, 0] + boxes[1, 2] and boxes[0, 2] > boxes[1, 2]


def test_grey_pictures_give_the_same_face(astronaut):
    grey, boxes = cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), faces.locate(astronaut).boxes
    assert abs(faces.locate(grey).boxes - boxes).max() <= 1, "YuNet sees colour, too"
    face = faces.crop(astronaut, boxes[0])
    assert np.array_equal(faces.crop(grey, boxes[0]), face)
    assert face.shape == (48, 48) and face.dtype == np.uint8


def test_large_pictures_are_reduced_and_boxes_scaled_back(astronaut):
    boxes = faces.locate(cv2.resize(astronaut, (1536, 1536))).boxes
    expected = faces.locate(astronaut).boxes * 3
    assert boxes.shape == (1, 4), "the second search adds no face twice"
    assert abs(boxes - expected).max() < 0.15 * expected[0, 2]


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


def test_an_unknown_detector_is_refused(astronaut):
    with pytest.raises(FerlibError, match="'dlib'.*yunet or haar"):
        faces.locate(astronaut, "dlib")


def test_tight_crops_hold_faces_and_noise_holds_none():
    rng = np.random.default_rng
    drawn = [demo.face(n % len(CLASSES), rng([1, n])) for n in range(70)]
    assert np.mean([faces.has_face(face) for face in drawn]) > 0.8
    halves = [cv2.resize(face, (32, 32), interpolation=cv2.INTER_AREA) for face in drawn[:35]]
    framed = [cv2.copyMakeBorder(half, 8, 8, 8, 8, cv2.BORDER_REPLICATE) for half in halves]
    assert np.mean([faces.has_face(face) for face in framed]) > 0.7
    assert faces.has_face(drawn[0][..., np.newaxis]) == faces.has_face(drawn[0])
    assert not any(faces.has_face(np.full((48, 48), grey, np.uint8)) for grey in (0, 10, 128, 255))
    noise = [cv2.GaussianBlur(rng(n).normal(128, 60, (48, 48)), (0, 0), 1 + n % 3) for n in range(30)]
    found = [faces.has_face(np.clip(image, 0, 255).astype(np.uint8)) for image in noise]
    assert sum(found) <= 1


# --- the two detectors -------------------------------------------------------------------------------


def test_yunet_is_the_file_that_its_notice_names():
    path = paths.PACKAGE / "weights" / faces.YUNET_FILE
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size == 232_589 and digest.startswith("8f2383e4dd3c")
    notices = (paths.PACKAGE.parent / "THIRD_PARTY_NOTICES.md").read_text()
    assert digest in notices and "Shiqi Yu" in notices and "MIT License" in notices


def tilted(picture, degrees):
    turn = cv2.getRotationMatrix2D((225, 115), -degrees, 1)  # a negative angle turns clockwise
    return cv2.warpAffine(picture, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)


def test_yunet_finds_tilted_faces_and_says_to_which_side_they_lean(astronaut):
    tilts = []
    for degrees in (-30, 0, 30):
        found = faces.locate(tilted(astronaut, degrees))
        assert len(found.boxes) == len(found.tilts) == 1
        tilts += found.tilts.tolist()
    assert tilts == sorted(tilts) and tilts[0] < 0 < tilts[2]


def test_a_tilted_face_is_cut_out_upright(astronaut):
    box = (180, 70, 90, 90)
    upright, picture = faces.crop(astronaut, box), tilted(astronaut, 30)

    def likeness(crop):
        return np.corrcoef(upright.ravel(), crop.ravel())[0, 1]

    assert likeness(faces.crop(picture, box, tilt=30)) > 0.98 > 0.8 > likeness(faces.crop(picture, box))
    as_it_is = faces.crop(picture, box)
    np.testing.assert_array_equal(faces.crop(picture, box, tilt=faces.LEVEL_FROM - 1), as_it_is)


def test_small_faces_of_a_large_photo_are_found(astronaut):
    photo = np.full((3000, 4000, 3), 128, np.uint8)
    face = astronaut[20:260, 110:340]  # holds a face of 90 pixels
    places = [(300 + 600 * column, 300 + 900 * row) for row in range(3) for column in range(6)]
    for x, y in places:
        photo[y : y + 240, x : x + 230] = face
    found = faces.locate(photo).boxes
    assert faces.smallest_searched(4000, 3000) < 60
    assert len(found) == 18
    assert len(faces.locate(photo, "haar").boxes) == 0 and faces.smallest_searched(4000, 3000, "haar") == 250


PHOTOS = ("brick", "coffee", "gravel", "rocket", "chelsea", "moon", "page", "grass")
NO_FACES = {name: lambda name=name: getattr(skimage.data, name)() for name in PHOTOS}
NO_FACES |= {str(shape): lambda shape=shape: np.full(shape, 100, np.uint8) for shape in TINY}
NO_FACES["half"] = lambda: skimage.data.coffee()[::2, ::2]
NO_FACES["a suit"] = lambda: skimage.data.astronaut()[300:]


@pytest.mark.parametrize("name", NO_FACES)
def test_nobody_is_seen_where_nobody_is(name):
    photo = NO_FACES[name]()
    found = faces.locate(photo[..., ::-1] if photo.ndim == 3 else photo).boxes
    assert found.shape == (0, 4) and found.dtype == np.int64


def test_drawn_faces_are_framed_by_both_detectors_alike():
    for emotion in scenes.SEEDS:
        picture = scenes.scene([(scenes.face(emotion), BOX)])
        for detector in faces.DETECTORS:
            ((left, top, width, height),) = faces.locate(picture, detector).boxes
            assert max(width, height) == pytest.approx(150, rel=0.2)
            assert (left + width / 2, top + height / 2) == pytest.approx((275, 195), abs=15)


def test_the_readme_names_the_sizes_that_are_searched_for():
    told = " ".join((paths.PACKAGE.parent / "README.md").read_text().split())
    assert f"from {faces.SMALLEST_FACE} pixels on in a photo" in told
    assert f"from {100 * tracker.NARROWEST:.0f} % of the longer side in a film" in told
    assert f"above {faces.FINER_SEARCHED:,} pixels are searched at that size" in told


def test_less_is_needed_to_believe_a_face_a_second_time(astronaut):
    blurred = [cv2.GaussianBlur(astronaut, (0, 0), sigma) for sigma in (8, 10, 12, 14, 16, 18)]
    counts = [(len(faces.locate(one).boxes), len(faces.locate(one, known=True).boxes)) for one in blurred]
    assert all(plain <= known for plain, known in counts) and (0, 1) in counts, counts
