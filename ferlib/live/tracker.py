"""Follows the faces of a video, so that each keeps its number and labels don't flicker."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ferlib import faces
from ferlib.faces import DETECTORS, Found
from ferlib.labels import FerlibError
from ferlib.live.answers import Face, Faces
from ferlib.live.media import Frame
from ferlib.live.network import Network

FULL_SEARCH_EVERY = 10
"""Pictures between searches of the whole; in between, faces are searched for where they last were."""

FULL_SEARCH_SIZE = 480
"""Longer side, pixels, to which the picture is reduced for that search: quick enough for one frame's time."""

NARROWEST = 0.05
"""Narrowest face that is found when the whole picture is searched, as a share of the longer side."""

SURROUNDINGS, NEAR_SIZE = 0.4, 160
"""How far around its last place a face is searched for, in box sizes, for it moves less between two frames;
and the longer side, pixels, that these surroundings are reduced to."""

SAME_FACE = 0.3
"""Overlap (intersection over union) from which a box continues a track."""

PATIENCE = 5
"""Pictures after which a face that is not found any more is forgotten."""

SMOOTHING_SECONDS = 0.4
"""Time constant of the running average of probabilities: labels stay calm, yet follow within a second."""

BOX_WEIGHT = 0.6
"""Weight of the newest box against the earlier ones, for detectors jump by a few pixels."""

MOST_WAITING = 30
"""Frames that are held back until the next analysed one says which faces were real."""

SPARSE_SECONDS = 0.2
"""Time between pictures from which faces may have moved anywhere: each is searched whole, and a face that
was seen once counts."""


@dataclass
class _Track:
    """A face that is followed: its running averages and how reliably it was seen."""

    box: np.ndarray
    tilt: float
    probabilities: np.ndarray | None = None
    seen: int = 1
    missed: int = 0
    number: int | None = None


class Tracker:
    """Follows the faces of a video and smooths their emotions, so that labels don't flicker.

    A face counts from its second sighting on, which keeps one-frame false alarms out.

    Attributes:
        took: Seconds that ``detection`` and ``network`` took in the last update.
        everywhere: Whether the last update searched the whole picture.
        first: Faces that the last update made sure of, as they were in the picture before.
    """

    def __init__(self, network: Network, detector: str = DETECTORS[0]):
        self._network, self._detector = network, detector
        self._tracks: list[_Track] = []
        self._frame, self._seconds, self._numbers = 0, None, 0
        self._sparse = False
        self.took, self.everywhere = {"detection": 0.0, "network": 0.0}, False
        self.first: list[Face] = []

    def update(self, image: np.ndarray, seconds: float) -> Faces:
        """Take the next picture.

        Args:
            image: uint8 (height, width, 3), blue, green, red, or grey (height, width).
            seconds: When it was taken; differences set how much the averages move.

        Returns:
            The faces followed, the largest first, with running averages of box and probabilities.
        """
        if self._detector == "haar":
            image = faces.as_grey(image)  # once, instead of in every search and crop
        elapsed = 0.0 if self._seconds is None else max(0.0, seconds - self._seconds)
        self._seconds, self._sparse = seconds, elapsed > SPARSE_SECONDS
        start = time.perf_counter()
        before = {id(track): (track.box, track.probabilities) for track in self._tracks if track.seen == 1}
        self._match(self._locate(image))
        middle = time.perf_counter()
        self._classify(image, elapsed)
        self.took = {"detection": middle - start, "network": time.perf_counter() - middle}
        return self._shown(before)

    def _shown(self, before: dict) -> Faces:
        """Number the tracks that have become faces and return all of them."""
        self.first, shown = [], []
        for track in self._tracks:
            sure = track.seen > 1 or (self._sparse and not track.missed)
            if track.probabilities is None or not (sure or track.number):
                continue
            if track.number is None:
                self._numbers += 1
                track.number = self._numbers
                if id(track) in before:
                    self.first.append(self._network.face(*before[id(track)], track.number))
            shown.append(track)
        shown.sort(key=lambda track: -track.box[2] * track.box[3])
        return Faces(self._network.face(track.box, track.probabilities, track.number) for track in shown)

    def _locate(self, image: np.ndarray) -> Found:
        """Find the faces of the next picture: everywhere now and then, else around those already known."""
        lost = any(track.missed for track in self._tracks)
        due = self._frame % FULL_SEARCH_EVERY == 0
        self.everywhere = due or not self._tracks or lost or self._sparse
        self._frame = 1 if self.everywhere else self._frame + 1
        if self.everywhere:
            longer = max(image.shape[:2])
            return _reduced(image, FULL_SEARCH_SIZE, self._detector, round(NARROWEST * longer))
        return faces.together(self._near(image, track.box) for track in self._tracks)

    def _near(self, image: np.ndarray, box: np.ndarray) -> Found:
        """Search around a box for a face of about its size; at most one."""
        x, y, width, height = box
        side = max(width, height)
        reach = round((0.5 + SURROUNDINGS) * side)
        left, top = round(x + width / 2) - reach, round(y + height / 2) - reach
        left, right = max(0, left), max(0, left + 2 * reach)
        top, bottom = max(0, top), max(0, top + 2 * reach)
        part = image[top:bottom, left:right]
        if part.size == 0:
            return faces.NOBODY
        found = _reduced(part, NEAR_SIZE, self._detector, round(0.6 * width), known=True).moved(left, top)
        apart = [-faces.overlap(box, other) for other in found.boxes]
        return found.take(np.argsort(apart, kind="stable")[:1])

    def _match(self, found: Found) -> None:
        """Continue each track with the box that overlaps it most; start tracks with the boxes left over."""
        boxes, alike = found.boxes, _similarity if self._sparse else faces.overlap
        pairs = [
            (alike(track.box, box), t, b)
            for t, track in enumerate(self._tracks)
            for b, box in enumerate(boxes)
        ]
        taken_tracks, taken_boxes = set(), set()
        for share, t, b in sorted(pairs, key=lambda pair: -pair[0]):
            if share >= SAME_FACE and t not in taken_tracks and b not in taken_boxes:
                taken_tracks.add(t)
                taken_boxes.add(b)
                track, weight = self._tracks[t], 1 if self._sparse else BOX_WEIGHT
                track.box = track.box + weight * (boxes[b] - track.box)
                track.tilt = float(found.tilts[b])
                track.seen, track.missed = track.seen + 1, 0
        for t, track in enumerate(self._tracks):
            track.missed += t not in taken_tracks
        kept = [track for track in self._tracks if not track.missed or self._may_return(track, boxes)]
        new = [b for b in range(len(boxes)) if b not in taken_boxes]
        self._tracks = kept + [_Track(boxes[b].astype(float), float(found.tilts[b])) for b in new]

    def _may_return(self, track: _Track, boxes: np.ndarray) -> bool:
        """Say whether a face out of sight is waited for: one seen twice, with no other face at its place."""
        displaced = any(faces.overlap(track.box, box) > 0.02 for box in boxes)
        return not self._sparse and track.seen > 1 and track.missed <= PATIENCE and not displaced

    def _classify(self, image: np.ndarray, elapsed: float) -> None:
        """Move the averages of all faces in sight towards what the network says now."""
        weight = 1 - np.exp(-elapsed / SMOOTHING_SECONDS)
        visible = [track for track in self._tracks if not track.missed]
        crops = [faces.crop(image, np.rint(track.box).astype(int), tilt=track.tilt) for track in visible]
        for track, row in zip(visible, self._network.probabilities(crops), strict=True):
            before = row if track.probabilities is None else track.probabilities
            track.probabilities = before + weight * (row - before)


def follow(
    frames: Iterable[Frame],
    network: Network,
    detector: str = DETECTORS[0],
    roi: tuple[int, int, int, int] | None = None,
) -> Iterator[tuple[Frame, Faces]]:
    """Yield frames with their faces, the largest first, boxes in pixels of the whole frame.

    Once seen twice, a face counts from its first sighting on; unwanted frames have the faces of those before.
    """
    tracker, waiting, people = Tracker(network, detector), [], Faces()
    for frame in frames:
        if frame.wanted:
            part, corner = region(frame.image, roi)
            now = tracker.update(part, frame.seconds)
            sure = [_moved(face, corner) for face in tracker.first]
            people = Faces(sorted([*people, *sure], key=lambda face: -face.box[2] * face.box[3]))
            yield from ((earlier, people) for earlier in waiting)
            waiting, people = [], Faces(_moved(face, corner) for face in now)
        waiting.append(frame)
        if len(waiting) > MOST_WAITING:
            yield from ((earlier, people) for earlier in waiting)
            waiting = []
    yield from ((earlier, people) for earlier in waiting)


def boxes_of(values) -> np.ndarray:
    """Return boxes as float64 (n, 4): left, top, width, height; refuse what is none with a `FerlibError`."""
    try:
        boxes = np.asarray(values, float)
    except (ValueError, TypeError, OverflowError):  # rows of different lengths, words
        boxes = np.empty(1)
    boxes = boxes.reshape(0, 4) if boxes.shape == (0,) else boxes  # of a list without a row
    good = boxes.ndim == 2 and boxes.shape[1] == 4 and np.isfinite(boxes).all() and (boxes[:, 2:] > 0).all()
    if not good:
        problem = "boxes are rows of left, top, width, height in pixels, and a region is one such row"
        raise FerlibError(problem)
    return boxes


def region(
    image: np.ndarray, roi: tuple[int, int, int, int] | None, scale: int = 1
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return a part of a picture, given in pixels of the file, and its left upper corner, in the picture's.

    A pixel of the picture stands for so many of the file. A region outside raises a `FerlibError`.
    """
    if roi is None:
        return image, (0, 0)
    x, y, width, height = (round(side / scale) for side in boxes_of([roi])[0])
    left, top = max(0, x), max(0, y)
    part = image[top : max(0, y + height), left : max(0, x + width)]
    if part.size == 0:
        size = f"{image.shape[1]}x{image.shape[0]} pixels"
        raise FerlibError(f"the region {','.join(map(str, roi))} lies outside of the picture of {size}")
    return part, (left, top)


def _moved(face: Face, corner: tuple[int, int]) -> Face:
    x, y, width, height = face.box
    return replace(face, box=(x + corner[0], y + corner[1], width, height))


def _reduced(image: np.ndarray, side: int, detector: str, smallest: int, known: bool = False) -> Found:
    """Search a picture reduced to a longer side; boxes are in pixels of the picture."""
    shrink = max(1.0, max(image.shape[:2]) / side)
    if shrink > 1:
        size = [max(1, round(length / shrink)) for length in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    least = max(1, round(smallest / shrink))
    found = faces.locate(image, detector, smallest=least, known=known).scaled(shrink)
    return Found(np.rint(found.boxes).astype(int), found.tilts)


def _similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Return how near two boxes of similar size are to each other: 1 at one place, 0 far apart."""
    sizes = np.sqrt([a[2] * a[3], b[2] * b[3]])
    if sizes.max() > 1.6 * sizes.min():
        return 0.0
    apart = np.hypot(a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2)
    return float(max(0.0, 1 - apart / (2 * sizes.mean())))
