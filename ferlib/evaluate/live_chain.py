"""From the picture to the answer: how a found face is framed, how many are found and read, what it costs."""

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from skimage import data as photos

from ferlib import faces, paths, pixels
from ferlib.data.fer2013 import Split, subset
from ferlib.evaluate import metrics
from ferlib.faces import DETECTORS, Found
from ferlib.labels import IMAGE_SIZE
from ferlib.live import reading, tracker
from ferlib.live.media import Frame
from ferlib.live.network import Network
from ferlib.train import machine
from ferlib.words import percent

ENLARGED, PADDING = 3, 24
"""How many times an image is enlarged, to the size of a face at a webcam, and the border it gets first."""

SIZE = (640, 480)
"""Width and height of the pictures of a webcam."""


def in_a_picture(image: np.ndarray) -> np.ndarray:
    """Enlarge a face, uint8 (48, 48) or (48, 48, 1), and continue its edge, as if it were in a picture.

    Returns:
        uint8 (288, 288); the frame of the image is the middle half of it.
    """
    pad = (PADDING, PADDING)
    framed = np.pad(faces.as_grey(image), (pad, pad), mode="edge")
    return cv2.resize(framed, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)


def webcam_picture(photo: np.ndarray) -> np.ndarray:
    """Cut the middle of a photo, uint8, grey or red, green, blue, to the shape of a webcam's picture.

    Returns:
        uint8 (480, 640, 3), blue, green, red.
    """
    photo = cv2.cvtColor(photo, cv2.COLOR_GRAY2BGR if photo.ndim == 2 else cv2.COLOR_RGB2BGR)
    scale = max(SIZE[0] / photo.shape[1], SIZE[1] / photo.shape[0])
    resized = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    left = (resized.shape[1] - SIZE[0]) // 2
    return np.ascontiguousarray(resized[: SIZE[1], left : left + SIZE[0]])


def find_boxes(split: Split) -> pd.DataFrame:
    """Detect the face of each image and compare its box with the frame of the image.

    Returns:
        One row an image with exactly one face found: ``index`` (in the split), ``left``, ``top``, ``width``,
        ``height`` (pixels of `in_a_picture`), ``share`` (longer side of the box in widths of the frame).
    """
    rows, frame = [], ENLARGED * IMAGE_SIZE
    for index, image in enumerate(split.images):
        boxes = faces.locate(in_a_picture(image), smallest=frame // 2).boxes
        if len(boxes) == 1:
            left, top, width, height = (int(side) for side in boxes[0])
            rows.append((index, left, top, width, height, max(width, height) / frame))
    return pd.DataFrame(rows, columns=["index", "left", "top", "width", "height", "share"])


def accuracy_by_margin(
    network: Network, split: Split, boxes: pd.DataFrame, margins: np.ndarray
) -> pd.DataFrame:
    """Classify the faces of a split as they are cut out of its `find_boxes` with each margin.

    Margins are added on every side, as shares of a box's width; negative ones cut into the face.

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


def parade(images: np.ndarray) -> tuple[list[np.ndarray], list[tuple]]:
    """Show one face, uint8 (48, 48, 1), after the other, each at a place that is known.

    Returns:
        A frame a face, uint8 (480, 640, 3), and the box of each (left, top, width, height).
    """
    frames, boxes, generator = [], [], np.random.default_rng(0)
    for image in images:
        face = in_a_picture(image)
        side = len(face)
        left, top = generator.integers(0, (SIZE[0] - side, SIZE[1] - side))
        frame = np.full((*SIZE[::-1], 3), 120, np.uint8)
        frame[top : top + side, left : left + side] = face[..., np.newaxis]
        frames.append(frame)
        boxes.append((int(left) + side // 4, int(top) + side // 4, side // 2, side // 2))
    return frames, boxes


def whole_chain(through: Sequence[str | None], alone: Sequence[str]) -> pd.DataFrame:
    """Compare what the chain says of faces in pictures, None where it finds none, with the network alone.

    Returns:
        Rows ``found`` (of all), ``same`` (answer, of those found) and ``both`` (of all); columns ``share``
        with its 95 % Wilson interval, ``low`` to ``high``.
    """
    found = sum(emotion is not None for emotion in through)
    same = sum(one == two for one, two in zip(through, alone, strict=True))
    shares = metrics.wilson(np.array([found, same, same]), np.array([len(through), found, len(through)]))
    return pd.DataFrame(dict(zip(["share", "low", "high"], shares, strict=True)), ["found", "same", "both"])


FACES, PIECES, SIDE = 600, 20, 480
"""Faces pasted into pictures; pieces cut out of each photograph, and the side that these get, pixels."""

NOBODY = (
    *("brick", "cell", "cat", "clock", "coffee", "coins", "colorwheel", "grass", "gravel"),
    *("hubble_deep_field", "immunohistochemistry", "microaneurysms", "moon", "page", "retina"),
    *("rocket", "text"),
)
"""Photographs of scikit-image without a human face."""


def faceless(pieces: int = PIECES) -> Iterator[np.ndarray]:
    """Cut some pieces at random out of each photograph: uint8 (480, 480, 3), blue, green, red."""
    generator = np.random.default_rng(0)
    for name in NOBODY:
        photo = pixels.in_colour(getattr(photos, name)())
        for _ in range(pieces):
            side = int(min(photo.shape[:2]) * generator.uniform(0.4, 1))
            top = generator.integers(0, photo.shape[0] - side + 1)
            left = generator.integers(0, photo.shape[1] - side + 1)
            yield cv2.resize(photo[top : top + side, left : left + side], (SIDE, SIDE))


def measure(network: Network, split: Split, *, quick: bool = False) -> pd.DataFrame:
    """Paste faces of a split into pictures of 640x480 pixels, find and read them with each detector.

    What they are labelled counts as right. ``quick`` measures a tenth of it.

    Returns:
        Indexed by ``detector``: ``found`` and ``right`` (shares of all faces: found at their place; found and
        read rightly), each with a 95 % Wilson interval in ``_low`` and ``_high``; ``alone`` (share that
        the network reads rightly without any search); ``false_alarms`` (share of pieces without a face in
        which one is seen); ``milliseconds`` (median of a search); then in every row ``faces``, ``pieces``,
        ``hardware``, ``commit`` and ``date``.
    """
    split = subset(split, FACES // 10 if quick else FACES, seed=0)
    frames, places = parade(split.images)
    pieces = list(faceless(PIECES // 10 if quick else PIECES))
    alone = (network.probabilities(split.images).argmax(axis=1) == split.labels).mean()
    found, times, rows = ({name: [] for name in DETECTORS} for _ in range(3))
    for frame, name in itertools.product(frames, DETECTORS):  # in turns: what else runs slows both
        start = time.perf_counter()
        found[name].append(reading.search(Frame(frame), name))
        times[name].append(time.perf_counter() - start)
    for name in DETECTORS:
        hits = [_at(one, place) for one, place in zip(found[name], places, strict=True)]
        read = reading.classify([Frame(frame) for frame in frames], hits, network)
        answers = [network.classes.index(people[0].emotion) if people else -1 for people in read]
        rows[name] = {
            **_share("found", sum(len(hit.boxes) for hit in hits), len(frames)),
            **_share("right", (np.array(answers) == split.labels).sum(), len(frames)),
            "alone": alone,
            "false_alarms": np.mean([len(reading.search(Frame(piece), name).boxes) > 0 for piece in pieces]),
            "milliseconds": 1000 * np.median(times[name]),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("detector")
    return table.assign(faces=len(frames), pieces=len(pieces), **machine.stamp())


def _at(found: Found, place: tuple) -> Found:
    """Keep the face at a place, if there is one."""
    shares = np.array([faces.overlap(box, place) for box in found.boxes])
    best = np.argsort(-shares)[:1] if len(shares) and shares.max() >= tracker.SAME_FACE else []
    return found.take(np.array(best, int))


def _share(name: str, count: int, total: int) -> dict[str, float]:
    """Return a share and its 95 % Wilson interval."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), metrics.wilson(count, total), strict=True))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return what `measure` found for people to read, in percent with intervals."""
    columns = {
        "found %": metrics.percentages(table, "found", 0),
        "found and read rightly %": metrics.percentages(table, "right", 0),
        "false alarms %": metrics.percentages(table, "false_alarms"),
    }
    return pd.DataFrame(columns, table.index)


def describe(table: pd.DataFrame) -> str:
    """Write the table of `measure` for a terminal."""
    about, times = table.iloc[0], table["milliseconds"].map("{:.1f}".format)
    lines = [
        shown(table).assign(milliseconds=times).rename_axis(None).to_string(),
        "",
        f"{about['faces']:,d} faces in 640x480 pixels, 95 % intervals. The network alone reads "
        f"{percent(about['alone'])} rightly.",
        f"False alarms: of {about['pieces']:,d} pieces of photographs without a face.",
        f"Milliseconds: median of a search. {about['hardware']}",
    ]
    return "\n".join(lines)


def save(table: pd.DataFrame, name: str = "faces.csv") -> Path:
    """Keep the table of `measure`, or of other measurements, in the record."""
    file = paths.record() / name
    with paths.written_atomically(file) as temporary:
        table.to_csv(temporary)
    return file
