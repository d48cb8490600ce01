"""Pictures and figures of the real-time chapter: the pipeline, margins, hard cases, smoothing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ferlib import faces
from ferlib.evaluate.live_chain import SIZE, webcam_picture
from ferlib.faces import DETECTORS
from ferlib.figures.style import RIGHT, SPLIT_COLOURS, WRONG
from ferlib.live import draw, reading, tracker
from ferlib.live.answers import Face
from ferlib.live.media import Frame
from ferlib.live.network import Network

_PERCENT = ticker.PercentFormatter(1, decimals=0, symbol=" %")
_WHOLE_STEPS = {"nbins": 7, "steps": [1, 2, 5, 10]}
"""Of ticks that are written without decimals; steps of 2.5 would be rounded to 2 and 3."""


class Case(NamedTuple):
    """A picture, and where a person would find a face in it: None, or "somewhere" if nobody measured."""

    picture: np.ndarray
    box: tuple | str | None

    def is_read_rightly(self, people: list[Face]) -> bool:
        """Say whether the face was found, and nothing else taken for one."""
        if self.box is None or self.box == "somewhere":
            return len(people) == (self.box is not None)
        return len(people) == 1 and faces.overlap(people[0].box, self.box) >= tracker.SAME_FACE


def hand_held(picture: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    """Film a picture with an unsteady hand: it drifts, turns, comes closer, and every frame has new noise."""
    generator = np.random.default_rng(0)
    height, width = picture.shape[:2]
    steps = generator.normal(0, (2.0, 1.5, 0.5, 0.006), (frames, 4))  # right, down, degrees, zoom
    for number in range(frames):
        right, down, turn, zoom = 0.9 ** np.arange(number, -1, -1) @ steps[: number + 1]
        moved = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1.05 + zoom)
        moved[:, 2] += right, down
        frame = cv2.warpAffine(picture, moved, (width, height), borderMode=cv2.BORDER_REPLICATE)
        noisy = frame + generator.normal(0, 6, frame.shape)
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def answers_in(frames: list[np.ndarray], boxes: list[tuple], network: Network) -> list[Face | None]:
    """Run the pipeline on frames; return the `Face` found at each box, None where none is."""
    found = reading.find([Frame(frame) for frame in frames], network, DETECTORS[0], None)
    return [
        next((face for face in people if faces.overlap(face.box, box) >= tracker.SAME_FACE), None)
        for people, box in zip(found, boxes, strict=True)
    ]


def hard_cases(photo: np.ndarray, profile: np.ndarray, animal: np.ndarray) -> dict[str, Case]:
    """Make pictures that are hard to read from photos of a face, of one from the side, and of an animal.

    Photos are uint8 (height, width, 3), red, green, blue, or grey but for the first.
    """
    picture, place = webcam_picture(photo), cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), 45, 0.8)
    x, y, width, height = box = tuple(int(side) for side in faces.locate(picture).boxes[0])
    across, down = place @ (x + width / 2, y + height / 2, 1)
    turned = (across - 0.4 * width, down - 0.4 * height, 0.8 * width, 0.8 * height)
    dark = picture * 0.04 + np.random.default_rng(0).normal(0, 2, picture.shape)
    small = np.full_like(picture, 70)
    small[180:300, 240:400] = cv2.resize(picture, (160, 120), interpolation=cv2.INTER_AREA)
    covered = picture.copy()
    covered[y + height * 55 // 100 : y + height * 11 // 10, x - 10 : x + width + 10] = (150, 170, 180)
    return {
        "as it is": Case(picture, box),
        "turned by 45°": Case(cv2.warpAffine(picture, place, SIZE), turned),
        "in the dark": Case(np.clip(dark, 0, 255).astype(np.uint8), box),
        "far away": Case(small, (240 + x / 4, 180 + y / 4, width / 4, height / 4)),
        "mouth covered": Case(covered, box),
        "from the side": Case(webcam_picture(profile), "somewhere"),
        "a cat": Case(webcam_picture(animal), None),
    }


def read_cases(cases: Mapping[str, Case], network: Network) -> dict[str, list[Face]]:
    """Find and classify the faces of each case."""
    found = reading.find([Frame(case.picture) for case in cases.values()], network, DETECTORS[0], None)
    return dict(zip(cases, found, strict=True))


def averaged(people: list[Face | None]) -> list[Face | None]:
    """Average the probabilities of a face over frames, thirty a second, as the live view does."""
    weight, mean, shown = 1 - np.exp(-1 / 30 / tracker.SMOOTHING_SECONDS), None, []
    for face in people:
        if face is not None:
            now = np.array(list(face.probabilities.values()))
            mean = now if mean is None else mean + weight * (now - mean)
            face = replace(face, probabilities=dict(zip(face.probabilities, mean.tolist(), strict=True)))
        shown.append(face)
    return shown


def steps(picture: np.ndarray, found: Mapping[str, Face]) -> Figure:
    """Draw the way of a face through the classic pipeline, and below it through the one in use, step by step.

    ``"haar"`` and ``"yunet"`` name the face that each found in the picture.
    """
    fig, axes = plt.subplots(2, 5, figsize=(8.2, 3), width_ratios=(4, 4, 3, 3, 4))
    grey = cv2.cvtColor(faces.as_grey(picture), cv2.COLOR_GRAY2BGR)
    ways = {
        "haar": (grey, ("grey", "Haar finds", "cut out", "resized", "blue box")),
        "yunet": (picture, ("colour", "YuNet finds", "cut out", "grey, resized", "blue box")),
    }
    for row, (detector, (searched, titles)) in zip(axes, ways.items(), strict=True):
        face = found[detector]
        x, y, width, height = face.box
        boxed = cv2.rectangle(searched.copy(), (x, y), (x + width, y + height), draw.BLUE, 4)
        small = cv2.cvtColor(faces.crop(picture, np.array(face.box)), cv2.COLOR_GRAY2BGR)
        window = _around(draw.annotated(picture, [face]), face.box, (8 / 3, 2))
        views = (searched, boxed, _around(searched, face.box, (1, 1)), small, window)
        for number, (ax, view, title) in enumerate(zip(row, views, titles, strict=True), 1):
            _show(ax, view, f"{number}  {title}")
    axes[0, 0].set_ylabel("classic")
    axes[1, 0].set_ylabel("in use")
    return fig


def _around(picture: np.ndarray, box: tuple, reach: tuple[float, float]) -> np.ndarray:
    """Return what lies about a box, so many times its longer side across and down, within the picture."""
    x, y, width, height = box
    across, down = (round(share * max(width, height)) for share in reach)
    left = int(np.clip(x + (width - across) // 2, 0, max(0, picture.shape[1] - across)))
    top = int(np.clip(y + (height - down) // 2, 0, max(0, picture.shape[0] - down)))
    return picture[top : top + down, left : left + across]


def _show(ax: Axes, picture: np.ndarray, title: str, **style) -> None:
    ax.imshow(picture[..., ::-1])
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, **style)


def framing(boxes: pd.DataFrame, table: pd.DataFrame, margin: float) -> Figure:
    """Draw ``live_chain.find_boxes`` beside ``accuracy_by_margin``, the margin in use marked."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.9))
    left.hist(boxes["share"], bins=np.linspace(0.5, 1.5, 41), color=SPLIT_COLOURS["train"])
    left.axvline(boxes["share"].median(), color=WRONG, lw=1.5, label="median")
    left.set(xlabel="longer side of the box / width of the image", ylabel="images")
    left.set_title("Boxes in FER-2013's images")
    left.legend()
    look = {"marker": "o", "color": SPLIT_COLOURS["train"], "capsize": 3}
    right.errorbar(table["margin"], table["accuracy"], table["standard_error"], **look)
    right.axvline(margin, color=RIGHT, lw=1.5, ls="--", label="margin in use")
    right.set(xlabel="margin on every side / width of the box", ylabel="accuracy", title="Read with a margin")
    for axis in (right.xaxis, right.yaxis):
        axis.set_major_formatter(_PERCENT)
    right.yaxis.set_major_locator(ticker.MaxNLocator(**_WHOLE_STEPS))
    right.legend()
    return fig


def reading_of_cases(cases: Mapping[str, Case], read: Mapping[str, list[Face]]) -> Figure:
    """Draw each case with the faces found in it; missed and invented faces are titled in red."""
    fig, axes = plt.subplots(-(-len(cases) // 4), 4, figsize=(7.8, 4), squeeze=False)
    for ax in axes.flat[len(cases) :]:
        ax.remove()
    for ax, (name, case) in zip(axes.flat, cases.items(), strict=False):
        people = read[name]
        told = f"{people[0].emotion} {100 * people[0].confidence:.0f} %" if people else "no face found"
        colour = RIGHT if case.is_read_rightly(people) else WRONG
        _show(ax, draw.annotated(case.picture, people), f"{name}\n{told}", color=colour)
    return fig


def smoothing(raw: list[Face | None], smooth: list[Face | None]) -> Figure:
    """Draw a face frame by frame and `averaged`: its label, and how probable its two commonest ones are."""
    fig, (ax, labels) = plt.subplots(2, sharex=True, figsize=(5.8, 3.6), height_ratios=(4, 1))
    ways = {"each frame": (raw, 0.8), "running average": (smooth, 2.6)}
    counted = Counter(face.emotion for face in [*raw, *smooth] if face is not None)
    colours = draw.palette(sorted(counted))
    for emotion, _ in counted.most_common(2):
        for way, (people, width) in ways.items():
            values = [np.nan if face is None else face.probabilities[emotion] for face in people]
            ax.plot(values, label=f"{emotion}, {way}", color=colours[emotion], lw=width)
    drawn = np.concatenate([line.get_ydata() for line in ax.lines])
    # A face that is read in half a dozen ways stays within a few percent of the whole scale.
    ax.set(ylim=(max(0, np.nanmin(drawn) - 0.05), min(1.02, np.nanmax(drawn) + 0.05)), ylabel="probability")
    ax.yaxis.set_major_locator(ticker.MaxNLocator(**_WHOLE_STEPS))
    ax.yaxis.set_major_formatter(_PERCENT)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    for height, (people, _) in enumerate(reversed(ways.values())):
        for frame, face in enumerate(people):
            if face is not None:
                labels.add_patch(Rectangle((frame - 0.5, height + 0.1), 1, 0.8, color=colours[face.emotion]))
    labels.set(ylim=(0, 2), yticks=(0.5, 1.5), yticklabels=reversed(ways), xlabel="frame")
    patches = [Patch(color=colour, label=name) for name, colour in colours.items()]
    labels.legend(handles=patches, title="label", loc="upper center", bbox_to_anchor=(0.5, -0.7), ncols=7)
    return fig


def label_changes(people: list[Face | None]) -> int:
    """Count how often the emotion changes from one frame in which the face is found to the next."""
    told = [face.emotion for face in people if face is not None]
    return sum(before != after for before, after in zip(told, told[1:], strict=False))
