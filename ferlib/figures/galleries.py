"""Rows of faces: of the data, and of what a network read rightly or wrongly. Functions draw and return."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ferlib.data.fer2013 import Dataset, Split
from ferlib.data.votes import COLUMNS
from ferlib.figures.style import FAINT, INK, WRONG
from ferlib.labels import CLASSES, COLOURS, IMAGE_SIZE
from ferlib.train.predicting import Predictions

_EXAMPLES = 8  # in a row of what an audit flags or a network reads otherwise


@dataclass(frozen=True)
class Row:
    """A row of faces in a gallery."""

    images: np.ndarray  # (m, 48, 48) or (m, 48, 48, 1), 0 to 255
    name: str = ""  # written at the left
    titles: Sequence[str] = ()  # one an image, or none
    colour: str = INK  # of the titles


def gallery(rows: Sequence[Row], *, size: float = 0.9, text: float = 8) -> Figure:
    """Draw rows of faces, which may differ in length, of some inches' width; titles are in points."""
    columns = max(len(row.images) for row in rows)
    width = columns * (size + 0.04) + (0.9 if any(row.name for row in rows) else 0)
    height = sum(size + (0.24 if len(row.titles) else 0.04) for row in rows)
    fig, axes = plt.subplots(len(rows), columns, squeeze=False, figsize=(width, height))
    for ax in axes.flat:
        ax.set_axis_off()
    for line, row in zip(axes, rows, strict=True):
        line[0].text(-0.12, 0.5, row.name, transform=line[0].transAxes, ha="right", va="center")
        for position, (ax, image) in enumerate(zip(line, row.images, strict=False)):
            draw_face(ax, image)
            if len(row.titles):
                _title(ax, row.titles[position], size=text, color=row.colour)
    return fig


def _title(ax: Axes, text: str, *, size: float = 8, color: str = INK) -> None:
    ax.set_title(text, size=size, color=color, loc="center", pad=2, weight="normal")


def draw_face(ax: Axes, image: np.ndarray) -> None:
    """Draw one image (48, 48) or (48, 48, 1), 0 to 255, grey."""
    image = np.asarray(image).reshape(IMAGE_SIZE, IMAGE_SIZE)
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def sample_faces(split: Split, *, per_class: int = 8) -> Figure:
    """Draw randomly chosen images of every class, one row a class, alphabetical."""
    generator, rows = np.random.default_rng(0), []
    for name in sorted(split.classes):
        members = np.flatnonzero(split.labels == split.classes.index(name))
        chosen = generator.choice(members, min(per_class, len(members)), replace=False)
        rows.append(Row(split.images[np.sort(chosen)], name))
    return gallery(rows, size=0.62)


def mean_faces(split: Split) -> Figure:
    """Draw the mean of all images of every class that occurs, and how it differs from the mean of all.

    Differences are of shape alone: each mean has lost its brightness first.
    """
    names = [name for name in sorted(split.classes) if split.classes.index(name) in split.labels]
    means = [split.images[split.labels == split.classes.index(name)].mean(axis=0)[..., 0] for name in names]
    shapes = [mean - mean.mean() for mean in (*means, np.asarray(split.images).mean(axis=0)[..., 0])]
    differences = np.array(shapes[:-1]) - shapes[-1]
    reach = np.abs(differences).max()
    fig, axes = plt.subplots(2, len(names), squeeze=False, figsize=(0.94 * len(names), 2.2))
    for name, face, difference, (above, below) in zip(names, means, differences, axes.T, strict=True):
        draw_face(above, face)
        _title(above, name)
        below.imshow(difference, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="bilinear")
    for ax in axes.flat:
        ax.set_axis_off()
    return fig


def flagged(dataset: Dataset, images: pd.DataFrame) -> Figure:
    """Draw what an audit's ``images`` flag.

    A row of copies under different labels, two of test images above their copies in training, exact ones
    first, then a row of low contrast and one without a face; what was not found has none.
    """
    splits = {split.name: split for split in dataset.splits}

    def row(name, chosen, titled=False):
        shown = [splits[image["split"]].images[image["index"]] for image in chosen.to_dict("records")]
        titles = list(np.array(CLASSES)[chosen["label"]]) if titled else ()
        return [Row(np.array(shown), name, titles)] if len(shown) else []

    def some(found, most=_EXAMPLES):
        return found.sample(min(most, len(found)), random_state=0)

    conflicting = images[images["conflicting"]].sort_values("exact_group", kind="stable")
    sizes = conflicting.groupby("exact_group").size().cumsum()  # whole groups alone
    whole = sizes.reindex(conflicting["exact_group"]).to_numpy() <= _EXAMPLES
    copied = images[images["partner"] >= 0]
    leaks = pd.concat([some(copied[copied["leaked"] == exact], _EXAMPLES // 2) for exact in (True, False)])
    partners = images[images["split"] == "train"].iloc[leaks["partner"]]
    return gallery(
        [
            *row("same image", conflicting[whole], True),
            *row("in a test split", leaks, True),
            *row("its copy in train", partners, True),
            *row("low contrast", some(images[images["low_contrast"] & ~images["blank"]])),
            *row("no face", some(images[images["faceless"]])),
        ],
        size=0.72,
    )


def misclassified(split: Split, predictions: Predictions) -> Figure:
    """Draw randomly chosen mistakes on a split, one row a true class, with the prediction above."""
    generator, rows = np.random.default_rng(0), []
    told = np.array(predictions.classes)[predictions.predicted]
    for name in sorted(predictions.classes):
        wrong = np.flatnonzero(~predictions.correct & (predictions.labels == predictions.classes.index(name)))
        chosen = np.sort(generator.choice(wrong, min(9, len(wrong)), replace=False))
        if len(chosen):
            rows.append(Row(split.images[chosen], name, told[chosen], WRONG))
    return gallery(rows, size=0.62, text=9)  # seven rows keep readable titles on half a page


def disputed(split: Split, predictions: Predictions, positions: np.ndarray) -> Figure:
    """Draw the images of a split at some positions, int (m,), with label and prediction above each."""
    names, chosen = np.array(predictions.classes), predictions.take(positions)
    each = zip(names[chosen.labels], names[chosen.predicted], 100 * chosen.confidence, strict=True)
    titles = [f"label {label}\n{answer} {share:.0f} %" for label, answer, share in each]
    rows = [
        Row(split.images[positions[start : start + _EXAMPLES]], titles=titles[start : start + _EXAMPLES])
        for start in range(0, len(positions), _EXAMPLES)
    ]
    return gallery(rows, size=0.84)


def voted(
    split: Split, cast: np.ndarray, answers: Mapping[str, Predictions], positions: np.ndarray
) -> Figure:
    """Draw faces of a split at some positions, each beside bars of its votes and of who gives which answer.

    Votes are int (n, 10), from ``votes.of``, and answers are predictions by the name of their network.
    """
    lines = -(-len(positions) // 2)
    look = {"figsize": (6.6, 0.95 * lines), "width_ratios": [1, 2.4] * 2}
    fig, axes = plt.subplots(lines, 4, squeeze=False, **look)
    for ax in axes.flat:
        ax.set_axis_off()
    for (face, bars), position in zip(axes.reshape(-1, 2), positions, strict=False):
        draw_face(face, split.images[position])
        said: dict[str, list[str]] = {split.classes[split.labels[position]]: ["label"]}
        for name, one in answers.items():
            told = f"{name} {100 * one.confidence[position]:.0f} %"
            said.setdefault(one.classes[one.predicted[position]], []).append(told)
        _votes(bars, dict(zip(COLUMNS, cast[position].tolist(), strict=True)), said)
    return fig


def _votes(ax: Axes, counts: dict[str, int], said: dict[str, list[str]]) -> None:
    """Draw a bar an answer that anybody gave, the most voted first, and write who else gave it."""
    shown = sorted((name for name in counts if counts[name] or name in said), key=lambda name: -counts[name])
    ax.set_axis_on()
    colours = [COLOURS.get(name, FAINT) for name in shown]
    ax.barh([f"{name} {counts[name]}" for name in shown], [counts[name] for name in shown], color=colours)
    for line, name in enumerate(shown):
        ax.text(counts[name] + 0.4, line, ", ".join(said.get(name, [])), size=8, va="center")
    ax.set(xlim=(0, 26), ylim=(max(len(shown), 4) - 0.5, -0.5))
    ax.xaxis.set_visible(False)
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", labelsize=8)


def regions(
    faces: np.ndarray, names: Sequence[str], rows: Iterable[tuple[str, np.ndarray, float | None]]
) -> Figure:
    """Draw maps over faces (k, 48, 48), red above zero and blue below, one column a class.

    A row has a name, maps (k, 48, 48) and the value of full colour; where that is None each map is drawn
    about its own mean, up to its own extreme.
    """
    rows = list(rows)
    size = (0.94 * len(names) + 1, 0.96 * len(rows) + 0.2)
    fig, axes = plt.subplots(len(rows), len(names), squeeze=False, figsize=size)
    for line, (name, maps, reach) in zip(axes, rows, strict=True):
        line[0].text(-0.12, 0.5, name, transform=line[0].transAxes, ha="right", va="center")
        for ax, face, one in zip(line, faces, maps, strict=True):
            draw_face(ax, face)
            one = one if reach else one - one.mean()
            limit = reach or max(np.abs(one).max(), 1e-12)
            ax.imshow(one, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.6, interpolation="bilinear")
            ax.set_axis_off()
    for ax, name in zip(axes[0], names, strict=True):
        _title(ax, name)
    return fig
