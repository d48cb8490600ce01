"""Finds faces in pictures and cuts them out as FER-2013's faces were cut out."""

import cv2
import numpy as np

from ferlib import detectors
from ferlib.detectors import DETECTORS, Found
from ferlib.labels import IMAGE_SIZE, FerlibError
from ferlib.pixels import as_bytes

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
    if finer and (smallest is None or smallest * LARGEST_SEARCHED / longer < 2 * detectors.YUNET_SMALLEST):
        small = _searched(picture, detector, finer, smallest)
        found = _joined(found, small.take(small.boxes[:, 2] < FINER_WIDEST * longer))
    return _inside(found, width, height)


def check(detector: str) -> None:
    """Refuse a detector that there is not.

    Raises:
        FerlibError: It is none of `DETECTORS`.
    """
    if detector not in DETECTORS:
        raise FerlibError(f"there is no face detector {detector!r}; use {' or '.join(DETECTORS)}")


def smallest_searched(width: int, height: int, detector: str = DETECTORS[0]) -> int:
    """Return the width, pixels, from which faces can be found in a picture of some size."""
    largest = _finer_side(width, height, detector) or LARGEST_SEARCHED
    scale = min(1.0, largest / max(width, height, 1))
    if detector == "haar":
        return round(detectors.HAAR_SMALLEST / scale)
    return max(SMALLEST_FACE, round(detectors.YUNET_SMALLEST / scale))


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
        return detectors.NOBODY
    if detector == "haar":
        least = detectors.HAAR_SMALLEST if smallest is None else max(20, smallest * scale)
        return detectors.haar(as_grey(picture), least).scaled(1 / scale)
    least = max(detectors.YUNET_SMALLEST, (SMALLEST_FACE if smallest is None else smallest) * scale)
    score = detectors.YUNET_KNOWN if known else detectors.YUNET_SCORE
    return detectors.yunet(picture, least, score).scaled(1 / scale)


def _joined(found: Found, others: Found) -> Found:
    """Add the faces of another search that the first has not found."""
    new = np.array([all(_shared(box, known) < 0.4 for known in found.boxes) for box in others.boxes], bool)
    return Found(
        np.concatenate([found.boxes, others.boxes[new]]), np.concatenate([found.tilts, others.tilts[new]])
    )


def _shared(a: np.ndarray, b: np.ndarray) -> float:
    """Return how much of the smaller of two boxes lies in the other, 0 to 1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height) / min(a[2] * a[3], b[2] * b[3])


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
    if abs(tilt) >= LEVEL_FROM:
        cut = _levelled(picture, x, y, side, tilt)
    else:
        cut = _cut(picture, round(x), round(y), max(1, round(side)))
    method = cv2.INTER_AREA if len(cut) > IMAGE_SIZE else cv2.INTER_LINEAR
    return cv2.resize(cut, (IMAGE_SIZE, IMAGE_SIZE), interpolation=method)


def _cut(picture: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    rows = np.clip(np.arange(y, y + side), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(x, x + side), 0, picture.shape[1] - 1)
    return picture[np.ix_(rows, columns)]


def _levelled(picture: np.ndarray, x: float, y: float, side: float, tilt: float) -> np.ndarray:
    """Cut out a square after turning its surroundings about its middle."""
    reach = round(0.25 * side) + 1  # the corners of a turned square reach at most so far outside of it
    around = _cut(picture, round(x) - reach, round(y) - reach, max(1, round(side)) + 2 * reach)
    middle = ((len(around) - 1) / 2,) * 2
    turned = cv2.warpAffine(
        around, cv2.getRotationMatrix2D(middle, tilt, 1), around.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    return turned[reach:-reach, reach:-reach]


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
    # Large faces first, for that is the smaller part of the work, and in most images it is enough.
    for least in (2 * _TIGHT_SMALLEST, _TIGHT_SMALLEST):
        size = (round(least * _TIGHT_ENLARGED),) * 2
        if len(detectors.cascade().detectMultiScale(framed, _TIGHT_STEP, _TIGHT_NEIGHBOURS, minSize=size)):
            return True
    return False


def as_grey(image: np.ndarray) -> np.ndarray:
    """Return a picture as grey uint8 (height, width)."""
    picture = as_bytes(image)
    return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def _inside(found: Found, width: int, height: int) -> Found:
    """Round boxes, clip them to the picture, and put the largest first."""
    boxes = found.boxes
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    corners = np.clip(np.rint(corners), 0, [width, height, width, height]).astype(np.int64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    order = np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")
    order = order[(boxes[order, 2] > 0) & (boxes[order, 3] > 0)]
    return Found(boxes[order], found.tilts[order])
