"""Two face detectors alike: YuNet, a small network, and the Haar cascade of the classic pipeline."""

import os
import threading
from collections import OrderedDict
from typing import NamedTuple

import cv2
import numpy as np

from ferlib import paths
from ferlib.labels import FerlibError

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
"""Picture sizes for which a thread keeps a YuNet; changing the size of one costs more than a search."""


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

    def take(self, index: np.ndarray) -> "Found":
        """Return the faces that an index or mask chooses."""
        return Found(self.boxes[index], self.tilts[index])


NOBODY = Found(np.zeros((0, 4)), np.zeros(0))


def yunet(picture: np.ndarray, least: float, score: float = YUNET_SCORE) -> Found:
    """Find faces with YuNet.

    Args:
        picture: uint8 (height, width) or (height, width, 3) blue, green, red.
        least: Narrowest face wanted, pixels.
        score: Least score of a face, at least `YUNET_KNOWN`.

    Returns:
        Faces, boxes in float64; the tilt is that of the line between the eyes.

    Raises:
        FerlibError: OpenCV cannot read the network.

    Source: Wu, Peng and Yu 2023, YuNet: a tiny millisecond-level face detector.
    """
    colour = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture
    found = _yunet(colour.shape[1::-1]).detect(colour)[1]
    if found is None:
        return NOBODY
    found = found[(found[:, 2] >= least) & (found[:, 14] >= score)].astype(np.float64)
    tilts = np.degrees(np.arctan2(found[:, 7] - found[:, 5], found[:, 6] - found[:, 4]))
    return Found(found[:, :4], tilts)


def haar(grey: np.ndarray, least: float) -> Found:
    """Find upright, frontal faces with the cascade that OpenCV ships.

    Args:
        grey: uint8 (height, width).
        least: Narrowest face searched for, pixels.

    Returns:
        Faces, boxes in float64; no tilts.

    Source: Viola and Jones 2001.
    """
    side = max(1, round(least))
    boxes = cascade().detectMultiScale(
        cv2.equalizeHist(grey), HAAR_STEP, HAAR_NEIGHBOURS, minSize=(side, side)
    )
    boxes = np.asarray(boxes, "float64").reshape(-1, 4)
    return Found(boxes, np.zeros(len(boxes)))


_of_thread = threading.local()


def cascade() -> "cv2.CascadeClassifier":
    """Return this thread's Haar cascade, for a search keeps its state in it."""
    if not hasattr(_of_thread, "cascade"):
        if not hasattr(cv2, "CascadeClassifier"):
            raise FerlibError(f"OpenCV {cv2.__version__} has no Haar cascades: install one below version 5")
        path = os.path.join(cv2.data.haarcascades, "haarcascade_frontalface_default.xml")
        _of_thread.cascade = cv2.CascadeClassifier(path)
    return _of_thread.cascade


def _yunet(size: tuple[int, int]) -> "cv2.FaceDetectorYN":
    """Return this thread's YuNet for pictures of a size; those used least lately are dropped."""
    kept = _of_thread.__dict__.setdefault("yunets", OrderedDict())
    if size not in kept:
        path = paths.PACKAGE / "weights" / YUNET_FILE
        try:
            kept[size] = cv2.FaceDetectorYN.create(str(path), "", size, YUNET_KNOWN, YUNET_OVERLAP)
        except cv2.error as error:
            raise FerlibError(f"{path} cannot be read ({error.err}): reinstall ferlib") from None
        if len(kept) > KEPT_SIZES:
            kept.popitem(last=False)
    kept.move_to_end(size)
    return kept[size]
