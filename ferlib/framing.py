"""How FER-2013 frames its faces, and which margin around a detected box frames a face like that."""

import cv2
import numpy as np
import pandas as pd

from ferlib import faces
from ferlib.data import Split
from ferlib.labels import IMAGE_SIZE
from ferlib.network import Network

ENLARGED, PADDING = 3, 24
"""How many times an image is enlarged, to the size of a face at a webcam, and the border it gets first."""


def in_a_picture(image: np.ndarray) -> np.ndarray:
    """Enlarge a face and continue its edge around it, so that a detector finds it like one in a picture.

    Args:
        image: uint8 (48, 48) or (48, 48, 1).

    Returns:
        uint8 (288, 288); the frame of the image is the middle half of it.
    """
    pad = (PADDING, PADDING)
    framed = np.pad(faces.as_grey(image), (pad, pad), mode="edge")
    return cv2.resize(framed, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)


def find_boxes(split: Split) -> pd.DataFrame:
    """Detect the face of each image and compare its box with the frame of the image.

    Args:
        split: Images.

    Returns:
        One row an image with exactly one face found: ``index`` (in the split), ``left``, ``top``, ``width``,
        ``height`` (pixels of `in_a_picture`), ``share`` (width of the box in widths of the frame), ``right``
        and ``down`` (how far its centre is from the frame's, in widths of the frame).
    """
    rows = []
    frame = ENLARGED * IMAGE_SIZE
    for index, image in enumerate(split.images):
        boxes = faces.detect(in_a_picture(image), smallest=frame // 2)
        if len(boxes) == 1:
            left, top, width, height = (int(side) for side in boxes[0])
            centre = ENLARGED * (PADDING + IMAGE_SIZE / 2)
            offsets = ((left + width / 2 - centre) / frame, (top + height / 2 - centre) / frame)
            rows.append((index, left, top, width, height, width / frame, *offsets))
    columns = ["index", "left", "top", "width", "height", "share", "right", "down"]
    return pd.DataFrame(rows, columns=columns)


def accuracy_by_margin(
    network: Network, split: Split, boxes: pd.DataFrame, margins: np.ndarray
) -> pd.DataFrame:
    """Classify faces as they are cut out with each margin.

    Args:
        network: The network of the live view.
        split: Images.
        boxes: From `find_boxes` of that split.
        margins: Added on every side of the box, as shares of its width; negative ones cut into the face.

    Returns:
        One row a margin: ``margin``, ``accuracy`` (0 to 1) and its ``standard_error``, and ``difference``
        (the accuracy minus that on the same images as FER-2013 has them).
    """
    images, labels = split.images[boxes["index"]], split.labels[boxes["index"]]
    original = (network.probabilities(images).argmax(axis=1) == labels).mean()
    pictures = [in_a_picture(image) for image in images]
    corners = boxes[["left", "top", "width", "height"]].to_numpy()
    rows = []
    for margin in margins:
        cut = [faces.crop(picture, box, margin) for picture, box in zip(pictures, corners, strict=True)]
        accuracy = (network.probabilities(cut).argmax(axis=1) == labels).mean()
        error = np.sqrt(accuracy * (1 - accuracy) / len(labels))
        rows.append((margin, accuracy, error, accuracy - original))
    return pd.DataFrame(rows, columns=["margin", "accuracy", "standard_error", "difference"])


def margin_like_fer2013(boxes: pd.DataFrame) -> float:
    """Return the margin that makes the median box as wide as the frame of the image.

    Args:
        boxes: From `find_boxes`.
    """
    return float((1 / boxes["share"].median() - 1) / 2)
