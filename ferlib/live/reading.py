"""Emotions in pictures and films: find the faces, cut them out, classify them together."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict, Unpack, overload

import numpy as np

from ferlib import pixels
from ferlib.faces import DETECTORS, Found, crop, locate, smallest_searched
from ferlib.labels import FerlibError
from ferlib.live import media
from ferlib.live.answers import Faces, Film, Moment, Photos
from ferlib.live.media import Frame
from ferlib.live.network import Network, chosen
from ferlib.live.tracker import boxes_of, follow, region
from ferlib.live.video import Video
from ferlib.paths import expanded
from ferlib.words import printable

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Region = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

Photo: TypeAlias = "str | Path | bytes | bytearray | memoryview | np.ndarray | PillowImage"
"""A path, the bytes of a file, pixels, or an image of Pillow."""

LOOKS_LIKE_A_CROP = 120
"""Longer side, pixels, below which a picture without a face found may be nothing but a face."""


class Options(TypedDict, total=False):
    """What `predict` takes beside the photo, for those who check types."""

    detector: str
    roi: Region | None
    faces: Literal["find", "given"] | Sequence[Region]
    order: Literal["rgb", "bgr"]
    model: Network | str | Path | None


@overload
def predict(image: Photo, **options: Unpack[Options]) -> Faces: ...


@overload
def predict(image: Sequence[Photo], **options: Unpack[Options]) -> Photos: ...


def predict(
    image: object,
    *,
    detector: str = DETECTORS[0],
    roi: Region | None = None,
    faces: Literal["find", "given"] | Sequence[Region] = "find",
    order: Literal["rgb", "bgr"] = "rgb",
    model: Network | str | Path | None = None,
) -> Faces | Photos:
    """Find the faces in photos and name their emotions.

    Args:
        image: A path, the bytes of a photo's file, an image of Pillow, or pixels: whatever
            `ferlib.pixels.in_colour` takes, of shape (height, width) or (height, width, 3 or 4). Or a list
            of such photos, or one array (n, height, width, channels).
        detector: ``"yunet"`` or ``"haar"``, see `ferlib.faces.locate`.
        roi: Left, top, width, height of the only part to search, in pixels; None searches everywhere.
        faces: ``"find"`` searches for faces; ``"given"`` takes each whole picture for one, such as the
            images of FER-2013; or the boxes (left, top, width, height) of the faces in one photo.
        order: Which colour comes first in arrays: ``"rgb"`` as in Pillow, ``"bgr"`` as in OpenCV.
        model: What `load_model` returned, or takes; None loads the shipped network once.

    Returns:
        The faces, the largest first, none if there is none; for a list of photos such a list for each.
        Both have ``to_frame()``.

    Raises:
        FerlibError: If a photo cannot be read, or something is no picture or no box in it.
    """
    network = chosen(model)
    several = _is_several(image)
    photos = list(image) if several else [image]
    boxes = None if isinstance(faces, str) else faces
    if isinstance(faces, str) and faces not in ("find", "given"):
        raise FerlibError(f"there is no faces={faces!r}: use 'find', 'given', or boxes")
    if roi is not None and (boxes is not None or faces == "given"):
        raise FerlibError("where faces are given nothing is searched: leave roi or faces out")
    if boxes is not None and several:
        raise FerlibError("boxes belong to one photo: call predict for each photo with its own")
    frames = [_frame(photo, order) for photo in photos]
    if boxes is not None:
        read = classify(frames, [_given(boxes, frames[0])], network)
    elif faces == "given":
        read = classify(frames, [whole(frame) for frame in frames], network)
    else:
        read = find(frames, network, detector, roi)
    if not several:
        return read[0]
    named = [photo if isinstance(photo, (str, Path)) else number for number, photo in enumerate(photos)]
    return Photos(read, named)


def predict_video(
    path: str | Path,
    *,
    every: int = 1,
    detector: str = DETECTORS[0],
    model: Network | str | Path | None = None,
) -> Film:
    """Follow the faces of a video and name their emotions, smoothed over time.

    Args:
        path: The file.
        every: Analyse every so many frames.
        detector: As for `predict`.
        model: As for `predict`.

    Returns:
        The analysed frames in order, with `Face.number` the same for one person; has ``to_frame()``.

    Raises:
        FerlibError: If it is no video that can be read.
    """
    video = Video(expanded(path))
    read = follow(video.read(every, all_frames=False), chosen(model), detector)
    return Film(Moment(frame.index, frame.seconds, people) for frame, people in read)


def _is_several(image: object) -> bool:
    if isinstance(image, np.ndarray):
        return image.ndim == 4
    if not isinstance(image, (list, tuple)):
        return False
    one = image[0] if image else ""
    whole = isinstance(one, (str, Path, bytes, bytearray, memoryview)) or pixels.is_pillow(one)
    return whole or (isinstance(one, np.ndarray) and one.ndim > 1)


def _frame(image: object, order: str) -> Frame:
    if isinstance(image, (str, Path)):
        if media.is_video(Path(image)):
            raise FerlibError(f"{image}: a video; pass it to ferlib.predict_video")
        frame = media.read_photo(expanded(image))
    elif isinstance(image, (bytes, bytearray, memoryview)):
        frame = media.decode(np.frombuffer(bytes(image), np.uint8), "these bytes")
    else:
        return Frame(pixels.in_colour(image, order))
    if frame.complaint:
        print(f"ferlib: {printable(frame.complaint)}", file=sys.stderr)
    return frame


def _given(boxes: object, frame: Frame) -> Found:
    """Return boxes that are given in pixels of the file; refuse those that hold no part of the picture."""
    boxes, (height, width) = boxes_of(boxes) / frame.scale, frame.image.shape[:2]
    corners, sides = boxes[:, :2], boxes[:, 2:]
    outside = ((corners >= (width, height)) | (corners + sides <= 0)).any(axis=1)
    if outside.any():
        box = ",".join(f"{side:g}" for side in boxes[np.argmax(outside)] * frame.scale)
        size = f"{width * frame.scale}x{height * frame.scale}"
        raise FerlibError(f"the box {box} lies outside of the picture of {size} pixels")
    return Found(np.rint(boxes).astype(int), np.zeros(len(boxes)))


def find(frames: Sequence[Frame], network: Network, detector: str, roi: Region | None) -> list[Faces]:
    """Find and classify the faces of several frames, all faces in one batch.

    Args:
        frames: Photos or frames of a video.
        network: Classifies the crops.
        detector: As for `predict`.
        roi: As for `predict`; in pixels of the file, like the boxes returned.

    Returns:
        The faces of each frame, the largest first.
    """
    return classify(frames, [search(frame, detector, roi) for frame in frames], network)


def classify(frames: Sequence[Frame], found: Sequence[Found], network: Network) -> list[Faces]:
    """Classify the faces found in each frame, all in one batch.

    Returns:
        The faces of each frame in the same order, numbered from 1, boxes in pixels of the file.
    """
    crops = [
        crop(frame.image, box, tilt=tilt)
        for frame, places in zip(frames, found, strict=True)
        for box, tilt in zip(*places, strict=True)
    ]
    rows = iter(network.probabilities(crops))
    return [
        Faces(network.face(box * frame.scale, next(rows), n) for n, box in enumerate(places.boxes, 1))
        for frame, places in zip(frames, found, strict=True)
    ]


def search(frame: Frame, detector: str, roi: Region | None = None) -> Found:
    """Find faces in a frame, or in a part of it given in pixels of the file.

    Returns:
        Faces, the largest first, boxes int in pixels of the frame's image.
    """
    image, corner = region(frame.image, roi, frame.scale)
    return locate(image, detector).moved(*corner)


def whole(frame: Frame) -> Found:
    """Return a whole frame as the place of a face."""
    return Found(np.array([[0, 0, *frame.image.shape[1::-1]]]), np.zeros(1))


def why_nobody(frame: Frame, detector: str, roi: Region | None = None) -> str:
    """Say how far a photo without faces was searched, and what may help."""
    height, width = frame.image.shape[:2]
    if roi is not None:
        width, height = min(width, round(roi[2] / frame.scale)), min(height, round(roi[3] / frame.scale))
    if max(width, height) <= LOOKS_LIKE_A_CROP:
        return "no face; nothing but a face? --crops"
    return f"no face from {smallest_searched(width, height, detector) * frame.scale} pixels on"
