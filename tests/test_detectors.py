"""YuNet comes with the package and is the default; Haar stays."""

import hashlib
import threading

import cv2
import numpy as np
import pytest
import scenes
import skimage.data

from ferlib import faces, paths
from ferlib.live import tracker

BOX = (200, 120, 150, 150)


def test_yunet_is_the_file_that_its_notice_names():
    path = paths.PACKAGE / "weights" / faces.YUNET_FILE
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size == 232_589 and digest.startswith("8f2383e4dd3c")
    notices = (paths.PACKAGE.parent / "THIRD_PARTY_NOTICES.md").read_text()
    assert digest in notices and "Shiqi Yu" in notices and "MIT License" in notices


def test_a_thread_keeps_one_yunet_a_size(monkeypatch):
    made = []
    create = cv2.FaceDetectorYN.create
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *how: made.append(how[2]) or create(*how))

    def search():
        for size in ((96, 120), (96, 120), (128, 120), (96, 120)):
            faces.locate(np.zeros(size, np.uint8))

    for _ in range(2):
        thread = threading.Thread(target=search)
        thread.start()
        thread.join()
    assert made == [(120, 96), (120, 128)] * 2


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


def test_the_second_search_adds_no_large_boxes(astronaut):
    photo = np.full((1200, 1600, 3), 128, np.uint8)
    photo[100:612, 100:612] = astronaut
    assert len(faces.locate(photo).boxes) == 1


@pytest.mark.parametrize("name", ["brick", "coffee", "gravel", "rocket", "chelsea", "moon", "page", "grass"])
def test_nobody_is_seen_where_nobody_is(name):
    photo = getattr(skimage.data, name)()
    assert len(faces.locate(photo[..., ::-1] if photo.ndim == 3 else photo).boxes) == 0


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
