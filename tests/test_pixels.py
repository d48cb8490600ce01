"""Whatever kind of picture comes in, by whichever door, the same pixels come out."""

import io

import cv2
import numpy as np
import pytest
import scenes
from PIL import Image

import ferlib
from ferlib import pixels
from ferlib.labels import FerlibError

BOX = (200, 120, 150, 150)
GREY = scenes.scene([(scenes.face("happy"), BOX)])[..., 0]
RGB = np.dstack([GREY, GREY // 2, GREY // 3])


def pillow(mode):
    return Image.fromarray(GREY).convert(mode)


def turned():
    lying = Image.Exif()
    lying[274] = 6
    stream = io.BytesIO()
    Image.fromarray(np.rot90(GREY)).save(stream, "png", exif=lying)
    return Image.open(stream)


def encoded(suffix):
    return cv2.imencode(suffix, GREY)[1].tobytes()


KINDS = {
    "uint8": lambda: GREY,
    "list": lambda: GREY.tolist(),
    "int64": lambda: GREY.astype(np.int64),
    "uint16": lambda: GREY.astype(np.uint16) * 257,
    "float in 0..1": lambda: GREY / 255,
    "float32 in 0..1": lambda: (GREY / 255).astype(np.float32),
    "whole floats": lambda: GREY.astype(np.float32),
    "floats in 0..255": lambda: np.clip(GREY + 0.3, 0, 255),
    "uint16 in 0..255": lambda: GREY.astype(np.uint16),
    "one channel": lambda: GREY[..., None],
    "three channels": lambda: np.dstack([GREY] * 3),
    "transparency": lambda: np.dstack([GREY] * 3 + [np.zeros_like(GREY)]),
    "strided": lambda: GREY[:, ::-1][:, ::-1],
    **{f"Pillow {mode}": lambda mode=mode: pillow(mode) for mode in ("L", "RGB", "RGBA", "LA", "I", "F")},
    "Pillow palette": lambda: pillow("L").quantize(256),
    "Pillow 16 bits": lambda: Image.fromarray(GREY.astype(np.uint16) * 257),
    "Pillow turned by EXIF": turned,
    "bytes of a PNG": lambda: encoded(".png"),
    "bytearray": lambda: bytearray(encoded(".bmp")),
    "memoryview": lambda: memoryview(encoded(".png")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_face_gets_the_same_answer_in_every_kind_of_picture(network, kind):
    (expected,) = ferlib.predict(GREY, model=network)
    assert expected.emotion == "happy"
    (face,) = ferlib.predict(KINDS[kind](), model=network)
    assert face.box == pytest.approx(expected.box, abs=2)
    assert list(face.probabilities.values()) == pytest.approx(list(expected.probabilities.values()), abs=0.02)


def test_colours_keep_their_order(network):
    blue_first = np.ascontiguousarray(RGB[..., ::-1])
    np.testing.assert_array_equal(pixels.in_colour(RGB), blue_first)
    np.testing.assert_array_equal(pixels.in_colour(blue_first, "bgr"), blue_first)
    np.testing.assert_array_equal(pixels.in_colour(Image.fromarray(RGB), "bgr"), blue_first)
    np.testing.assert_array_equal(pixels.in_colour(Image.fromarray(RGB).convert("CMYK")), blue_first)
    assert ferlib.predict(RGB, model=network) == ferlib.predict(blue_first, order="bgr", model=network)
    with pytest.raises(FerlibError, match="no order of colours 'gbr': use rgb or bgr"):
        pixels.in_colour(RGB, "gbr")


def test_every_value_of_sixteen_bits_is_rounded_to_the_nearest_of_eight():
    deep = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(pixels.eight_bit(deep), np.rint(deep / 257).astype(np.uint8))


@pytest.mark.parametrize(("wrong", "most"), [(300, 255), (-1, 255), (np.nan, 255), (np.inf, 255), (1.5, 1)])
def test_crops_that_would_wrap_or_vanish_are_refused(network, wrong, most):
    crop = np.stack([scenes.face("sad")]) * (most / 255)
    crop[0, 5, 5] = wrong
    with pytest.raises(FerlibError, match="are not understood"):
        network.probabilities(crop if wrong != 300 else crop.astype(int))
