"""Finds faces in pictures and cuts them out as FER-2013's faces were cut out."""

import os
import threading
from pathlib import Path

import cv2
import numpy as np

from ferlib.labels import IMAGE_SIZE, FerlibError

MARGIN = 0.0
"""Pixels added around a detected box on every side, as a share of its width, before it is resized.

Chapter 7 measures it with `ferlib.framing.accuracy_by_margin` on images of PublicTest in which the cascade
finds one face. The network that shipped first read all 2,636 of them equally well with every margin from
-0.06 to 0.08 (within one standard error) and 2 to 4 points worse at -0.1 and 0.2. So the box is taken as it
is.
"""

LARGEST_SEARCHED = 640
"""Longer side, pixels, that a picture is reduced to before the search, which would be slow otherwise."""

SMALLEST_FACE = 40
"""Narrowest face searched for, pixels of the searched picture; narrower ones carry no expression."""

SCALE_STEP, NEIGHBOURS = 1.1, 5
"""Haar search: ratio of successive face sizes, and overlapping hits that make a face."""

YUNET_CONFIDENCE = 0.7
"""Least score of a face found by YuNet, 0 to 1."""

YUNET_MODEL = "FERLIB_YUNET"
"""Environment variable naming YuNet's model file, ``face_detection_yunet_2023mar.onnx`` of OpenCV's zoo."""

# Of 400 random images of FER-2013 these find a face in 81 %, in none of 100 of blurred noise; enlarging twice
# and a finer step take twice as long for the same.
_TIGHT_ENLARGED, _TIGHT_PADDING, _TIGHT_STEP, _TIGHT_NEIGHBOURS, _TIGHT_SMALLEST = 1.5, 0.25, 1.15, 1, 22


def detect(image: np.ndarray, detector: str = "haar", *, smallest: int | None = None) -> np.ndarray:
    """Find upright, roughly frontal faces.

    Args:
        image: uint8 or uint16, (height, width) grey, or (height, width, 1, 3 or 4) with channels in the
            order blue, green, red, alpha.
        detector: ``"haar"``, the cascade that OpenCV ships; or ``"yunet"``, whose model file the
            environment variable ``FERLIB_YUNET`` names.
        smallest: Narrowest face searched for, pixels of the image; None takes ``SMALLEST_FACE`` of the
            reduced picture.

    Returns:
        int64 (n, 4): left, top, width and height of each face, pixels, within the image, the largest first.

    Raises:
        FerlibError: Unknown detector, or YuNet without its model.

    Source: Viola and Jones 2001; Wu, Peng and Yu 2023 (YuNet).
    """
    if detector not in ("haar", "yunet"):
        raise FerlibError(f"there is no face detector {detector!r}; use haar or yunet")
    picture = as_bytes(image)
    height, width = picture.shape[:2]
    scale = min(1.0, LARGEST_SEARCHED / max(height, width, 1))
    least = SMALLEST_FACE if smallest is None else max(20, round(smallest * scale))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if min(picture.shape[:2]) < 20:
        found = np.zeros((0, 4))
    elif detector == "haar":
        found = _haar(as_grey(picture), least)
    else:
        found = _yunet(picture, least)
    return _inside(np.asarray(found, "float64").reshape(-1, 4) / scale, width, height)


def crop(image: np.ndarray, box: np.ndarray, margin: float = MARGIN) -> np.ndarray:
    """Cut out a face as the networks expect it.

    Args:
        image: As for `detect`.
        box: Left, top, width, height, pixels.
        margin: Added on every side, as a share of the box; what lies outside of the picture repeats its edge.

    Returns:
        Grey face, uint8 (48, 48).
    """
    picture = as_grey(image)
    left, top, width, height = (float(side) for side in box)
    side = max(width, height) * (1 + 2 * margin)
    x, y = round(left + width / 2 - side / 2), round(top + height / 2 - side / 2)
    side = max(1, round(side))
    rows = np.clip(np.arange(y, y + side), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(x, x + side), 0, picture.shape[1] - 1)
    method = cv2.INTER_AREA if side > IMAGE_SIZE else cv2.INTER_LINEAR
    return cv2.resize(picture[np.ix_(rows, columns)], (IMAGE_SIZE, IMAGE_SIZE), interpolation=method)


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
        if len(_cascade().detectMultiScale(framed, _TIGHT_STEP, _TIGHT_NEIGHBOURS, minSize=size)):
            return True
    return False


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Return a picture as uint8 with one or three channels; transparency is dropped.

    Raises:
        FerlibError: The array is no picture.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or image.size == 0:
        raise FerlibError(f"an array of shape {image.shape} is no picture: pass (height, width[, channels])")
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise FerlibError(f"pixels of type {image.dtype} are not understood: pass uint8 or uint16")
    if image.ndim == 3 and image.shape[2] == 4:
        return np.ascontiguousarray(image[:, :, :3])
    return image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image


def as_grey(image: np.ndarray) -> np.ndarray:
    """Return a picture as grey uint8 (height, width)."""
    picture = as_bytes(image)
    return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def _haar(grey: np.ndarray, least: int) -> np.ndarray:
    boxes = _cascade().detectMultiScale(
        cv2.equalizeHist(grey), SCALE_STEP, NEIGHBOURS, minSize=(least, least)
    )
    return np.asarray(boxes, "float64").reshape(-1, 4)


_of_thread = threading.local()


def _cascade() -> "cv2.CascadeClassifier":
    # One a thread, for a search keeps its state in the classifier.
    if not hasattr(_of_thread, "cascade"):
        path = os.path.join(cv2.data.haarcascades, "haarcascade_frontalface_default.xml")
        _of_thread.cascade = cv2.CascadeClassifier(path)
    return _of_thread.cascade


def _yunet(picture: np.ndarray, least: int) -> np.ndarray:
    colour = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture
    model = os.environ.get(YUNET_MODEL, "")
    if not Path(model).is_file():
        raise FerlibError(
            f"the detector yunet needs its model: set {YUNET_MODEL} to face_detection_yunet_2023mar.onnx "
            f"from OpenCV's model zoo (it is {model or 'not set'}), or use --detector haar"
        )
    try:
        detector = cv2.FaceDetectorYN.create(model, "", colour.shape[1::-1], YUNET_CONFIDENCE)
        found = detector.detect(colour)[1]
    except cv2.error as error:
        raise FerlibError(f"{model} is not a YuNet model that OpenCV can read: {error.err}") from None
    found = np.zeros((0, 4)) if found is None else found[:, :4]
    return found[found[:, 2] >= least]


def _inside(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Round boxes, clip them to the picture, and put the largest first."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    corners = np.clip(np.rint(corners), 0, [width, height, width, height]).astype(np.int64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    boxes = boxes[(boxes[:, 2] > 0) & (boxes[:, 3] > 0)]
    return boxes[np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")]
