"""Sentences about networks in training, written by code from their runs on PublicTest."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ferlib import compare, evaluate, resampling
from ferlib.augment import Policy
from ferlib.evaluate import Predictions
from ferlib.findings import listed
from ferlib.finished import Run
from ferlib.measures import percent, points

RECIPE = {
    "classes": "classes",
    "images": "training images",
    "policy": "augmentation",
    "strength": "strength of augmentation",
    "optimizer": "optimizer",
    "learning_rate": "learning rate",
    "schedule": "schedule",
    "warmup": "warm-up",
    "weight_decay": "weight decay",
    "batch_size": "batch size",
    "epochs": "most epochs",
    "patience": "patience",
    "label_smoothing": "label smoothing",
    "ema": "averaging of weights",
    "class_weights": "class weights",
}
"""Fields of a row in which recipes differ, to words."""


def accuracy(runs: Sequence[Run]) -> resampling.Sampled:
    """Resample the mean accuracy on PublicTest of one row's seeds."""
    return resampling.accuracy([run.valid for run in runs], row=runs[0].experiment.id)


def at_scale(rows: Mapping[str, Sequence[Run]]) -> dict[str, Sequence[Run]]:
    """Leave out the rows that were trained quickly only; nothing but quick rows stay as they are.

    Args:
        rows: From ``compare.rows``.
    """
    serious = {id: of_row for id, of_row in rows.items() if of_row[0].profile != "quick"}
    return serious or dict(rows)


def best_of(rows: Mapping[str, Sequence[Run]]) -> str:
    """Return the seven-class row that is best on PublicTest, quick ones left out as in `at_scale`."""
    known = {id: of_row for id, of_row in rows.items() if of_row[0].experiment.classes is None}
    return compare.best_row(run for of_row in at_scale(known).values() for run in of_row)


def left_out(rows: Mapping[str, Sequence[Run]]) -> str:
    """Say which rows `at_scale` leaves out; empty if none."""
    quick = [f"`{id}`" for id in rows if id not in at_scale(rows)]
    if not quick:
        return ""
    return f"Left out, because only a quick training exists: {listed(quick)}."


def extent(rows: Mapping[str, Sequence[Run]]) -> str:
    """Say how many ways of training are compared, and with how many runs."""
    runs = sum(len(of_row) for of_row in rows.values())
    count = "One row is" if len(rows) == 1 else f"{len(rows)} rows are"
    each = "one run each" if len(rows) > 1 else "one run"
    return f"{count} shown here, {each if runs == len(rows) else f'{runs} runs in all'} ({_seeds(rows)})."


def _seeds(rows):
    """Name the seeds of some rows."""
    seeds = sorted({run.seed for of_row in rows.values() for run in of_row})
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {listed(map(str, seeds))}"


def standing(runs: Iterable[Run], id: str) -> str:
    """Say how accurate a row is on PublicTest, with which seeds, and how sure that is."""
    of_row = compare.rows(runs)[id]
    sampled = accuracy(of_row)
    low, high = sampled.interval()
    over = _seeds({id: of_row}) if len(of_row) == 1 else f"mean of {_seeds({id: of_row})}"
    return (
        f"`{id}` reads {percent(sampled.value)} of the PublicTest faces correctly "
        f"({over}; 95 % interval {percent(low)} to {percent(high)})."
    )


def difference(runs: Iterable[Run], first: str, second: str) -> str:
    """Say by how much a row reads PublicTest better than another, and whether that may be luck.

    The verdict is provisional: see `provisional`.

    Args:
        runs: Finished runs of both rows, tested on the same images.
        first: Id of the row to compare with.
        second: Id of the row that is judged.
    """
    found = compare.rows(runs)
    profiles = [found[id][0].profile for id in (first, second)]
    if profiles[0] != profiles[1]:
        return (
            f"`{second}` ({profiles[1]}) and `{first}` ({profiles[0]}) ran at different scales: not compared."
        )
    by = accuracy(found[second]) - accuracy(found[first])
    low, high = by.interval()
    verdict = "provisionally better" if low > 0 else "provisionally worse" if high < 0 else "not told apart"
    return (
        f"`{second}` against `{first}`: {points(by.value)} on PublicTest (95 % interval "
        f"{points(low).removesuffix(' points')} to {points(high)}), {verdict}."
    )


def provisional(rows: Mapping[str, Sequence[Run]]) -> str:
    """Say what the verdicts of `difference` rest on.

    Args:
        rows: The rows that are compared.
    """
    return (
        f"These verdicts are provisional: they rest on PublicTest, on which the epochs were chosen, on "
        f"{_seeds(rows)}, and on intervals that are not corrected for the number of comparisons. "
        "Chapter 5 tests on PrivateTest."
    )


def apart(runs: Iterable[Run], first: str, second: str) -> str:
    """Name all in which the recipes of two rows differ, so that no difference is put down to one of them.

    Args:
        runs: Finished runs of both rows.
        first: Id of a row.
        second: Id of another.
    """
    found = compare.rows(runs)
    one, two = (found[id][0].experiment for id in (first, second))
    named = []
    if one.model.removesuffix("_scratch") != two.model.removesuffix("_scratch"):
        named.append("the network with its dropout")
    elif one.model != two.model:
        named.append("the first weights")
    elif one.switches != two.switches:
        named.append("the network's switches")
    for field, word in RECIPE.items():
        values = [getattr(row, field) for row in (one, two)]
        if values[0] != values[1]:
            named.append(f"{word} ({' and '.join(map(_value, values))})")
    if len(named) < 2:
        return f"`{first}` and `{second}` differ in {listed(named)} alone." if named else ""
    return (
        f"`{first}` and `{second}` differ in {listed(named)}; the difference cannot be put down to one of "
        "these."
    )


def _value(value):
    if isinstance(value, bool) or value is None:
        return "yes" if value else "none"
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


def imagenet(runs: Iterable[Run]) -> str:
    """Say what MobileNet owes to ImageNet, or that these runs cannot tell.

    Args:
        runs: Finished runs, with those of MobileNet from random weights where there are some.
    """
    runs = list(runs)
    serious = {id: of_row[0].profile for id, of_row in at_scale(compare.rows(runs)).items()}
    pair = ("mobilenet_scratch", "mobilenet_finetuned")
    scales = {serious.get(id, "quick") for id in pair}
    if len(scales) == 1 and scales != {"quick"}:
        told = f"From random weights or from ImageNet's: {difference(runs, *pair)}"
        return f"{told} {apart(runs, *pair)}"
    return (
        "MobileNet was not trained both from ImageNet's weights and from random ones at the same scale. "
        "Fine-tuning can therefore be compared with freezing only; what ImageNet's photographs contribute "
        "cannot be told from these runs."
    )


def four_of_seven(seven: Run, four: Run) -> str:
    """Say how a network of seven classes reads the faces of one that knows fewer, beside that one.

    Args:
        seven: A run of all classes.
        four: A run of some of them, at the same scale.
    """
    names = [f"`{run.experiment.id}`" for run in (seven, four)]
    if seven.profile != four.profile:
        return (
            f"{names[0]} ({seven.profile}) and {names[1]} ({four.profile}) ran at different scales: not "
            "compared."
        )
    positions = [seven.valid.classes.index(name) for name in four.valid.classes]
    kept = seven.valid.take(np.isin(seven.valid.labels, positions))
    restricted = np.array(positions)[kept.probabilities[:, positions].argmax(axis=1)] == kept.labels
    frequent = np.bincount(four.valid.labels).max() / len(four.valid)
    return (
        f"On PublicTest faces of {listed(four.valid.classes)}, {names[0]} (seed {seven.seed}), trained on "
        f"all emotions, is right in {percent(restricted.mean())} when it may only choose among these "
        f"({percent(kept.accuracy)} when it may not), and {names[1]} (seed {four.seed}), trained on these "
        f"only, in {percent(four.valid.accuracy)}; always naming the most frequent one is right in "
        f"{percent(frequent)}."
    )


def curves(run: Run) -> str:
    """Say where a run's learning curves end up, and how far apart."""
    kept = run.history.iloc[run.result["best_epoch"] - 1]
    last = run.history.iloc[-1]
    gap = last["accuracy"] - last["valid_accuracy"]
    ran = (
        f"the last epoch stands at {percent(last['accuracy'])} on its training images and "
        f"{percent(last['valid_accuracy'])} on PublicTest, a gap of {points(gap)}"
    )
    return (
        f"`{run.experiment.id}` (seed {run.seed}, {run.profile}): PublicTest is best at epoch "
        f"{kept['epoch']:.0f} of {len(run.history)} with {percent(kept['valid_accuracy'])}; {ran}."
    )


def mistakes(predictions: Predictions) -> str:
    """Say which classes are recognized best and worst and what the worst is taken for."""
    recall = evaluate.recall_intervals(predictions)["recall"]
    worst, best = recall.idxmin(), recall.idxmax()
    taken = evaluate.confusion(predictions).loc[worst].drop(worst)
    return (
        f"Of {best} faces {percent(recall[best])} are recognized, of {worst} faces {percent(recall[worst])}; "
        f"{worst} is most often taken for {taken.idxmax()} ({percent(taken.max())})."
    )


def scores(predictions: Predictions) -> str:
    """Say which classes have the highest and lowest F1, and which are never predicted."""
    table = evaluate.per_class(predictions)
    f1 = table["f1"].drop("macro avg")
    never = [name for name in f1.index if predictions.classes.index(name) not in predictions.predicted]
    silent = f" {listed(never).capitalize()} is never predicted." if len(never) == 1 else ""
    silent = f" Never predicted: {listed(never)}." if len(never) > 1 else silent
    return (
        f"F1 is highest for {f1.idxmax()} ({f1.max():.2f}) and lowest for {f1.idxmin()} ({f1.min():.2f}), "
        f"{table.loc['macro avg', 'f1']:.2f} on average over classes.{silent}"
    )


def substitutes(wanted: Iterable[str], runs: Iterable[Run]) -> str:
    """Say which rows could not run and what ran instead; empty if all did."""
    got = list(compare.rows(runs))
    missing = [id for id in wanted if id not in got]
    if not missing:
        return ""
    instead = [id for id in got if id not in set(wanted)]
    return (
        f"The ImageNet weights of {listed(f'`{id}`' for id in missing)} could not be had here; "
        f"{listed(f'`{id}`' for id in instead)} ran instead, from random weights and under "
        f"{'their own names' if len(instead) > 1 else 'its own name'}."
    )


def changes(policy: Policy) -> str:
    """Say in words what a policy may do to an image."""
    said = {
        "flip": f"mirrored in {100 * policy.flip:g} % of the cases",
        "rotation": f"turned by up to {policy.rotation:g}°",
        "scale": f"resized by up to {100 * policy.scale:g} %",
        "shift": f"moved by up to {100 * policy.shift:g} % of its width",
        "brightness": f"made brighter or darker by up to {policy.brightness:g} grey levels",
        "contrast": f"changed in contrast by up to {100 * policy.contrast:g} %",
        "erase": f"covered by a grey rectangle in {100 * policy.erase:g} % of the cases",
    }
    return listed([words for name, words in said.items() if getattr(policy, name)]) or "not changed"
