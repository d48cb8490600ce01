"""What every training chapter shows: a network, augmented images, and runs on PublicTest."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import pandas as pd

from ferlib import compare, diagrams, evaluate, experiments, optimizers, plots, remarks, report
from ferlib.augment import Augment, Policy
from ferlib.finished import Run
from ferlib.measures import percent


def show_network(model: keras.Model, name: str) -> None:
    """Show a network as a table of its stages and as a drawing.

    Args:
        model: Network without nested networks.
        name: Start of the names of table and figure: ``<name>_stages`` and ``<name>_network``.
    """
    table = diagrams.table(model)
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
        caption=f"`{model.name}` drawn, each block what a stage returns. {_narrowing(model)}",
        alt=f"Block diagram, left to right: {'; '.join(stages['output'])}.",
        width="100%",
    )


def show_results(runs: Iterable[Run], name: str) -> None:
    """Show how rows were trained and how they do on PublicTest.

    Args:
        runs: Finished runs of one or several rows.
        name: Start of the names of tables: ``<name>_recipes`` and ``<name>_results``.
    """
    runs = list(runs)
    report.table(
        recipes(runs),
        f"{name}_recipes",
        caption="How the rows were trained, as they ran; “15 of 40” is less than the row was meant to have. "
        "Patience is the number of epochs without a better PublicTest accuracy after which training "
        "stops, warm-up the share of all steps in which the learning rate rises.",
    )
    table = results(runs)
    best = table[table["classes"] == table["classes"].max()]["PublicTest %"].idxmax()
    if table["classes"].nunique() == 1:
        table = table.drop(columns="classes")
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
        caption=f"Accuracy and loss over the epochs. {remarks.curves(run)}",
        alt="Two line plots against the epoch, accuracy and cross-entropy, each for training and PublicTest.",
        width="95%",
    )
    report.figure(
        plots.confusion_matrix(run.valid).figure,
        f"{name}_confusion",
        caption=f"Confusion matrix of `{run.experiment.id}` on PublicTest. {remarks.mistakes(run.valid)}",
        alt=f"Heat map of true against predicted emotions. {remarks.mistakes(run.valid)}",
        width="70%",
    )
    report.table(
        evaluate.per_class(run.valid),
        f"{name}_scores",
        caption=f"Scores of `{run.experiment.id}` on PublicTest, class by class. {remarks.scores(run.valid)}",
        formats=dict.fromkeys(["precision", "recall", "f1"], "{:.2f}"),
    )


def results(runs: Iterable[Run]) -> pd.DataFrame:
    """Return one row a row of the experiment table, averaged over its seeds, for people to read.

    Args:
        runs: Finished runs, tested on PublicTest only.

    Returns:
        Indexed by ``row``: number of classes, profile, seeds, epochs, training and PublicTest accuracy, the
        95 % interval of the latter over images and seeds, the gap between them, macro-F1 and accuracy
        reported elsewhere, in percent, and seconds of training.
    """
    table = {id: _summary(of_row) for id, of_row in compare.rows(runs).items()}
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("row")


def _summary(runs: Sequence[Run]) -> dict:
    means = pd.DataFrame([run.result for run in runs])[
        ["epochs", "best_epoch", "train_accuracy", "valid_accuracy", "train_seconds"]
    ].mean()
    low, high = remarks.accuracy(runs).interval()
    reported = runs[0].experiment.reported
    return {
        "classes": len(runs[0].valid.classes),
        "profile": runs[0].profile,
        "seeds": len(runs),
        "epochs": means["epochs"],
        "kept epoch": means["best_epoch"],
        "training %": 100 * means["train_accuracy"],
        "PublicTest %": 100 * means["valid_accuracy"],
        "interval %": f"{100 * low:.1f} to {100 * high:.1f}",
        "gap %": 100 * (means["train_accuracy"] - means["valid_accuracy"]),
        "macro-F1 %": 100 * np.mean([run.valid.macro_f1 for run in runs]),
        "reported elsewhere %": np.nan if reported is None else 100 * reported,
        "seconds": means["train_seconds"],
    }


def _narrowing(model: keras.Model) -> str:
    """Say how maps shrink and multiply on their way through a network."""
    maps = [stage.shape for stage in diagrams.stages(model) if len(stage.shape) == 3]
    first, last = maps[0], maps[-1]
    return (
        f"From {first[0]}×{first[1]} pixels the maps shrink to {last[0]}×{last[1]} while their number goes "
        f"from {first[2]} to {last[2]:,}."
    )


def recipes(runs: Iterable[Run]) -> pd.DataFrame:
    """Return how each row was trained, as it ran.

    Args:
        runs: Finished runs.

    Returns:
        Indexed by ``row``: number of images, policy of augmentation, optimizer, learning rate with schedule,
        warm-up, weight decay, batch size, most epochs and patience (with what the row was meant to have where
        that is more), label smoothing and decay of the weights' average.
    """
    names = {
        "images": "images",
        "policy": "augmentation",
        "optimizer": "optimizer",
        "learning_rate": "learning rate",
        "warmup": "warm-up",
        "weight_decay": "weight decay",
        "batch_size": "batch",
        "label_smoothing": "smoothing",
    }
    table = {}
    for id, (run, *_) in compare.rows(runs).items():
        row, meant = run.experiment, experiments.find(id)
        table[id] = {heading: getattr(row, field) for field, heading in names.items()} | {
            "images": run.result.get("images", row.images),
            "learning rate": f"{row.learning_rate:.3g} {row.schedule}",
            "epochs": _of(row.epochs, meant.epochs),
            "patience": _of(row.patience, meant.patience),
            "averaging": optimizers.averaging(row, row.epochs * run.result["steps_per_epoch"]),
        }
    frame = pd.DataFrame.from_dict(table, orient="index").rename_axis("row")
    for number in ("warm-up", "weight decay", "smoothing", "averaging"):
        frame[number] = frame[number].map("{:.3g}".format)
    return frame


def _of(number: int | None, meant: int | None) -> str:
    """Write a number with the one that was meant where that is another."""
    return "–" if number is None else f"{number}" if number == meant else f"{number} of {meant}"


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
