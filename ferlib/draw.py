"""What is drawn on pictures: a blue box around each face, its emotion, and bars of all probabilities."""

import cv2
import numpy as np

from ferlib.network import Face

BLUE, WHITE, GREY = (235, 99, 37), (255, 255, 255), (150, 150, 150)
DARK, DARK_BLUE = (30, 24, 20), (70, 48, 36)
"""Colours, blue green red."""

FONT = cv2.FONT_HERSHEY_SIMPLEX
PANEL_SHARE = 0.42
"""Width of the panel of bars as a share of the picture's height."""


def annotated(image: np.ndarray, faces: list[Face], scale: float = 1) -> np.ndarray:
    """Return a copy of a picture with a box, the emotion and its probability at each face.

    Args:
        image: uint8 (height, width, 3), blue, green, red.
        faces: Faces to mark.
        scale: Pixels in which the boxes are given per pixel of the image.

    Returns:
        uint8 (height, width, 3).
    """
    image = image.copy()
    unit = max(image.shape[0], image.shape[1]) / 640
    thickness = max(1, round(2 * unit))
    for face in faces:
        x, y, width, height = (round(side / scale) for side in face.box)
        cv2.rectangle(image, (x, y), (x + width, y + height), BLUE, thickness, cv2.LINE_AA)
        size = float(np.clip(width / 200, 0.42, 1.1)) * max(unit, 0.6)
        _label(image, f"{face.emotion} {face.confidence:.0%}", x, y, size, thickness)
    return image


def _label(image: np.ndarray, text: str, x: int, y: int, size: float, edge: int) -> None:
    """Write white on blue above the point, or below it at the upper rim; always inside the picture."""
    stroke = max(1, round(1.6 * size))
    (width, height), below = cv2.getTextSize(text, FONT, size, stroke)
    pad = max(2, round(6 * size))
    left = int(np.clip(x - edge // 2, 0, max(0, image.shape[1] - width - 2 * pad)))
    top = max(0, y - height - below - 2 * pad)
    corner = (left + width + 2 * pad, top + height + below + 2 * pad)
    cv2.rectangle(image, (left, top), corner, BLUE, cv2.FILLED)
    cv2.putText(image, text, (left + pad, top + pad + height), FONT, size, WHITE, stroke, cv2.LINE_AA)


def live_view(image: np.ndarray, faces: list[Face], rate: float) -> np.ndarray:
    """Return the view of the webcam: the annotated picture and a panel of bars beside it.

    Args:
        image: uint8 (height, width, 3), blue, green, red.
        faces: Faces in the picture; as many as fit get bars, the first ones first.
        rate: Frames a second to show.

    Returns:
        uint8 (height, width + panel, 3).
    """
    height = image.shape[0]
    width = 2 * round(height * PANEL_SHARE / 2)  # video encoders want even sizes
    panel = np.full((height, width, 3), DARK, np.uint8)
    unit = height / 480
    top = round(12 * unit)
    for face in faces:
        needed = round((34 + 24 * len(face.probabilities)) * unit)
        if top + needed > height - 30 * unit:
            break
        _bars(panel, face, top, unit)
        top += needed
    if not faces:
        _write(panel, "no face", 14 * unit, 30 * unit, 0.6 * unit, WHITE)
    _write(panel, f"{rate:.0f} frames a second", 14 * unit, height - 12 * unit, 0.42 * unit, GREY)
    return np.hstack([annotated(image, faces), panel])


def _bars(panel: np.ndarray, face: Face, top: int, unit: float) -> None:
    _write(panel, f"{face.emotion} {face.confidence:.0%}", 14 * unit, top + 18 * unit, 0.6 * unit, WHITE)
    left, right = 86 * unit, panel.shape[1] - 14 * unit
    for row, (name, probability) in enumerate(face.probabilities.items()):
        y = top + (34 + 24 * row) * unit
        colour = WHITE if name == face.emotion else GREY
        _write(panel, name, 14 * unit, y + 11 * unit, 0.42 * unit, colour)
        _bar(panel, left, right, y, 12 * unit, DARK_BLUE)
        _bar(panel, left, left + (right - left) * probability, y, 12 * unit, BLUE)


def _bar(panel: np.ndarray, left: float, right: float, top: float, height: float, colour: tuple) -> None:
    corners = (round(left), round(top)), (round(right), round(top + height))
    cv2.rectangle(panel, *corners, colour, cv2.FILLED)


def _write(panel: np.ndarray, text: str, x: float, y: float, size: float, colour: tuple) -> None:
    stroke = max(1, round(2 * size))
    cv2.putText(panel, text, (round(x), round(y)), FONT, size, colour, stroke, cv2.LINE_AA)
