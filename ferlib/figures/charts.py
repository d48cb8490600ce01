"""Numbers drawn: classes, learning curves, confusions, runs side by side. Functions draw and return."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from ferlib.evaluate import metrics
from ferlib.figures.style import FAINT, SPLIT_COLOURS
from ferlib.train.predicting import Predictions
from ferlib.train.record import Run
from ferlib.words import minus


def class_counts(counts: pd.DataFrame) -> Axes:
    """Draw grouped bars of the number of images of each class, a row, in each split, a column."""
    ax = plt.subplots(figsize=(5.8, 3.2))[1]
    colours = [SPLIT_COLOURS.get(name, FAINT) for name in counts.columns]
    counts = counts.rename(columns={"train": "training"})
    counts.plot.bar(ax=ax, color=colours, width=0.8, rot=0, legend=False)
    for bars in ax.containers:
        ax.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=1)
    ax.set(xlabel="emotion", ylabel="images")
    ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper right")
    return ax


def confusion_matrix(seeds: Sequence[Predictions]) -> Axes:
    """Draw the confusion matrix, mean over seeds, in shares of each true class, its images beside it."""
    ax = plt.subplots(figsize=(4.9, 4.1))[1]
    shares = sum(metrics.confusion(one) for one in seeds) / len(seeds)
    images = metrics.confusion(seeds[0], normalize=False).sum(axis=1)
    _heat_map(ax, shares, "share of the true class")
    ax.set_yticklabels([f"{name}\n{images[name]:,}" for name in shares.index])
    ax.set(xlabel="predicted emotion", ylabel="true emotion, images")
    return ax


def recalls(table: pd.DataFrame) -> Axes:
    """Draw ``summary.recalls``, the class that the networks know best at the left."""
    ax = plt.subplots(figsize=(5.8, 0.29 * len(table) + 0.9))[1]
    order = table.mean().sort_values(ascending=False).index
    _heat_map(ax, table[order], "recall", square=False)
    ax.set(xlabel="", ylabel="")
    return ax


def _heat_map(ax, shares, label, *, square=True):
    """Draw a table of shares, 0 to 1, as colours and percentages."""
    bar = {"label": label, "shrink": 0.75, "format": ticker.PercentFormatter(1, symbol=" %")}
    look = {"cmap": "Blues", "vmin": 0, "vmax": 1, "square": square, "linewidths": 1.5, "cbar_kws": bar}
    sns.heatmap(shares, annot=100 * shares, fmt=".0f", annot_kws={"size": 9}, ax=ax, **look)
    ax.tick_params(rotation=0)


_PERCENT = ticker.FuncFormatter(lambda share, _: minus(f"{100 * share:.3g} %"))


def accuracy_against_compute(table: pd.DataFrame) -> Axes:
    """Draw accuracy in ``summary.results_table`` against ``compute``, on a logarithmic axis."""
    ax, middle = plt.subplots(figsize=(5.8, 3.9))[1], table["test_accuracy"]
    errors = np.clip([middle - table["test_low"], table["test_high"] - middle], 0, None)
    ax.errorbar(table["compute"], middle, errors, fmt="o", elinewidth=1.2, markersize=5)
    ax.set(xscale="log", xlabel="multiplications in training", ylabel="accuracy on PrivateTest")
    ax.yaxis.set_major_formatter(_PERCENT)
    ax.minorticks_off()
    ax.margins(0.12, 0.1)
    _label_points(ax, table["compute"], middle, table["test_low"], table["test_high"])
    return ax


def _label_points(ax, xs, ys, lows, highs):
    """Write each point's name at the nearest place where it covers nothing, and join it if that is far."""
    ax.figure.draw_without_rendering()  # settles the layout, which the places depend on
    scale = ax.figure.dpi / 72  # pixels a point
    pixels, bottoms, tops = (ax.transData.transform(np.column_stack([xs, y])) for y in (ys, lows, highs))
    taken = [Bbox.from_extents(*(pixel - 4 * scale), *(pixel + 4 * scale)) for pixel in pixels]
    ends = zip(bottoms, tops, strict=True)
    taken += [Bbox.from_extents(*(low - scale), *(high + scale)) for low, high in ends]
    for index in np.argsort(-pixels[:, 1]):
        point = (xs.iloc[index], ys.iloc[index])
        text = ax.annotate(xs.index[index], point, size=9)
        width, height = text.get_window_extent().size
        text.remove()
        boxes = {
            place: _box(pixels[index] + scale * np.array(place), place, width, height) for place in _PLACES
        }
        inside = (place for place, box in boxes.items() if all(map(ax.bbox.contains, *box.corners().T)))
        place = next((one for one in inside if not boxes[one].count_overlaps(taken)), _PLACES[0])
        taken.append(boxes[place])
        line = {"arrowprops": {"arrowstyle": "-", "color": FAINT, "lw": 0.7}} if np.hypot(*place) > 12 else {}
        look = {"size": 9, "va": "center", "ha": _SIDES[np.sign(place[0])]}
        ax.annotate(xs.index[index], point, place, textcoords="offset points", **look, **line)


_PLACES = [
    (reach * right, reach * up)
    for reach in (7, 11, 16, 22, 30, 40, 52, 66, 82)
    for right, up in [(1, 0), (-1, 0), (0.9, 0.6), (-0.9, 0.6), (0.9, -0.6), (-0.9, -0.6), (0, 1), (0, -1)]
]
_SIDES = {1: "left", -1: "right", 0: "center"}


def _box(anchor, place, width, height):
    """Box that a label takes, in pixels."""
    left = anchor[0] - width * {1: 0, -1: 1, 0: 0.5}[np.sign(place[0])]
    return Bbox.from_bounds(left, anchor[1] - height / 2, width, height)


def learning_curves(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Draw loss and accuracy of ``summary.rows`` epoch by epoch, one column a row, one line a seed."""
    size = (1.65 * len(runs) + 0.3, 3.3)
    fig, axes = plt.subplots(2, len(runs), figsize=size, squeeze=False, sharex="col", sharey="row")
    for column, (id, of_row) in zip(axes.T, runs.items(), strict=True):
        for ax, measure in zip(column, ("loss", "accuracy"), strict=True):
            for run in of_row:
                for split, name in (("train", measure), ("valid", f"valid_{measure}")):
                    ax.plot(run.history["epoch"], run.history[name], color=SPLIT_COLOURS[split], lw=1.1)
                ax.axvline(run.result["best_epoch"], color=FAINT, lw=0.8, ls="--", zorder=0)
            ax.tick_params(labelsize=9)
        column[0].set_title(id, size=10)
        column[1].xaxis.set_major_locator(ticker.MaxNLocator(3, integer=True))
    for ax, measure in zip(axes[:, 0], ("loss", "accuracy"), strict=True):
        ax.set_ylabel(measure, size=10)
    axes[1, 0].yaxis.set_major_formatter(_PERCENT)
    fig.supxlabel("epoch", size=10)
    names = {"train": "training", "valid": "PublicTest"}
    handles = [plt.Line2D([], [], color=SPLIT_COLOURS[split], label=name) for split, name in names.items()]
    handles.append(plt.Line2D([], [], color=FAINT, ls="--", label="the epoch that is kept"))
    fig.legend(handles=handles, loc="outside upper right", ncols=3)
    return fig


def two_truths(sides: pd.DataFrame) -> Axes:
    """Draw ``crowd.matrix``: in each cell the number of images and, of ten or more, the share."""
    ax = plt.subplots(figsize=(5.4, 4.5))[1]
    names = sorted({name for pair in sides.index for name in pair})
    images, shares = (
        sides[column].unstack().reindex(index=names, columns=names) for column in ("images", "with crowd")
    )
    shares = shares.where(images >= 10)  # fewer say nothing
    bar = {"label": "share that the network reads as the crowd does", "shrink": 0.75, "format": _PERCENT}
    sns.heatmap(shares, ax=ax, cmap="Purples", vmin=0, vmax=1, square=True, linewidths=1.5, cbar_kws=bar)
    for (row, column), count in np.ndenumerate(images):
        share = shares.iloc[row, column]
        words = f"{count:,.0f}" if count > 0 else ""
        if share == share:
            words += f"\n{100 * share:.0f} %"
        colour = "white" if share > 0.5 else "black"
        ax.text(column + 0.5, row + 0.5, words, ha="center", va="center", size=9, color=colour)
    ax.set(xlabel="the crowd's answer", ylabel="FER-2013's label")
    ax.grid(visible=False)
    ax.tick_params(rotation=0)
    return ax


def reliability(networks: Mapping[str, pd.DataFrame]) -> Axes:
    """Draw ``crowd.reliability`` of networks by name, without bins of fewer than 30 answers."""
    ax = plt.subplots(figsize=(4.5, 3.2))[1]
    ax.axline((0, 0), slope=1, color=FAINT, ls="--", label="as sure as people")
    for (name, bins), marker in zip(networks.items(), cycle("os^vD"), strict=False):
        shown = bins[bins["images"] >= 30]
        ax.plot(shown["confidence"], shown["hits"], marker=marker, label=name)
    ax.set(xlim=(0.2, 1.02), ylim=(0.2, 1.02))
    ax.set(xlabel="how sure the network is", ylabel="share of people who say the same")
    ax.xaxis.set_major_formatter(_PERCENT)
    ax.yaxis.set_major_formatter(_PERCENT)
    ax.legend()
    return ax


def two_judges(truths: pd.DataFrame, marks: Mapping[str, float]) -> Axes:
    """Draw how often networks of ``crowd.table`` give the label and the crowd's answer, with 95 % intervals.

    Shares to compare them with are marked by dashed lines under their names.
    """
    ax = plt.subplots(figsize=(5.5, 0.46 * len(truths) + 1))[1]
    truths, ranks = truths.sort_values("crowd", ascending=False), np.arange(len(truths), 0, -1)
    judges = (("label", "by FER-2013's label", "o", "#E69F00"), ("crowd", "by ten people", "s", "#5E3C99"))
    for places, (column, name, marker, colour) in zip((ranks + 0.17, ranks - 0.17), judges, strict=True):
        middle, low, high = (truths[column + end].astype("float64") for end in ("", "_low", "_high"))
        ax.errorbar(middle, places, xerr=[middle - low, high - middle], fmt=marker, color=colour, label=name)
        for share, end, place in zip(middle, high, places, strict=True):
            look = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # dashed lines end beside it
            ax.text(end + 0.006, place, f"{100 * share:.1f}", va="center", size=9, bbox=look)
    for name, share in marks.items():
        ax.axvline(share, color=FAINT, lw=1, ls="--", zorder=0)
        ax.text(share, len(truths) + 0.65, f"{name}: {100 * share:.1f}", ha="center", va="bottom", size=9)
    ax.set_yticks(ranks, truths.index)
    ax.set(ylim=(0.4, len(truths) + 0.6), xlabel="share of the faces that have a crowd's answer")
    ax.xaxis.set_major_formatter(_PERCENT)
    ax.margins(x=0.09)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right")
    return ax
