"""Sentences about networks in training, written by code from their runs on PublicTest."""

from collections.abc import Iterable, Sequence

from ferlib import compare, evaluate, resampling
from ferlib.augment import Policy
from ferlib.evaluate import Predictions
from ferlib.findings import listed
from ferlib.finished import Run
from ferlib.measures import percent, points


def accuracy(runs: Sequence[Run]) -> resampling.Sampled:
    """Resample the mean accuracy on PublicTest of one row's seeds."""
    return resampling.accuracy([run.valid for run in runs], row=runs[0].experiment.id)


def standing(runs: Iterable[Run], id: str) -> str:
    """Say how accurate a row is on PublicTest, and how sure that is."""
    sampled = accuracy(compare.rows(runs)[id])
    low, high = sampled.interval()
    return (
        f"`{id}` reads {percent(sampled.value)} of the PublicTest faces correctly "
        f"(95 % interval {percent(low)} to {percent(high)})."
    )


def difference(runs: Iterable[Run], first: str, second: str) -> str:
    """Say by how much a row reads PublicTest better than another, and whether that may be luck.

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
    verdict = "better" if low > 0 else "worse" if high < 0 else "not to be told apart"
    return (
        f"`{second}` against `{first}`: {points(by.value)} on PublicTest (95 % interval "
        f"{points(low).removesuffix(' points')} to {points(high)}), {verdict}."
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
