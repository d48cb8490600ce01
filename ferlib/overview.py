"""What the training chapters show of networks and of runs on PublicTest: tables, and sentences on them."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import pandas as pd

from ferlib import compare, diagrams, evaluate, resampling
from ferlib.evaluate import Predictions
from ferlib.findings import listed
from ferlib.measures import percent, points
from ferlib.record import Run


def network(model: keras.Model) -> pd.DataFrame:
    """Return a network's stages from input to output, and their sum.

    Args:
        model: Network without nested networks.

    Returns:
        Columns ``stage`` (what its layers do), ``output`` (shape), ``parameters``, ``multiplications`` (for
        one image).
    """
    found = [
        {
            "stage": ", ".join(stage.lines()),
            "output": "×".join(map(str, stage.shape)),
            "parameters": stage.parameters,
            "multiplications": stage.macs,
        }
        for stage in diagrams.stages(model)
    ]
    table = pd.DataFrame(found)
    total = table[["parameters", "multiplications"]].sum()
    return pd.concat([table, pd.DataFrame([{"stage": "sum", "output": "", **total}])], ignore_index=True)


def results(runs: Iterable[Run]) -> pd.DataFrame:
    """Return one row a row of the experiment table, averaged over its seeds, for people to read.

    Args:
        runs: Finished runs, tested on PublicTest only.

    Returns:
        Indexed by ``row``: profile, seeds, epochs, training and PublicTest accuracy, the 95 % interval of
        the latter over images and seeds, the gap between them, macro-F1, and accuracy reported elsewhere,
        in percent, and seconds of training.
    """
    table = {id: _summary(of_row) for id, of_row in compare.rows(runs).items()}
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("row")


def _summary(runs: Sequence[Run]) -> dict:
    means = pd.DataFrame([run.result for run in runs])[
        ["epochs", "best_epoch", "train_accuracy", "valid_accuracy", "train_seconds"]
    ].mean()
    low, high = accuracy(runs).interval()
    reported = runs[0].experiment.reported
    return {
        "profile": runs[0].profile,
        "seeds": len(runs),
        "epochs": means["epochs"],
        "kept epoch": means["best_epoch"],
        "training %": 100 * means["train_accuracy"],
        "PublicTest %": 100 * means["valid_accuracy"],
        "from %": 100 * low,
        "to %": 100 * high,
        "gap %": 100 * (means["train_accuracy"] - means["valid_accuracy"]),
        "macro-F1 %": 100 * np.mean([run.valid.macro_f1 for run in runs]),
        "reported elsewhere %": np.nan if reported is None else 100 * reported,
        "seconds": means["train_seconds"],
    }


def accuracy(runs: Sequence[Run]) -> resampling.Sampled:
    """Resample the mean accuracy on PublicTest of one row's seeds."""
    return resampling.accuracy([run.valid for run in runs], row=runs[0].experiment.id)


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
        f"`{second}` against `{first}`: {points(by.value)} on PublicTest (95 % interval {points(low)} to "
        f"{points(high)}), {verdict}."
    )


def curves(run: Run) -> str:
    """Say where a run's learning curves end up, and whether it learned its images by heart."""
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
