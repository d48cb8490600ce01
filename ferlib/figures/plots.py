"""Figures of the data and of one network. Functions draw and return; they never load, save or show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import font_source_sans_pro
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import font_manager, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ferlib import colours
from ferlib.data.fer2013 import Split
from ferlib.labels import IMAGE_SIZE
from ferlib.train import predicting
from ferlib.train.predicting import Predictions

EMOTION_COLORS = colours.EMOTIONS
"""One colour an emotion, told apart with any colour vision (Okabe and Ito 2008)."""

SPLIT_COLORS = {"train": "#0072B2", "valid": "#E69F00", "test": "#009E73"}
"""One colour a split, from the same palette."""

SPLIT_NAMES = {"train": "training", "valid": "validation (PublicTest)", "test": "test (PrivateTest)"}
"""How legends call the splits."""

INK, FAINT, RIGHT, WRONG = "#2B2B2B", "#B8B8B8", "#007A58", "#B24A00"
"""Text, helper lines, and what was told rightly or wrongly."""


def theme() -> None:
    """Set the look of every figure: the report's font, thin axes, and colours told apart by everyone."""
    for file in sorted((Path(font_source_sans_pro.__file__).parent / "files").glob("*.ttf")):
        font_manager.fontManager.addfont(file)
    sns.set_theme(
        style="ticks",
        palette=[*SPLIT_COLORS.values(), "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F"],
        rc={
            "font.family": ["Source Sans Pro", "DejaVu Sans"],
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 11,
            "axes.labelcolor": INK,
            "axes.edgecolor": FAINT,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": "#E8E8E8",
            "grid.linewidth": 0.8,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "xtick.minor.size": 0,
            "ytick.minor.size": 0,
            "legend.frameon": False,
            "legend.fontsize": 10,
            "figure.figsize": (7, 4),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "svg.hashsalt": "ferlib",
        },
    )


def class_counts(counts: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw grouped bars of the number of images of each class.

    Args:
        counts: Classes as rows, splits as columns (``total`` is left out); numbers of images.
        ax: Where to draw; a new figure if None.
    """
    ax = ax or plt.subplots()[1]
    counts = counts.drop(columns="total", errors="ignore").drop(index="total", errors="ignore")
    colors = [SPLIT_COLORS.get(name, FAINT) for name in counts.columns]
    counts.rename(columns=SPLIT_NAMES).plot.bar(ax=ax, color=colors, width=0.8, rot=0, legend=False)
    for bars in ax.containers:
        ax.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=1)
    ax.set(xlabel="emotion", ylabel="images")
    ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper right")
    return ax


@dataclass(frozen=True)
class Row:
    """A row of faces in a gallery.

    Attributes:
        images: (m, 48, 48) or (m, 48, 48, 1), 0 to 255.
        name: Written at the left; empty for none.
        titles: One an image, or empty.
        colors: One a title, or empty for ink.
        heat: Maps (m, 48, 48) of 0..1 to lay over the images, or None.
    """

    images: np.ndarray
    name: str = ""
    titles: Sequence[str] = ()
    colors: Sequence[str] = ()
    heat: np.ndarray | None = None


def gallery(rows: Sequence[Row], *, size: float = 0.9) -> Figure:
    """Draw rows of faces, which may differ in length; ``size`` is the width of a face in inches."""
    columns = max(len(row.images) for row in rows)
    width = columns * (size + 0.04) + (0.9 if any(row.name for row in rows) else 0)
    height = sum(size + (0.24 if row.titles else 0.04) for row in rows)
    fig, axes = plt.subplots(len(rows), columns, squeeze=False, figsize=(width, height))
    for ax in axes.flat:
        ax.set_axis_off()
    for line, row in zip(axes, rows, strict=True):
        line[0].text(-0.12, 0.5, row.name, transform=line[0].transAxes, ha="right", va="center")
        for position, (ax, image) in enumerate(zip(line, row.images, strict=False)):
            draw_face(ax, image, None if row.heat is None else row.heat[position])
            if row.titles:
                color = row.colors[position] if row.colors else INK
                ax.set_title(row.titles[position], size=8, color=color, loc="center", pad=2, weight="normal")
    return fig


def draw_face(ax: Axes, image: np.ndarray, heat: np.ndarray | None = None) -> None:
    """Draw one image, grey, with an optional heat map over it.

    Args:
        ax: Where to draw.
        image: (48, 48) or (48, 48, 1), 0 to 255.
        heat: (48, 48), 0 to 1, or None.
    """
    image = np.asarray(image).reshape(IMAGE_SIZE, IMAGE_SIZE)
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if heat is not None:
        ax.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.15 + 0.45 * heat, interpolation="bilinear")


def sample_faces(split: Split, *, per_class: int = 8, seed: int = 0) -> Figure:
    """Draw randomly chosen images of every class, one row a class, alphabetical."""
    generator, rows = np.random.default_rng(seed), []
    for name in sorted(split.classes):
        members = np.flatnonzero(split.labels == split.classes.index(name))
        chosen = generator.choice(members, min(per_class, len(members)), replace=False)
        rows.append(Row(split.images[np.sort(chosen)], name))
    return gallery(rows)


def mean_faces(split: Split) -> Figure:
    """Draw the mean of all images of every class that occurs, and how it differs from the mean of all."""
    names = [name for name in sorted(split.classes) if split.classes.index(name) in split.labels]
    means = [split.images[split.labels == split.classes.index(name)].mean(axis=0)[..., 0] for name in names]
    differences = np.array(means) - np.asarray(split.images).mean(axis=0)[..., 0]
    reach = np.abs(differences).max()
    fig, axes = plt.subplots(2, len(names), squeeze=False, figsize=(0.94 * len(names), 2.2))
    for name, face, difference, (above, below) in zip(names, means, differences, axes.T, strict=True):
        draw_face(above, face)
        above.set_title(name, size=8, loc="center", pad=2, weight="normal")
        below.imshow(difference, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="bilinear")
    for ax in axes.flat:
        ax.set_axis_off()
    return fig


def augmented_faces(
    images: np.ndarray, augmented: Sequence[np.ndarray], *, names: Sequence[str] | None = None
) -> Figure:
    """Draw images beside versions of them as training sees them.

    Args:
        images: (n, 48, 48, 1), 0 to 255; one row each.
        augmented: Several arrays of the same shape: the same images, augmented.
        names: What to write at the left of each row.
    """
    titles = ["original", *(f"augmented {number}" for number in range(1, len(augmented) + 1))]
    rows = []
    for index, image in enumerate(images):
        versions = np.stack([image, *(version[index] for version in augmented)])
        rows.append(Row(versions, names[index] if names else "", () if index else titles))
    return gallery(rows)


def learning_curves(history: pd.DataFrame, *, metric: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Draw a metric of training and validation over the epochs and mark the epoch that was kept.

    Args:
        history: One row an epoch; columns ``epoch``, ``accuracy``, ``valid_accuracy``, ``loss``,
            ``valid_loss``.
        metric: ``"accuracy"`` or ``"loss"``.
        ax: Where to draw; a new figure if None.
    """
    ax = ax or plt.subplots()[1]
    for column, split in [(metric, "train"), (f"valid_{metric}", "valid")]:
        ax.plot(
            history["epoch"],
            history[column],
            color=SPLIT_COLORS[split],
            lw=1.8,
            label=SPLIT_NAMES[split],
            marker="o" if len(history) < 3 else None,
        )
    best = history.loc[history["valid_accuracy"].idxmax()]
    ax.axvline(best["epoch"], color=FAINT, lw=1, ls=(0, (4, 3)))
    ax.plot(best["epoch"], best[f"valid_{metric}"], "o", color=SPLIT_COLORS["valid"], label="weights kept")
    ax.set(xlabel="epoch", ylabel="accuracy" if metric == "accuracy" else "cross-entropy (nats)")
    if metric == "accuracy":
        ax.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0, symbol=" %"))
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.legend(loc="best")
    return ax


def training(history: pd.DataFrame) -> Figure:
    """Draw accuracy and loss over the epochs side by side."""
    fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.2))
    learning_curves(history, metric="accuracy", ax=axes[0])
    learning_curves(history, metric="loss", ax=axes[1]).get_legend().remove()
    return fig


def confusion_matrix(predictions: Predictions, *, ax: Axes | None = None) -> Axes:
    """Draw the confusion matrix: shares of each true class as colour and text, numbers of images below."""
    ax = ax or plt.subplots(figsize=(6.2, 5.2))[1]
    shares, counts = predicting.confusion(predictions), predicting.confusion(predictions, normalize=False)
    text = [
        [f"{share * 100:.0f} %\n{count}" for share, count in zip(*both, strict=True)]
        for both in zip(shares.values, counts.values, strict=True)
    ]
    sns.heatmap(
        shares,
        annot=text,
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=1,
        square=True,
        linewidths=1.5,
        ax=ax,
        annot_kws={"size": 9, "linespacing": 1.2},
        cbar_kws={"label": "share of the true class", "shrink": 0.75},
    )
    ax.collections[0].colorbar.ax.yaxis.set_major_formatter(ticker.PercentFormatter(1, symbol=" %"))
    ax.set(xlabel="predicted emotion", ylabel="true emotion")
    ax.tick_params(rotation=0)
    return ax
