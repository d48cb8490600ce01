"""Figures that compare runs. Functions draw and return; they never load, save or show."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from ferlib import calibrate, claims
from ferlib.evaluate import Predictions
from ferlib.finished import Run
from ferlib.plots import FAINT, INK, SPLIT_COLORS

GROUP_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F", "#000000")
"""Colours of groups of rows, in the order of the table."""

VERDICT_COLORS = {
    claims.HOLDS: "#009E73",
    claims.FAILS: "#D55E00",
    claims.NOISE: "#7F7F7F",
    claims.UNTESTED: "#C9C9C9",
}

COSTS = {
    "parameters": "parameters",
    "macs": "multiplications an image",
    "train_seconds": "training time (s)",
    "milliseconds": "time for one face (ms)",
}
"""Column of the results table to the label of a cost axis."""

_PERCENT = ticker.FuncFormatter(lambda share, _: f"{100 * share:.3g} %".replace("-", "−"))


def accuracy_against(table: pd.DataFrame, cost: str, *, ax: Axes | None = None) -> Axes:
    """Draw test accuracy, with its interval, against what it costs, on a logarithmic axis.

    Args:
        table: From ``compare.results_table``.
        cost: A key of ``COSTS``.
        ax: Where to draw; a new figure if None.
    """
    ax = ax or plt.subplots(figsize=(7, 4.6))[1]
    for (group, rows), color in zip(table.groupby("group", sort=False), GROUP_COLORS, strict=False):
        middle = rows["test_accuracy"]
        errors = np.clip([middle - rows["test_low"], rows["test_high"] - middle], 0, None)
        look = {"color": color, "elinewidth": 1.2, "markersize": 6}
        ax.errorbar(rows[cost], middle, errors, fmt="o", label=group, **look)
    ax.set(xscale="log", xlabel=COSTS[cost], ylabel="accuracy on PrivateTest")
    ax.yaxis.set_major_formatter(_PERCENT)
    ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _short(value)))
    ax.minorticks_off()
    ax.margins(0.12, 0.1)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4)
    _label_points(ax, table[cost], table["test_accuracy"], table["test_low"], table["test_high"])
    return ax


def _short(value):
    """Write a number on an axis in a few characters."""
    for size, unit in [(1e9, " G"), (1e6, " M"), (1e3, " k")]:
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _label_points(ax, xs, ys, lows, highs):
    """Write each point's name beside it, at the nearest place where it covers nothing else.

    A name that had to go far is joined to its point by a line.
    """
    ax.figure.draw_without_rendering()  # settles the layout, which the places depend on
    scale = ax.figure.dpi / 72  # pixels a point
    pixels, bottoms, tops = (ax.transData.transform(np.column_stack([xs, y])) for y in (ys, lows, highs))
    taken = [Bbox.from_extents(*(pixel - 4 * scale), *(pixel + 4 * scale)) for pixel in pixels]
    taken += [
        Bbox.from_extents(*(low - scale), *(high + scale)) for low, high in zip(bottoms, tops, strict=True)
    ]
    for index in np.argsort(-pixels[:, 1]):
        point = (xs.iloc[index], ys.iloc[index])
        text = ax.annotate(xs.index[index], point, size=8)
        width, height = text.get_window_extent().size
        text.remove()
        boxes = {
            place: _box(pixels[index] + scale * np.array(place), place, width, height) for place in _PLACES
        }
        free = (
            place for place, box in boxes.items() if _inside(box, ax.bbox) and not box.count_overlaps(taken)
        )
        place = next(free, _PLACES[0])
        taken.append(boxes[place])
        line = {"arrowprops": {"arrowstyle": "-", "color": FAINT, "lw": 0.7}} if np.hypot(*place) > 12 else {}
        look = {"size": 8, "va": "center", "ha": _SIDES[np.sign(place[0])]}
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


def _inside(box, frame):
    return all(frame.contains(*corner) for corner in box.corners())


def learning_curves(runs: Mapping[str, Sequence[Run]], *, columns: int = 5) -> Figure:
    """Draw the learning curves of every row as small multiples, one thin line a seed.

    Args:
        runs: From ``compare.rows``.
        columns: Panels side by side.
    """
    lines = -(-len(runs) // columns)
    fig, axes = plt.subplots(
        lines, columns, figsize=(1.75 * columns, 1.5 * lines + 0.3), squeeze=False, sharey=True
    )
    for ax in axes.flat[len(runs) :]:
        ax.set_axis_off()
    for ax, (id, of_row) in zip(axes.flat, runs.items(), strict=False):
        for run in of_row:
            for column, split in [("accuracy", "train"), ("valid_accuracy", "valid")]:
                ax.plot(
                    run.history["epoch"],
                    run.history[column],
                    color=SPLIT_COLORS[split],
                    lw=1,
                    marker=".",
                    ms=2,
                )
        ax.set_title(id, size=9)
        ax.tick_params(labelsize=8)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(3, integer=True))
        ax.yaxis.set_major_formatter(_PERCENT)
    fig.supxlabel("epoch", size=10)
    fig.supylabel("accuracy", size=10)
    names = {"train": "training", "valid": "validation (PublicTest)"}
    handles = [plt.Line2D([], [], color=SPLIT_COLORS[split], label=name) for split, name in names.items()]
    fig.legend(handles=handles, loc="outside upper right", ncols=2)
    return fig


def reliability(predictions: Mapping[str, Predictions], *, ax: Axes | None = None) -> Axes:
    """Draw how often predictions of each confidence are right; the diagonal is perfect.

    Args:
        predictions: Legend text to predictions; areas of points grow with the number of images.
        ax: Where to draw; a new figure if None.
    """
    ax = ax or plt.subplots(figsize=(4.8, 4.4))[1]
    ax.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (4, 3)))
    for (name, one), color in zip(predictions.items(), GROUP_COLORS, strict=False):
        table = calibrate.reliability(one)
        error = calibrate.expected_calibration_error(one)
        ax.plot(table["confidence"], table["accuracy"], color=color, lw=1.4)
        areas = 12 + 240 * table["count"] / len(one)
        label = f"{name}: calibration error {100 * error:.1f} %"
        ax.scatter(table["confidence"], table["accuracy"], areas, color=color, label=label)
    ax.set(
        xlabel="confidence (predicted probability)", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1)
    )
    ax.xaxis.set_major_formatter(_PERCENT)
    ax.yaxis.set_major_formatter(_PERCENT)
    ax.legend(loc="upper left", markerscale=0.6)
    return ax


BATCH_PANELS = {
    "test_accuracy": "accuracy on PrivateTest",
    "steps_per_epoch": "steps an epoch",
    "seconds_per_epoch": "seconds an epoch",
    "peak_memory_mb": "peak memory (MB)",
}
"""Column of the results table to the label of a panel of `batch_sizes`."""


def batch_sizes(table: pd.DataFrame, sizes: Sequence[int]) -> Figure:
    """Draw accuracy, steps, time and memory against the batch size.

    Args:
        table: Rows of ``compare.results_table``, one a batch size.
        sizes: The batch sizes, in the same order.
    """
    fig, axes = plt.subplots(1, 4, figsize=(9.4, 2.7))
    for ax, (column, label) in zip(axes, BATCH_PANELS.items(), strict=True):
        ax.plot(sizes, table[column], "o-", color=GROUP_COLORS[0], lw=1.4, ms=5)
        if column == "test_accuracy":
            ax.vlines(sizes, table["test_low"], table["test_high"], color=GROUP_COLORS[0], lw=1.2)
            ax.yaxis.set_major_formatter(_PERCENT)
        else:
            ax.set_ylim(0, 1.08 * table[column].max())
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, sizes, size=8)
        ax.minorticks_off()
        ax.set_title(label, size=10)
    fig.supxlabel("images a batch", size=10)
    return fig


def claims_overview(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the effect of each claim with its 95 % interval, coloured by verdict; right of zero it is right.

    Args:
        table: From ``claims.claims_table``; claims that were not measured are left out.
        ax: Where to draw; a new figure if None.
    """
    measured = table[table["effect"].notna()]
    ax = ax or plt.subplots(figsize=(8.4, 0.36 * len(measured) + 1.3))[1]
    for place, row in enumerate(measured.itertuples()):
        color = VERDICT_COLORS[row.verdict]
        ax.plot([row.low, row.high], [place, place], color=color, lw=2, solid_capstyle="round")
        ax.plot(row.effect, place, "o", color=color, ms=6)
    ax.axvline(0, color=INK, lw=0.8)
    ax.set_yticks(range(len(measured)), [_wrapped(claim) for claim in measured["claim"]], size=9)
    ax.invert_yaxis()
    ax.set_xscale("symlog", linthresh=0.1)
    ax.xaxis.set_major_locator(ticker.FixedLocator([-1, -0.3, -0.1, -0.05, 0, 0.05, 0.1, 0.3, 1]))
    ax.xaxis.set_major_formatter(_PERCENT)
    ax.minorticks_off()
    ax.set_xlabel("effect, positive where the claim is right (percentage points, logarithmic beyond ±10)")
    handles = [
        plt.Line2D([], [], color=VERDICT_COLORS[verdict], marker="o", label=verdict)
        for verdict in VERDICT_COLORS
    ]
    ax.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=4)
    return ax


def _wrapped(text, width=52):
    """Break a sentence into two lines where it is long."""
    if len(text) <= width:
        return text
    cut = text.rfind(" ", 0, len(text) // 2 + 8)
    return f"{text[:cut]}\n{text[cut + 1 :]}"


def confused_pairs(shares: pd.DataFrame, *, most: int = 10, ax: Axes | None = None) -> Axes:
    """Draw the most confused pairs of classes as bars.

    Args:
        shares: Confusion matrix from ``evaluate.confusion``, shares of the true class.
        most: How many pairs.
        ax: Where to draw; a new figure if None.
    """
    pairs = shares.where(~np.eye(len(shares), dtype=bool)).stack().nlargest(most)
    ax = ax or plt.subplots(figsize=(6, 0.3 * len(pairs) + 0.8))[1]
    names = [f"{true} taken for {predicted}" for true, predicted in pairs.index]
    bars = ax.barh(names, pairs, color=GROUP_COLORS[0], height=0.7)
    ax.bar_label(bars, [f"{100 * share:.0f} %" for share in pairs], padding=3, size=9)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(_PERCENT)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("share of the true class")
    return ax
