"""Both truths, the label and the crowd, as tables for people to read."""

from collections.abc import Iterable, Sequence

import pandas as pd

from ferlib.evaluate.crowd import READERS, Judged, agreement, per_class, readers, table
from ferlib.labels import FerlibError
from ferlib.train import experiments
from ferlib.words import interval

_HEADINGS = {
    "crowd": "crowd",
    "agreed": "six of ten",
    "label": "label",
    "leak_free": "leak-free",
    "calibration_error": "calibration error",
}


def describe(judged: Iterable[Judged], ids: Sequence[str] = ()) -> str:
    """Write the table of both truths for people to read, the network that is best by the crowd last.

    Args:
        judged: From `judge`.
        ids: Rows to tell class by class as well.

    Raises:
        FerlibError: A row named is not among them, or there is none.
    """
    by_row = {one.row: one for one in judged}
    for id in ids:
        if experiments.find(id).id not in by_row:
            raise FerlibError(f"{id} has no finished run of seven classes to hold against the votes")
    if not by_row:
        raise FerlibError("no network of all seven emotions is finished; train one with: ferlib train lean")
    largest = max(by_row.values(), key=lambda one: len(one.cast))
    found = table([*readers(largest), *by_row.values()]).sort_values("crowd")
    agreed, clean = found.loc[READERS[1], ["agreed_images", "leak_free_images"]]
    legend = (
        "Accuracy on PublicTest with 95 % intervals; calibration and cross-entropy to the shares of votes.",
        "crowd       the emotion with most of ten votes is right",
        f"six of ten  likewise, where at least so many agree: {agreed:,} images",
        "label       FER-2013's label is right, on the images of crowd",
        f"leak-free   as crowd, without images that have copies in training: {clean:,} images",
    )
    parts = ["\n".join(legend), shown(found).rename_axis(None).to_string()]
    return "\n\n".join([*parts, *(_details(by_row[id]) for id in ids)])


def shown(truths: pd.DataFrame) -> pd.DataFrame:
    """Return what ``crowd.table`` found for people to read, in percent with intervals."""
    return truths[["seeds", "images"]].assign(
        **{f"{heading} %": _percentages(truths, name) for name, heading in _HEADINGS.items()},
        **{"cross-entropy": [f"{nats:.3f}" if pd.notna(nats) else "–" for nats in truths["cross_entropy"]]},
    )


def _details(one: Judged) -> str:
    """Write one row class by class."""
    classes = per_class(one)
    found = classes[["images"]].assign(
        **{
            "recall by crowd %": _percentages(classes, "crowd"),
            "so labelled %": _percentages(classes, "labelled"),
            "labelled": classes["label_images"],
            "recall by label %": _percentages(classes, "label"),
        }
    )
    ways = (100 * agreement(one)).round(1).rename_axis(None)
    return "\n\n".join(
        [
            f"{one.row}, class by class of the crowd and of the label\n{found.rename_axis(None).to_string()}",
            f"{one.row}, who agrees: % of images by the crowd's answer\n{ways.to_string()}",
        ]
    )


def _percentages(frame: pd.DataFrame, name: str) -> list[str]:
    """Write shares as percentages, with their intervals where these are wider than nothing."""
    texts = []
    for _, row in frame.iterrows():
        low, high = row.get(f"{name}_low", 0), row.get(f"{name}_high", 0)
        texts.append(f"{100 * row[name]:.1f}" + (f" ({interval(low, high)})" if high > low else ""))
    return texts
