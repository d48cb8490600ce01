"""What every training chapter shows: a network, its runs on PublicTest, and computed sentences on them."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import pandas as pd

from ferlib import compare, diagrams, evaluate, plots, report, resampling
from ferlib.augment import Augment, Policy
from ferlib.evaluate import Predictions
from ferlib.findings import listed
from ferlib.measures import percent, points
from ferlib.record import Run


def show_network(model: keras.Model, name: str) -> None:
    """Show a network as a table of its stages and as a drawing.

    Args:
        model: Network without nested networks.
        name: Start of the names of table and figure: ``<name>_stages`` and ``<name>_network``.
    """
    table = network(model)
    stages, total = table.iloc[:-1], table.iloc[-1]
    most, costly = stages["parameters"].idxmax(), stages["multiplications"].idxmax()
    size = (
        f"{total['parameters']:,} parameters and {total['multiplications'] / 1e6:.1f} million multiplications"
    )
    parameters = percent(stages.loc[most, "parameters"] / total["parameters"])
    work = percent(stages.loc[costly, "multiplications"] / total["multiplications"])
    report.table(
        table,
        f"{name}_stages",
        caption=f"`{model.name}` from input to output: {size} for one face. Of the parameters {parameters} "
        f"lie in stage {most + 1}, of the multiplications {work} are made in stage {costly + 1}.",
    )
    report.figure(
        diagrams.architecture(model).figure,
        f"{name}_network",
        caption=f"`{model.name}` drawn: an image of {stages['output'].iloc[0]} becomes "
        f"{stages['output'].iloc[-1]} probabilities in {len(stages) - 1} stages.",
        alt=f"Block diagram, left to right: {'; '.join(stages['output'])}.",
        width="100%",
    )


def show_results(runs: Iterable[Run], name: str) -> None:
    """Show how rows were trained, how they do on PublicTest, and their learning curves.

    Args:
        runs: Finished runs of one or several rows.
        name: Start of the names of tables: ``<name>_recipes`` and ``<name>_results``.
    """
    runs = list(runs)
    report.table(
        recipes(runs),
        f"{name}_recipes",
        caption="How the rows were trained, as they ran. Patience is the number of epochs without a better "
        "PublicTest accuracy after which training stops.",
    )
    table = results(runs)
    best = table["PublicTest %"].idxmax()
    report.table(
        table,
        f"{name}_results",
        caption=f"Results on PublicTest with 95 % intervals. `{best}` is best with "
        f"{table.loc[best, 'PublicTest %']:.1f} %; the gap, training minus PublicTest, is widest for "
        f"`{table['gap %'].idxmax()}`. Training accuracy is counted during training, on augmented images and "
        "with dropout. What is reported elsewhere was measured on a test split.",
    )


def show_run(run: Run, name: str) -> None:
    """Show a run's learning curves, its confusion matrix and the scores of each class on PublicTest.

    Args:
        run: A finished run.
        name: Start of the names: ``<name>_curves``, ``<name>_confusion`` and ``<name>_scores``.
    """
    report.figure(
        plots.training(run.history),
        f"{name}_curves",
        caption=f"Accuracy and loss over the epochs. {curves(run)}",
        alt="Two line plots against the epoch, accuracy and cross-entropy, each for training and PublicTest.",
        width="95%",
    )
    report.figure(
        plots.confusion_matrix(run.valid).figure,
        f"{name}_confusion",
        caption=f"Confusion matrix of `{run.experiment.id}` on PublicTest. {mistakes(run.valid)}",
        alt=f"Heat map of true against predicted emotions. {mistakes(run.valid)}",
        width="70%",
    )
    report.table(
        evaluate.per_class(run.valid),
        f"{name}_scores",
        caption=f"Precision, recall and F1 of `{run.experiment.id}` on PublicTest. {scores(run.valid)}",
        formats=dict.fromkeys(["precision", "recall", "f1"], "{:.2f}"),
    )


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


def recipes(runs: Iterable[Run]) -> pd.DataFrame:
    """Return how each row was trained, as it ran.

    Args:
        runs: Finished runs.

    Returns:
        Indexed by ``row``: number of images, policy of augmentation, optimizer, learning rate, schedule,
        weight decay, batch size, most epochs, patience, label smoothing and decay of the weights' average.
    """
    names = {
        "images": "images",
        "policy": "augmentation",
        "optimizer": "optimizer",
        "learning_rate": "learning rate",
        "schedule": "schedule",
        "weight_decay": "weight decay",
        "batch_size": "batch",
        "epochs": "epochs",
        "patience": "patience",
        "label_smoothing": "smoothing",
        "ema": "averaging",
    }
    table = {}
    for id, (run, *_) in compare.rows(runs).items():
        row = {heading: getattr(run.experiment, field) for field, heading in names.items()}
        table[id] = row | {"images": run.result.get("images", run.experiment.images)}
    frame = pd.DataFrame.from_dict(table, orient="index").rename_axis("row")
    for number in ("learning rate", "weight decay", "smoothing", "averaging"):
        frame[number] = frame[number].map("{:g}".format)
    return frame.astype({"patience": "Int64"})


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


def augmented(images: np.ndarray, policy: Policy, *, versions: int = 6, seed: int = 0) -> list[np.ndarray]:
    """Change images as training does, several times.

    Args:
        images: (n, 48, 48, 1), 0 to 255.
        policy: What may change.
        versions: How many changed copies of each image.
        seed: Of the changes.

    Returns:
        Arrays of the same shape, float32, one a version.
    """
    layer = Augment(policy, seed)
    return [np.asarray(layer(images, training=True)) for _ in range(versions)]


def changes(policy: Policy) -> str:
    """Say in words what a policy may do to an image."""
    said = {
        "flip": f"mirrored in {policy.flip:.0%} of the cases",
        "rotation": f"turned by up to {policy.rotation:g}°",
        "scale": f"resized by up to {policy.scale:.0%}",
        "shift": f"moved by up to {policy.shift:.0%} of its width",
        "brightness": f"made brighter or darker by up to {policy.brightness:g} grey levels",
        "contrast": f"changed in contrast by up to {policy.contrast:.0%}",
        "erase": f"robbed of a rectangle in {policy.erase:.0%} of the cases",
    }
    return listed([words for name, words in said.items() if getattr(policy, name)]) or "not changed"
