"""Networks held against two truths on the same images: FER-2013's label and what ten people see.

The crowd's answer is the emotion with more votes than anything else; images where it has none are left out of
accuracies. Confidence and cross-entropy are held against the shares of votes, single ones counted as noise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ferlib.data import audit, votes
from ferlib.data.fer2013 import Dataset
from ferlib.evaluate import metrics, summary
from ferlib.evaluate.comparison import Difference
from ferlib.evaluate.metrics import Sampled
from ferlib.labels import CLASSES, FerlibError
from ferlib.train import experiments, targets
from ferlib.train.predicting import Predictions
from ferlib.train.record import Run

READERS = ("FER-2013's labels", "the crowd")
"""Rows of `table` that are no network: the label as an answer, and the votes as one."""

WAYS = ("all agree", "crowd and label", "crowd and network", "label and network", "none agree")
"""How label, crowd and network can agree on an image, in the order of `agreement`."""

_LEAST = 1e-8  # probability that a network, whose record is rounded to float16, gives to anything


@dataclass(frozen=True)
class Judged:
    """What the networks of one row say about images of PublicTest or PrivateTest, beside the votes."""

    row: str  # its id, or one of READERS
    predictions: tuple[Predictions, ...]  # of each seed, on the same images, beside FER-2013's labels
    cast: np.ndarray  # uint8 (n, 10), the votes, columns as in votes.COLUMNS
    clean: np.ndarray  # bool (n,), whether an image has no copy, exact or near, in the training split
    split: str = "valid"  # PublicTest, or "test" for PrivateTest

    @property
    def labels(self) -> np.ndarray:
        """FER-2013's labels, int64 (n,)."""
        return self.predictions[0].labels

    @property
    def seen(self) -> np.ndarray:
        """The crowd's answer, int64 (n,), -1 where it has none."""
        return votes.majority(self.cast)

    @property
    def told(self) -> np.ndarray:
        """The networks' answers, int64 (seeds, n)."""
        return np.stack([one.predicted for one in self.predictions])

    @property
    def confirmed(self) -> np.ndarray:
        """Share of people who give the networks' answers, float (seeds, n)."""
        shares = votes.distribution(self.cast)
        return np.stack([shares[np.arange(len(shares)), answers] for answers in self.told])

    @property
    def by_crowd(self) -> Sampled:
        """Share of images with a crowd's answer on which the networks give it, too."""
        return self.share(self.told == self.seen, self.seen >= 0)

    @property
    def by_label(self) -> Sampled:
        """Share of images with a crowd's answer on which the networks give FER-2013's label."""
        return self.share(self.told == self.labels, self.seen >= 0)

    def share(self, hits: np.ndarray, among: np.ndarray) -> Sampled:
        """Resample the share of hits, bool (seeds, n), among images, bool (n,), as ``summary.accuracy``."""
        return self.mean(hits, among) + summary.seed_noise(self.row, len(hits), self.split)

    def mean(self, values: np.ndarray, among: np.ndarray) -> Sampled:
        """Resample over images alone the mean of values, float (seeds, n), of some images, bool (n,)."""
        return metrics.ratio(values.mean(axis=0, keepdims=True) * among, among[np.newaxis])


def judge(runs: Iterable[Run], dataset: Dataset, on: str = "valid") -> list[Judged]:
    """Lay the votes beside what runs with seven classes say about the same images.

    These are PublicTest, or PrivateTest (``"test"``), which the runs were tested on before.

    Raises:
        FerlibError: Nobody voted on these images, or a run was tested on others.
    """
    split = getattr(dataset, on)
    if (cast := votes.of(split)) is None:
        raise FerlibError(
            f"nobody voted on these images ({dataset.source}); give FER-2013 with --data or FERLIB_DATA"
        )
    clean = audit.audit(dataset).leak_free(on)
    numbered = replace(split, names=np.arange(len(split)))  # positions meet each run's selection of images
    judged = []
    for id, of_row in summary.rows(run for run in runs if run.valid.classes == CLASSES).items():
        places = targets.judged(of_row[0].experiment, numbered).names
        predictions = tuple(metrics.aligned([getattr(run, on) for run in of_row]))
        if not np.array_equal(predictions[0].names, split.names[places]):
            raise FerlibError(
                f"{id} was tested on other images than these; train it again: ferlib train {id}"
            )
        judged.append(Judged(id, predictions, cast[places], clean[places], on))
    return judged


def leak_free(one: Judged) -> Judged:
    """Leave out images that have a copy, exact or near, in the training split."""
    kept = tuple(network.take(one.clean) for network in one.predictions)
    return replace(one, predictions=kept, cast=one.cast[one.clean], clean=one.clean[one.clean])


def choose(runs: Sequence[Run], dataset: Dataset) -> str:
    """Return ``summary.choose_for_real_time`` by the crowd's answers, or by labels where nobody voted."""
    if votes.of(dataset.valid) is None:
        images = len(dataset.valid)
        shares = {id: summary.accuracy(of_row).value for id, of_row in summary.rows(runs).items()}
    else:
        judged = judge(runs, dataset)
        images = max(int((one.seen >= 0).sum()) for one in judged)
        shares = {one.row: one.by_crowd.value for one in judged}
    return summary.choose_for_real_time(runs, shares, images)


def readers(one: Judged) -> list[Judged]:
    """Return the labels and the votes as if they were networks, to stand beside these in `table`."""
    answers = np.eye(len(CLASSES), dtype="float32")[one.labels], votes.distribution(one.cast)
    said = [Predictions(one.labels, shares, one.predictions[0].names, CLASSES) for shares in answers]
    return [replace(one, row=row, predictions=(each,)) for row, each in zip(READERS, said, strict=True)]


def table(judged: Iterable[Judged]) -> pd.DataFrame:
    """Return one row a network: how it does by the crowd, by the label, and by the shares of the votes.

    Returns:
        Indexed by the row's id; ``seeds``, and, with intervals over images and seeds, ``_low`` to ``_high``:
        ``crowd`` (accuracy by the crowd's answer, 0 to 1), ``agreed`` (likewise where at least six of ten
        people agree), ``label`` (accuracy by the label on the images of ``crowd``), ``leak_free`` (accuracy
        by the crowd without images that have copies in training); on images with enough votes
        ``cross_entropy`` (nats, to the shares of votes) and, without interval, ``calibration_error``. Of how
        many images: ``images``, ``agreed_images``, ``leak_free_images``.
    """
    rows = {one.row: _summary(one) for one in judged}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def _summary(one: Judged) -> dict:
    seen, told, enough = one.seen, one.told, votes.enough(one.cast)
    unique, shares = seen >= 0, votes.distribution(one.cast)
    agreed, clean = unique & votes.agreed(one.cast), unique & one.clean
    chances = np.maximum([network.probabilities for network in one.predictions], _LEAST, dtype="float64")
    sampled = {
        "crowd": one.by_crowd,
        "agreed": one.share(told == seen, agreed),
        "label": one.by_label,
        "leak_free": one.share(told == seen, clean),
        "cross_entropy": one.mean(-(shares * np.log(chances)).sum(axis=2), enough),
    }
    if one.row == READERS[0]:
        del sampled["cross_entropy"]  # infinite: a label gives nothing to what it does not name
    errors = [
        metrics.expected_calibration_error(network.take(enough), hits=hits[enough])
        for network, hits in zip(one.predictions, one.confirmed, strict=True)
    ]
    images = {"images": unique, "agreed_images": agreed, "leak_free_images": clean}
    return {
        "seeds": len(one.predictions),
        **_with_intervals(sampled),
        "calibration_error": float(np.mean(errors)),
        **{name: int(mask.sum()) for name, mask in images.items()},
    }


def _with_intervals(sampled: dict[str, Sampled]) -> dict[str, float]:
    columns = {}
    for name, one in sampled.items():
        columns[name] = one.value
        columns[f"{name}_low"], columns[f"{name}_high"] = one.interval()
    return columns


def per_class(one: Judged) -> pd.DataFrame:
    """Return the recall of each class by either truth, on the images where the crowd has an answer.

    Returns:
        Classes in alphabetical order as rows; ``images`` (by the crowd), ``crowd`` (recall, with
        ``crowd_low`` and ``crowd_high``), ``labelled`` (share of these that FER-2013 labels so, too),
        ``label_images``, and ``label`` (recall by the label, with ``label_low`` and ``label_high``).
    """
    seen, told = one.seen, one.told
    rows = {}
    for code in sorted(range(len(CLASSES)), key=CLASSES.__getitem__):
        by_crowd, by_label = seen == code, (one.labels == code) & (seen >= 0)
        sampled = {"crowd": one.share(told == code, by_crowd), "label": one.share(told == code, by_label)}
        rows[CLASSES[code]] = {
            "images": int(by_crowd.sum()),
            "labelled": (one.labels[by_crowd] == code).mean() if by_crowd.any() else np.nan,
            "label_images": int(by_label.sum()),
            **_with_intervals(sampled),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def reliability(one: Judged) -> pd.DataFrame:
    """Return how sure networks are, and which share of people say the same, in each bin of confidence."""
    enough = votes.enough(one.cast)
    sure = np.stack([network.confidence for network in one.predictions])[:, enough].ravel()
    told = pd.DataFrame({"confidence": sure, "hits": one.confirmed[:, enough].ravel()}, dtype="float64")
    groups = told.groupby(metrics.in_bins(sure).argmax(axis=1))
    return groups.mean().assign(images=groups.size())


def agreement(one: Judged) -> pd.DataFrame:
    """Return the share of each of `WAYS` among ``all images`` and those of each answer of the crowd."""
    seen, told, labels = one.seen, one.told, one.labels
    pairs = [(seen == labels) & (told == seen), seen == labels, told == seen, told == labels]
    way = np.select(np.broadcast_arrays(*pairs), range(4), 4)
    masks = {"all images": seen >= 0} | {name: seen == CLASSES.index(name) for name in sorted(CLASSES)}
    columns = {
        name: np.bincount(way[:, mask].ravel(), minlength=len(WAYS)) / max(way[:, mask].size, 1)
        for name, mask in masks.items()
    }
    return pd.DataFrame(columns, index=pd.Index(WAYS, name="who agrees"))


def matrix(one: Judged) -> pd.DataFrame:
    """Return for each pair of ``label`` and answer of the ``crowd`` that occurs how many ``images`` have it.

    And ``with crowd``, the share of the networks' answers that are the crowd's.
    """
    known, names = one.seen >= 0, np.array(CLASSES)
    pairs = {"label": names[one.labels[known]], "crowd": names[one.seen[known]]}
    frame = pd.DataFrame(pairs | {"with crowd": (one.told == one.seen).mean(axis=0)[known]})
    groups = frame.groupby(["label", "crowd"])
    return groups.mean().assign(images=groups.size())


def published_accuracy(one: Judged) -> Sampled:
    """Resample the accuracy in FER+'s own protocol: eight classes, more than half of the votes.

    Networks know seven classes and misread every face of the eighth, contempt.

    Source: Barsoum et al. 2016, who report 84 to 85 % for VGG13 on PrivateTest.
    """
    truth = votes.more_than_half(one.cast)
    return one.share(one.told == truth, truth >= 0)


def gain(one: Judged | None, other: Judged | None, by: str = "crowd", among: str | None = None) -> Difference:
    """Say by how much a row gives the crowd's answer, or the label, more often than another.

    Args:
        one: A row judged; with None, of either, nothing is known.
        other: The row it is held against, judged on the same images.
        by: ``"crowd"`` or ``"label"``.
        among: An emotion: only faces that have it, by the crowd or by the label.
    """
    if one is None or other is None:
        return Difference()
    metrics.aligned([one.predictions[0], other.predictions[0]])
    if among is None:
        return Difference.of(getattr(one, f"by_{by}") - getattr(other, f"by_{by}"))
    code = CLASSES.index(among)
    faces = (one.seen if by == "crowd" else one.labels) == code
    faces = faces & (one.seen >= 0)
    first, second = (each.share(each.told == code, faces) for each in (one, other))
    return Difference.of(first - second)


def describe(judged: Iterable[Judged], ids: Sequence[str] = ()) -> str:
    """Write the table of both truths for people to read, and some rows class by class.

    Raises:
        FerlibError: A row named is not among those judged, or there is none.
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
    """Return what `table` found for people to read, in percent with intervals."""
    headings = {"agreed": "six of ten", "leak_free": "leak-free", "calibration_error": "calibration error"}
    names = ("crowd", "agreed", "label", "leak_free", "calibration_error")
    return truths[["seeds", "images"]].assign(
        **{f"{headings.get(name, name)} %": metrics.percentages(truths, name) for name in names},
        **{"cross-entropy": [f"{nats:.3f}" if pd.notna(nats) else "–" for nats in truths["cross_entropy"]]},
    )


def _details(one: Judged) -> str:
    """Write one row class by class."""
    classes = per_class(one)
    columns = {
        "images": classes["images"],
        "recall by crowd %": metrics.percentages(classes, "crowd"),
        "so labelled %": metrics.percentages(classes, "labelled"),
        "labelled": classes["label_images"],
        "recall by label %": metrics.percentages(classes, "label"),
    }
    found = pd.DataFrame(columns, index=classes.index).rename_axis(None).to_string()
    ways = (100 * agreement(one)).round(1).rename_axis(None).to_string()
    return (
        f"{one.row}, class by class of the crowd and of the label\n{found}\n\n"
        f"{one.row}, who agrees: % of images by the crowd's answer\n{ways}"
    )
