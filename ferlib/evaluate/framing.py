"""How FER-2013 frames its faces, which margin frames a found face like that, and what finding faces costs."""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd
from statsmodels.stats import proportion

from ferlib import faces
from ferlib.data.fer2013 import Split
from ferlib.labels import IMAGE_SIZE
from ferlib.live.network import Network

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
        ``height`` (pixels of `in_a_picture`), ``share`` (longer side of the box in widths of the frame),
        ``right`` and ``down`` (how far its centre is from the frame's, in widths of the frame).
    """
    rows = []
    frame = ENLARGED * IMAGE_SIZE
    for index, image in enumerate(split.images):
        boxes = faces.detect(in_a_picture(image), smallest=frame // 2)
        if len(boxes) == 1:
            left, top, width, height = (int(side) for side in boxes[0])
            centre = ENLARGED * (PADDING + IMAGE_SIZE / 2)
            offsets = ((left + width / 2 - centre) / frame, (top + height / 2 - centre) / frame)
            rows.append((index, left, top, width, height, max(width, height) / frame, *offsets))
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


def parade(images: np.ndarray, seed: int = 0) -> tuple[list[np.ndarray], list[tuple]]:
    """Show one face after the other, each at a place that is known.

    Args:
        images: uint8 (n, 48, 48, 1).
        seed: Of the places.

    Returns:
        A frame a face, uint8 (480, 640, 3), and the box of each (left, top, width, height).
    """
    frames, boxes, generator = [], [], np.random.default_rng(seed)
    for image in images:
        face = in_a_picture(image)
        side = len(face)
        left, top = generator.integers(0, (640 - side, 480 - side))
        frame = np.full((480, 640, 3), 120, np.uint8)
        frame[top : top + side, left : left + side] = face[..., np.newaxis]
        frames.append(frame)
        boxes.append((int(left) + side // 4, int(top) + side // 4, side // 2, side // 2))
    return frames, boxes


def whole_chain(through: Sequence[str | None], alone: Sequence[str]) -> pd.DataFrame:
    """Compare what the chain says of faces in pictures with what the network says of the images themselves.

    Args:
        through: The emotion that the whole chain gives to each face; None where it was not found.
        alone: The emotion that the network gives to each image itself.

    Returns:
        Rows ``found`` (of all), ``same`` (answer, of those found) and ``both`` (of all); columns ``share``
        with its 95 % Wilson interval, ``low`` to ``high``.
    """
    found = np.array([emotion is not None for emotion in through])
    same = np.array([one == two for one, two in zip(through, alone, strict=True)])
    counts = {
        "found": (found.sum(), len(found)),
        "same": (same.sum(), max(found.sum(), 1)),
        "both": (same.sum(), len(found)),
    }
    rows = {
        name: (count / total, *proportion.proportion_confint(count, total, method="wilson"))
        for name, (count, total) in counts.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["share", "low", "high"])
