"""Finds faces in pictures and cuts them out as FER-2013's faces were cut out.

Two detectors look for them: YuNet, a small network, and the Haar cascade of the classic pipeline.
"""

import os
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from ferlib import paths
from ferlib.labels import IMAGE_SIZE, FerlibError
from ferlib.pixels import as_bytes

DETECTORS = ("yunet", "haar")
"""The first is the default."""

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
"""YuNet's network, shipped beside ferlib's own; its licence and source stand in THIRD_PARTY_NOTICES.md."""

YUNET_SCORE = 0.65
"""Least score of a face found by YuNet, 0 to 1.

Chosen on 1,800 faces of PublicTest pasted into pictures and 352 pieces of photographs without a face: from
0.6 it found 91 % and saw faces in 7 % of the pieces, from 0.7 89 % and 3 %, from 0.8 84 % and 1 %.
"""

YUNET_KNOWN = 0.4
"""Least score where a face is known to be about: less is needed to believe it a second time."""

YUNET_OVERLAP = 0.3
"""Boxes that overlap by more (intersection over union) are one face."""

YUNET_SMALLEST, HAAR_SMALLEST = 16, 40
"""Narrowest face that is searched for, pixels of the searched picture."""

HAAR_STEP, HAAR_NEIGHBOURS = 1.1, 5
"""Haar search: ratio of successive face sizes, and overlapping hits that make a face."""

KEPT_SIZES = 8
"""Picture sizes for which YuNets are kept; changing the size of one costs more than a search."""


class Found(NamedTuple):
    """Faces in a picture.

    Attributes:
        boxes: (n, 4): left, top, width and height, pixels.
        tilts: float64 (n,): how far each face leans, degrees, clockwise in the picture; 0 if unknown.
    """

    boxes: np.ndarray
    tilts: np.ndarray

    def scaled(self, factor: float) -> "Found":
        """Return the same faces in a picture that is so many times as large."""
        return Found(self.boxes * factor, self.tilts)

    def moved(self, left: float, top: float) -> "Found":
        """Return the same faces in a picture that this one is a part of, given the corner of the part."""
        return Found(self.boxes + (left, top, 0, 0), self.tilts)

    def take(self, index: np.ndarray) -> "Found":
        """Return the faces that an index or mask chooses."""
        return Found(self.boxes[index], self.tilts[index])


NOBODY = Found(np.zeros((0, 4)), np.zeros(0))


def _by_yunet(picture: np.ndarray, least: float, score: float) -> Found:
    """Find faces of a width and score; the tilt is that of the line between the eyes.

    Source: Wu, Peng and Yu 2023, YuNet: a tiny millisecond-level face detector.
    """
    colour = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture
    found = _yunet(colour.shape[1::-1], threading.get_ident()).detect(colour)[1]
    if found is None:
        return NOBODY
    found = found[(found[:, 2] >= least) & (found[:, 14] >= score)].astype(np.float64)
    tilts = np.degrees(np.arctan2(found[:, 7] - found[:, 5], found[:, 6] - found[:, 4]))
    return Found(found[:, :4], tilts)


def _by_haar(grey: np.ndarray, least: float) -> Found:
    """Find upright, frontal faces of a width, without tilts. Source: Viola and Jones 2001."""
    size = (max(1, round(least)),) * 2
    cascade = _cascade(threading.get_ident())
    boxes = cascade.detectMultiScale(cv2.equalizeHist(grey), HAAR_STEP, HAAR_NEIGHBOURS, minSize=size)
    return Found(np.asarray(boxes, "float64").reshape(-1, 4), np.zeros(len(boxes)))


@lru_cache
def _cascade(thread: int) -> "cv2.CascadeClassifier":
    """Return a thread's Haar cascade, for a search keeps its state in it."""
    path = os.path.join(cv2.data.haarcascades, "haarcascade_frontalface_default.xml")
    return cv2.CascadeClassifier(path)


@lru_cache(maxsize=KEPT_SIZES)
def _yunet(size: tuple[int, int], thread: int) -> "cv2.FaceDetectorYN":
    """Return a thread's YuNet for pictures of a size."""
    path = paths.PACKAGE / "weights" / YUNET_FILE
    try:
        return cv2.FaceDetectorYN.create(str(path), "", size, YUNET_KNOWN, YUNET_OVERLAP)
    except cv2.error as error:
        raise FerlibError(f"{path} cannot be read ({error.err}): reinstall ferlib") from None


MARGIN = 0.0
"""Pixels added around the square about a detected box on every side, as a share of its width.

Chapter 8 measures it, see `ferlib.evaluate.live_chain`. On 1,632 faces of PublicTest pasted into
pictures, the chain from YuNet's box to the answer was right for 69.5 % at 0, for 67.8 % to 68.8 % at -0.1,
-0.05, 0.05 and 0.1 (95 % intervals of 2.3 points): nothing beats the box as it is.
"""

LEVEL_FROM = 15.0
"""Tilt, degrees, from which a face is turned upright before it is cut out.

On 900 faces of PublicTest turned by 30 degrees, levelling raised the share of found ones that are read
rightly from 67.7 to 70.8 %, at 45 degrees from 54.8 to 63.7 %; of upright ones it changed 0.1 points.
YuNet places the eyes of tilted faces too level, so that only strong tilts reach the limit.
"""

LARGEST_SEARCHED, FINER_SEARCHED = 640, 1920
"""Longer sides, pixels, that a picture is reduced to: for the first search, which finds large faces, and,
where the picture is larger, for a second one, which finds the small faces that the first could not see."""

FINER_WIDEST = 0.1
"""Widest face, as a share of the picture's longer side, that the second search may add: what is larger and
was not found by the first is no face more often than one."""

FINER_FROM = 1.25
"""How much larger than the first search a picture must be for the second to be worth its time."""

SMALLEST_FACE = 20
"""Narrowest face that is kept, pixels of the picture; narrower ones carry no expression."""

# Of 400 random images of FER-2013 these find a face in 81 %, in none of 100 of blurred noise; enlarging twice
# and a finer step take twice as long for the same.
_TIGHT_ENLARGED, _TIGHT_PADDING, _TIGHT_STEP, _TIGHT_NEIGHBOURS, _TIGHT_SMALLEST = 1.5, 0.25, 1.15, 1, 22


def locate(
    image: np.ndarray, detector: str = DETECTORS[0], *, smallest: int | None = None, known: bool = False
) -> Found:
    """Find faces and how far they lean.

    Args:
        image: As for `ferlib.pixels.as_bytes`; colours in the order blue, green, red.
        detector: ``"yunet"``, a small network; or ``"haar"``, the cascade that OpenCV ships.
        smallest: Narrowest face wanted, pixels of the image; None takes `smallest_searched`.
        known: Whether a face was there a moment ago, so that less is needed to believe in it.

    Returns:
        Roughly frontal faces, the largest first; boxes int64 (n, 4), within the image.

    Raises:
        FerlibError: Unknown detector, or no picture.
    """
    check(detector)
    picture = as_bytes(image)
    height, width = picture.shape[:2]
    found = _searched(picture, detector, LARGEST_SEARCHED, smallest, known)
    longer, finer = max(width, height), _finer_side(width, height, detector)
    if finer and (smallest is None or smallest * LARGEST_SEARCHED / longer < 2 * YUNET_SMALLEST):
        small = _searched(picture, detector, finer, smallest)
        found = _joined(found, small.take(small.boxes[:, 2] < FINER_WIDEST * longer))
    return _inside(found, width, height)


def check(detector: str) -> None:
    """Refuse a detector that is none of `DETECTORS` with a `FerlibError`."""
    if detector not in DETECTORS:
        raise FerlibError(f"there is no face detector {detector!r}; use {' or '.join(DETECTORS)}")


def smallest_searched(width: int, height: int, detector: str = DETECTORS[0]) -> int:
    """Return the width, pixels, from which faces can be found in a picture of some size."""
    largest = _finer_side(width, height, detector) or LARGEST_SEARCHED
    scale = min(1.0, largest / max(width, height, 1))
    if detector == "haar":
        return round(HAAR_SMALLEST / scale)
    return max(SMALLEST_FACE, round(YUNET_SMALLEST / scale))


def _finer_side(width: int, height: int, detector: str) -> int | None:
    """Return the longer side to which a picture is reduced for a second search, if it gets one."""
    longer = max(width, height)
    finer = detector == "yunet" and longer >= FINER_FROM * LARGEST_SEARCHED
    return min(longer, FINER_SEARCHED) if finer else None


def _searched(
    picture: np.ndarray, detector: str, side: int, smallest: int | None, known: bool = False
) -> Found:
    """Search a picture whose longer side is reduced to so many pixels; boxes are in pixels of the picture."""
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if min(picture.shape[:2]) < 20:
        return NOBODY
    if detector == "haar":
        found = _by_haar(as_grey(picture), HAAR_SMALLEST if smallest is None else max(20, smallest * scale))
    else:
        least = max(YUNET_SMALLEST, (SMALLEST_FACE if smallest is None else smallest) * scale)
        found = _by_yunet(picture, least, YUNET_KNOWN if known else YUNET_SCORE)
    return found.scaled(1 / scale)


def _joined(found: Found, others: Found) -> Found:
    """Add the faces of another search that the first has not found."""
    new = [all(common(a, b) < 0.4 * min(a[2] * a[3], b[2] * b[3]) for b in found.boxes) for a in others.boxes]
    return together([found, others.take(np.array(new, bool))])


def together(parts: Iterable[Found]) -> Found:
    """Return the faces of one search after those of another."""
    return Found(*map(np.concatenate, zip(*parts, strict=True)))


def common(a: np.ndarray, b: np.ndarray) -> float:
    """Return the area that two boxes (left, top, width, height) have in common."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return float(max(0.0, width) * max(0.0, height))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return intersection over union of two boxes (left, top, width, height), 0 to 1."""
    return common(a, b) / (a[2] * a[3] + b[2] * b[3] - common(a, b))


def crop(image: np.ndarray, box: np.ndarray, margin: float = MARGIN, tilt: float = 0.0) -> np.ndarray:
    """Cut out a face as the networks expect it.

    Args:
        image: As for `locate`.
        box: Left, top, width, height, pixels.
        margin: Added on every side, as a share of the box; what lies outside of the picture repeats its edge.
        tilt: Degrees that the face leans, clockwise; from `LEVEL_FROM` on it is turned upright.

    Returns:
        Grey face, uint8 (48, 48).
    """
    picture = as_grey(image)
    left, top, width, height = (float(side) for side in box)
    side = max(width, height) * (1 + 2 * margin)
    x, y = left + width / 2 - side / 2, top + height / 2 - side / 2
    # The corners of a turned square reach at most so far outside of it.
    reach = round(0.25 * side) + 1 if abs(tilt) >= LEVEL_FROM else 0
    start, length = (round(y) - reach, round(x) - reach), max(1, round(side)) + 2 * reach
    cut = picture
    for axis in (0, 1):  # what lies outside repeats the edge
        cut = cut.take(np.arange(start[axis], start[axis] + length), axis, mode="clip")
    if reach:
        turn = cv2.getRotationMatrix2D(((len(cut) - 1) / 2,) * 2, tilt, 1)
        cut = cv2.warpAffine(cut, turn, cut.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        cut = cut[reach:-reach, reach:-reach]
    method = cv2.INTER_AREA if len(cut) > IMAGE_SIZE else cv2.INTER_LINEAR
    return cv2.resize(cut, (IMAGE_SIZE, IMAGE_SIZE), interpolation=method)


def has_face(image: np.ndarray) -> bool:
    """Say whether a face is found in an image that is nothing but a face, such as one of FER-2013.

    Such crops are too small and too tight for the detector, so they are enlarged and their edge is repeated
    around them.

    Args:
        image: uint8 (48, 48) or (48, 48, 1).
    """
    enlarged = cv2.resize(as_grey(image), None, fx=_TIGHT_ENLARGED, fy=_TIGHT_ENLARGED)
    pad = round(_TIGHT_PADDING * enlarged.shape[0])
    framed = cv2.copyMakeBorder(enlarged, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    cascade = _cascade(threading.get_ident())
    # Large faces first, for that is the smaller part of the work, and in most images it is enough.
    for least in (2 * _TIGHT_SMALLEST, _TIGHT_SMALLEST):
        size = (round(least * _TIGHT_ENLARGED),) * 2
        if len(cascade.detectMultiScale(framed, _TIGHT_STEP, _TIGHT_NEIGHBOURS, minSize=size)):
            return True
    return False


def as_grey(image: np.ndarray) -> np.ndarray:
    """Return a picture as grey uint8 (height, width)."""
    picture = as_bytes(image)
    return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def _inside(found: Found, width: int, height: int) -> Found:
    """Round boxes, clip them to the picture, and put the largest first."""
    starts, ends = found.boxes[:, :2], found.boxes[:, :2] + found.boxes[:, 2:]
    starts, ends = (np.clip(np.rint(c), 0, (width, height)).astype(np.int64) for c in (starts, ends))
    sizes = ends - starts
    order = np.argsort(-sizes.prod(axis=1), kind="stable")
    order = order[(sizes[order] > 0).all(axis=1)]
    return Found(np.hstack([starts, sizes]), found.tilts).take(order)
