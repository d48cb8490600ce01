"""Emotions in pictures: find the faces, cut them out, classify them together; follow them through a video."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ferlib import faces, media
from ferlib.labels import FerlibError
from ferlib.media import Frame
from ferlib.network import Face, Network, load_model

Region = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


def predict(
    image: str | Path | np.ndarray,
    *,
    detector: str = "haar",
    roi: Region | None = None,
    model: Network | None = None,
) -> list[Face]:
    """Find the faces in a photo and name their emotions.

    Args:
        image: Path of a photo, or its pixels: uint8, uint16 or float in 0..1, of shape (height, width), or
            (height, width, 3 or 4) in the order red, green, blue as scikit-image, Pillow and imageio give it.
        detector: ``"haar"`` or ``"yunet"``, see `ferlib.faces.detect`.
        roi: Left, top, width, height of the only part to search, in pixels; None searches everywhere.
        model: What `load_model` returned; None loads the shipped network once.

    Returns:
        One `Face` a face, the largest first; an empty list if there is none.

    Raises:
        FerlibError: If the photo cannot be read or the array is no image.
    """
    if isinstance(image, (str, Path)):
        frame = media.read_photo(Path(image))
        if frame.complaint:
            print(f"ferlib: {frame.complaint}", file=sys.stderr)
    else:
        frame = Frame(_blue_green_red(image))
    return find([frame], model or load_model(), detector, roi)[0]


def _blue_green_red(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.size == 0 or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise FerlibError(
            f"an array of shape {image.shape} is no image: pass (height, width) or (height, width, 3)"
        )
    if image.dtype == np.uint16:
        image = (image // 257).astype(np.uint8)
    elif np.issubdtype(image.dtype, np.floating) and 0 <= image.min() <= image.max() <= 1:
        image = np.rint(image * 255).astype(np.uint8)
    if image.dtype != np.uint8:
        raise FerlibError(
            f"pixels of type {image.dtype} are not understood: pass uint8, uint16, or float in 0 to 1"
        )
    codes = {1: cv2.COLOR_GRAY2BGR, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGR}
    return cv2.cvtColor(image, codes[image.shape[2] if image.ndim == 3 else 1])


def find(frames: list[Frame], network: Network, detector: str, roi: Region | None) -> list[list[Face]]:
    """Find and classify the faces of several frames, all faces in one batch.

    Args:
        frames: Photos or frames of a video.
        network: Classifies the crops.
        detector: As for `predict`.
        roi: As for `predict`; in pixels of the file, like the boxes returned.

    Returns:
        The faces of each frame, the largest first.
    """
    found = [search(frame, detector, roi) for frame in frames]
    crops = [
        faces.crop(frame.image, box) for frame, boxes in zip(frames, found, strict=True) for box in boxes
    ]
    rows = iter(network.probabilities(crops))
    return [
        [network.face(box * frame.scale, next(rows)) for box in boxes]
        for frame, boxes in zip(frames, found, strict=True)
    ]


def search(frame: Frame, detector: str, roi: Region | None = None, **limits) -> np.ndarray:
    """Find faces, in all of a frame or a part of it.

    Args:
        frame: What to search.
        detector: As for `predict`.
        roi: As for `predict`, in pixels of the file.
        **limits: Passed on to `ferlib.faces.detect`.

    Returns:
        int (n, 4): left, top, width and height in pixels of the frame's image, the largest first.
    """
    image, corner = frame.image, np.zeros(4, int)
    if roi is not None:
        x, y, width, height = (round(side / frame.scale) for side in roi)
        left, top = max(0, x), max(0, y)
        image, corner = image[top : max(0, y + height), left : max(0, x + width)], np.array([left, top, 0, 0])
        if image.size == 0:
            raise FerlibError(
                f"the region {','.join(map(str, roi))} lies outside of the picture of "
                f"{frame.image.shape[1] * frame.scale}x{frame.image.shape[0] * frame.scale} pixels"
            )
    return faces.detect(image, detector=detector, **limits) + corner


# --- following faces --------------------------------------------------------------------------------

FULL_SEARCH_EVERY = 10
"""Frames between searches of the whole picture; in between, faces are searched for where they last were."""

FULL_SEARCH_SIZE = 320
"""Longer side, pixels, to which the picture is reduced for that search: quick enough for one frame's time."""

SURROUNDINGS = 0.4
"""How far around its last place a face is searched for, in box sizes; between two frames it moves less."""

SAME_FACE = 0.3
"""Overlap (intersection over union) from which a box continues a track."""

PATIENCE = 5
"""Frames after which a face that is not found any more is forgotten."""

SMOOTHING_SECONDS = 0.4
"""Time constant of the running average of probabilities: labels stay calm, yet follow within a second."""

BOX_WEIGHT = 0.6
"""Weight of the newest box against the earlier ones, for detectors jump by a few pixels."""


@dataclass
class _Track:
    """A face that is followed: its running averages and how reliably it was seen."""

    box: np.ndarray
    probabilities: np.ndarray | None = None
    seen: int = 1
    missed: int = 0


class Tracker:
    """Follows the faces of a video and smooths their emotions, so that labels don't flicker.

    A face counts from its second sighting on, which keeps one-frame false alarms out.

    Attributes:
        took: Seconds that ``detection`` and ``network`` took in the last update.
        everywhere: Whether the last update searched the whole picture.
    """

    def __init__(self, network: Network, detector: str = "haar"):
        self._network, self._detector = network, detector
        self._tracks: list[_Track] = []
        self._frame, self._seconds = 0, None
        self.took, self.everywhere = {"detection": 0.0, "network": 0.0}, False

    def update(self, image: np.ndarray, seconds: float) -> list[Face]:
        """Take the next picture.

        Args:
            image: uint8 (height, width, 3), blue, green, red, or grey (height, width).
            seconds: When it was taken; differences set how much the averages move.

        Returns:
            The faces followed, the largest first, with running averages of box and probabilities.
        """
        if self._detector == "haar":
            image = faces.as_grey(image)  # once, instead of in every search and crop
        start = time.perf_counter()
        self._match(self._locate(image))
        middle = time.perf_counter()
        self._classify(image, seconds)
        self.took = {"detection": middle - start, "network": time.perf_counter() - middle}
        shown = [track for track in self._tracks if track.seen > 1 and track.probabilities is not None]
        shown.sort(key=lambda track: -track.box[2] * track.box[3])
        return [self._network.face(track.box, track.probabilities) for track in shown]

    def _locate(self, image: np.ndarray) -> np.ndarray:
        """Find the faces of the next picture: everywhere now and then, else around those already known."""
        lost = any(track.missed for track in self._tracks)
        self.everywhere = self._frame % FULL_SEARCH_EVERY == 0 or not self._tracks or lost
        self._frame = 1 if self.everywhere else self._frame + 1
        if self.everywhere:
            shrink = max(1.0, max(image.shape[:2]) / FULL_SEARCH_SIZE)
            small = cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
            return np.rint(faces.detect(small, detector=self._detector) * shrink).astype(int)
        return np.concatenate([self._near(image, track.box) for track in self._tracks])

    def _near(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Search around a box for a face of about its size; at most one."""
        x, y, width, height = box
        reach = SURROUNDINGS * width
        region = (round(x - reach), round(y - reach), round(width + 2 * reach), round(height + 2 * reach))
        boxes = search(Frame(image), self._detector, region, smallest=round(0.75 * width))
        return boxes[np.argsort([-overlap(box, other) for other in boxes], kind="stable")][:1]

    def _match(self, boxes: np.ndarray) -> None:
        """Continue each track with the box that overlaps it most; start tracks with the boxes left over."""
        pairs = [
            (overlap(track.box, box), t, b)
            for t, track in enumerate(self._tracks)
            for b, box in enumerate(boxes)
        ]
        taken_tracks, taken_boxes = set(), set()
        for share, t, b in sorted(pairs, key=lambda pair: -pair[0]):
            if share >= SAME_FACE and t not in taken_tracks and b not in taken_boxes:
                taken_tracks.add(t)
                taken_boxes.add(b)
                track = self._tracks[t]
                track.box = track.box + BOX_WEIGHT * (boxes[b] - track.box)
                track.seen, track.missed = track.seen + 1, 0
        for t, track in enumerate(self._tracks):
            track.missed += t not in taken_tracks
        self._tracks = [track for track in self._tracks if not track.missed or _may_return(track, boxes)]
        self._tracks += [_Track(box.astype(float)) for b, box in enumerate(boxes) if b not in taken_boxes]

    def _classify(self, image: np.ndarray, seconds: float) -> None:
        """Move the averages of all faces in sight towards what the network says now."""
        elapsed = 0.0 if self._seconds is None else max(0.0, seconds - self._seconds)
        self._seconds = seconds
        weight = 1 - np.exp(-elapsed / SMOOTHING_SECONDS)
        visible = [track for track in self._tracks if not track.missed]
        crops = [faces.crop(image, np.rint(track.box).astype(int)) for track in visible]
        for track, row in zip(visible, self._network.probabilities(crops), strict=True):
            before = row if track.probabilities is None else track.probabilities
            track.probabilities = before + weight * (row - before)


def _may_return(track: _Track, boxes: np.ndarray) -> bool:
    """Say whether a face out of sight is waited for: one seen twice, with no other face at its place."""
    displaced = any(overlap(track.box, box) > 0.1 for box in boxes)
    return track.seen > 1 and track.missed <= PATIENCE and not displaced


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return intersection over union of two boxes (left, top, width, height), 0 to 1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return float(shared / (a[2] * a[3] + b[2] * b[3] - shared))
