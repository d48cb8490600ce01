"""Rows of faces that a network read rightly or wrongly. Functions draw and return a figure."""

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ferlib import explain
from ferlib.data import Dataset, Split
from ferlib.evaluate import Predictions
from ferlib.labels import CLASSES
from ferlib.plots import RIGHT, WRONG, Row, gallery


def _told(predictions, positions):
    """Write what the network says about some images, and how sure it is."""
    names = np.array(predictions.classes)[predictions.predicted[positions]]
    return [
        f"{name} {100 * sure:.0f} %"
        for name, sure in zip(names, predictions.confidence[positions], strict=True)
    ]


def flagged(dataset: Dataset, images: pd.DataFrame, *, columns: int = 8) -> Figure:
    """Draw examples of what the audit flags: contradicting copies with their labels, then a row a flag.

    Args:
        dataset: What was audited.
        images: ``Audit.images``, one row an image.
        columns: Faces a row, fewer where there are fewer.
    """
    splits = {split.name: split for split in dataset.splits}

    def row(name, chosen, titled):
        shown = [splits[image["split"]].images[image["index"]] for image in chosen.to_dict("records")]
        titles = list(np.array(CLASSES)[chosen["label"]]) if titled else None
        return Row(np.array(shown), name, titles)

    conflicting = images[images["conflicting"]].sort_values("exact_group", kind="stable").head(columns)
    rows = [row("same image", conflicting, True)] if len(conflicting) else []
    flags = {
        "leaked": "also in train",
        "low_contrast": "low contrast",
        "blank": "blank",
        "faceless": "no face",
    }
    for flag, name in flags.items():
        if images[flag].any():
            found = images[images[flag]]
            rows.append(row(name, found.sample(min(columns, len(found)), random_state=0), False))
    return gallery(rows)


def misclassified(split: Split, predictions: Predictions, *, per_class: int = 8, seed: int = 0) -> Figure:
    """Draw randomly chosen mistakes, one row a true class, with prediction and confidence above.

    Args:
        split: The images that the predictions were made on, in the same order.
        predictions: What the network says.
        per_class: Faces a row, fewer where there are fewer mistakes.
        seed: Of the choice.
    """
    generator, rows = np.random.default_rng(seed), []
    for name in sorted(predictions.classes):
        wrong = np.flatnonzero(~predictions.correct & (predictions.labels == predictions.classes.index(name)))
        chosen = np.sort(generator.choice(wrong, min(per_class, len(wrong)), replace=False))
        if len(chosen):
            rows.append(Row(split.images[chosen], name, _told(predictions, chosen), [WRONG] * len(chosen)))
    return gallery(rows)


def disputed(split: Split, predictions: Predictions, positions: np.ndarray, *, columns: int = 8) -> Figure:
    """Draw images in a given order, with label and prediction above each.

    Args:
        split: The images that the predictions were made on, in the same order.
        predictions: What the network says.
        positions: Which images, int (m,).
        columns: Faces a row.
    """
    labels = np.array(predictions.classes)[predictions.labels[positions]]
    titles = [
        f"label {label}\n{told}" for label, told in zip(labels, _told(predictions, positions), strict=True)
    ]
    rows = [
        Row(split.images[positions[start : start + columns]], titles=titles[start : start + columns])
        for start in range(0, len(positions), columns)
    ]
    return gallery(rows, size=1.0)


def explained(
    model: keras.Model, split: Split, predictions: Predictions, *, columns: int = 7, seed: int = 0
) -> Figure:
    """Draw Grad-CAM maps of images that were read rightly and wrongly.

    Three rows: right, with the heat of the prediction; wrong, with the heat of the prediction; the same
    wrong ones, with the heat of their label.

    Args:
        model: The network that made the predictions.
        split: The images that the predictions were made on, in the same order.
        predictions: What the network says.
        columns: Faces a row.
        seed: Of the choice.
    """
    generator = np.random.default_rng(seed)
    right, wrong = (np.flatnonzero(mask) for mask in (predictions.correct, ~predictions.correct))
    right, wrong = (np.sort(generator.permutation(some)[:columns]) for some in (right, wrong))
    classes, rows = np.array(predictions.classes), []
    for name, chosen, asked, color in [
        ("right", right, predictions.predicted, RIGHT),
        ("wrong:\nwhy this?", wrong, predictions.predicted, WRONG),
        ("wrong:\nwhy not?", wrong, predictions.labels, RIGHT),
    ]:
        if len(chosen):
            images = np.asarray(split.images[chosen])
            heat = explain.grad_cam(model, images, asked[chosen])
            rows.append(Row(images, name, list(classes[asked[chosen]]), [color] * len(chosen), heat))
    return gallery(rows, size=1.0)
