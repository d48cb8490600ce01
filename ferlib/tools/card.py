"""The network that ships: which run it comes from, and its model card."""

import os
from collections.abc import Mapping
from pathlib import Path
from string import Template

from ferlib import paths
from ferlib.data.fer2013 import Dataset
from ferlib.evaluate import metrics, resampling
from ferlib.labels import CLASSES, FerlibError
from ferlib.live.network import load_model
from ferlib.tools import export
from ferlib.train import record
from ferlib.train.experiments import PROFILES
from ferlib.train.predicting import Predictions
from ferlib.train.record import Run
from ferlib.words import listed, percent

TEMPLATE = Path(__file__).with_name("model_card.md")
BASELINES = ("prior", "logistic")
"""Networks that only show what others must be better than."""


def ship(id: str, dataset: Dataset) -> str:
    """Export the best finished run of a row as the network in use, and write its model card.

    What ships with ferlib is trained on real faces, at more than quick scale, and is no baseline. Once
    chapter 5 has tested it, its results and Keras weights go into the record, too. With ``FERLIB_WEIGHTS``
    any run goes into that folder, with a card beside it where it learned from FER-2013.

    Args:
        id: Row of the experiment table.
        dataset: What it was trained on.

    Returns:
        A sentence that says what was written where.

    Raises:
        FerlibError: No run of that row has its weights here, or it is not to ship, or can't be exported.
    """
    with_weights = [run for run in record.runs(dataset) if run.experiment.id == id and run.weights]
    if not with_weights:
        raise FerlibError(f"no finished run of {id} has its weights here; train it with: ferlib train {id}")
    scale = list(PROFILES).index  # a network trained in full ships rather than one that was not
    run = max(with_weights, key=lambda run: (scale(run.profile), run.result["valid_accuracy"]))
    elsewhere = os.environ.get("FERLIB_WEIGHTS")
    if not elsewhere and (reason := _unfit(run, dataset)):
        raise FerlibError(
            f"{id} does not take the place of the network that ships: {reason}; to export it nevertheless, "
            "set FERLIB_WEIGHTS to another folder"
        )
    graph = export.export(run, metrics.fit_temperature(run.valid))
    if not elsewhere and run.test is not None:
        record.publish([run])
        record.keep_weights(run)  # Grad-CAM needs the network in Keras
    told = f"{id} (seed {run.seed}, profile {run.profile}) is now {graph}"
    if dataset.train.classes != CLASSES:
        return told  # the card speaks of FER-2013
    target = (graph.parent if elsewhere else paths.root()) / "MODEL_CARD.md"
    text = model_card(run, load_model(graph.parent).metadata)
    if dataset.is_demo:
        text = text.replace("\n", f"\n\n**It saw {dataset.source}: no number here is a finding.**\n", 1)
    with paths.written_atomically(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return f"{told}; {target} describes it"


def _unfit(run: Run, dataset: Dataset) -> str:
    """Say why a run must not ship, or nothing."""
    if dataset.is_demo:
        return "it learned from drawn demo faces"
    if run.valid.classes != CLASSES:
        return f"it knows {listed(run.valid.classes)}, not FER-2013's seven classes"
    if run.profile == "quick":
        return f"it was trained quickly, on few images (ferlib train {run.experiment.id} --profile full)"
    return "it is a baseline" if run.experiment.model in BASELINES else ""


def model_card(run: Run, metadata: Mapping) -> str:
    """Describe an exported network in Markdown, with the figures of its run.

    PrivateTest speaks where chapter 5 has opened it for this run, PublicTest where not.
    """
    split, predictions = ("PublicTest", run.valid) if run.test is None else ("PrivateTest", run.test)
    scaled = metrics.with_temperature(predictions, metadata["temperature"])
    errors = [metrics.expected_calibration_error(each) for each in (predictions, scaled)]
    facts = run.result | {
        "experiment": run.experiment.id,
        "group": run.experiment.group,
        "title": run.experiment.title,
        "images": f"{run.result['images']:,}",
        "classes": ", ".join(run.valid.classes),
        "megabytes": f"{metadata['bytes'] / 1e6:.1f}",
        "sha256": metadata["sha256"],
        "parameters": f"{run.result['parameters']:,}",
        "macs": f"{run.result['macs'] / 1e6:.0f}",
        "fingerprint": run.result["fingerprint"][:16],
        "minutes": f"{run.result['train_seconds'] / 60:.0f}",
        "temperature": f"{metadata['temperature']:.2f}",
        "standing": _standing(run, split, predictions),
        "split": split,
        "scores": _scores(predictions),
        **_extremes(predictions),
        "error_before": percent(errors[0]),
        "error_after": percent(errors[1]),
        "same_images": " (the images it was fitted on)" if run.test is None else "",
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(facts)


def _standing(run: Run, split: str, predictions: Predictions) -> str:
    low, high = resampling.accuracy([predictions], row=run.experiment.id).interval()
    told = (
        f"{percent(predictions.accuracy)} of {len(predictions):,} images of {split} are named as labelled "
        f"(95 % interval {percent(low)} to {percent(high)}), macro-F1 {predictions.macro_f1:.3f}."
    )
    if run.test is None:
        return told + " The epoch was chosen on these images; PrivateTest has not been opened for this run."
    views = f", {percent(run.result['test_accuracy_tta'])} averaged over several views of each image"
    leaks = f" and {percent(run.result['leak_free_accuracy'])} on images with no copy in the training split"
    return told[:-1] + views + leaks + "."


def _extremes(predictions: Predictions) -> dict[str, str]:
    """Return which emotions are recognized best and worst, and what the worst is taken for."""
    recall = metrics.recall_intervals(predictions)["recall"]
    taken = metrics.confusion(predictions).loc[recall.idxmin()].drop(recall.idxmin())
    return {
        "easiest": recall.idxmax(),
        "easiest_recall": percent(recall.max()),
        "hardest": recall.idxmin(),
        "hardest_recall": percent(recall.min()),
        "taken_for": taken.idxmax(),
        "taken_share": percent(taken.max()),
    }


def _scores(predictions: Predictions) -> str:
    scores, recall = metrics.per_class(predictions).iloc[:-1], metrics.recall_intervals(predictions)
    lines = [
        "| emotion | images | precision | recall | recall, 95 % interval | F1 |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, row in scores.iterrows():
        between = f"{percent(recall.loc[name, 'low'])} to {percent(recall.loc[name, 'high'])}"
        cells = (name, f"{row['support']:.0f}", percent(row["precision"]), percent(row["recall"]), between)
        lines.append(f"| {' | '.join(cells)} | {row['f1']:.3f} |")
    return "\n".join(lines)
