"""The network that ships: which run it comes from, and its model card."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from string import Template

from ferlib import paths
from ferlib.data import votes
from ferlib.data.fer2013 import Dataset
from ferlib.evaluate import crowd, metrics
from ferlib.evaluate.crowd import Judged
from ferlib.labels import CLASSES, FerlibError
from ferlib.live.network import load_model
from ferlib.tools import export
from ferlib.train import record
from ferlib.train.predicting import Predictions
from ferlib.train.record import Run
from ferlib.words import interval, listed, percent

TEMPLATE = Path(__file__).with_name("model_card.md")
BASELINES = ("prior", "logistic")
"""Networks that only show what others must be better than."""


def ship(id: str, dataset: Dataset) -> str:
    """Export the best finished run of a row as a network that ships, its model card beside it.

    What ships with ferlib is trained on real faces, at more than quick scale, and is no baseline; what people
    taught takes the place of what people taught, and likewise for labels. Once a run was tested, its results
    and Keras weights go into the record, too. Any run goes into another folder that ``FERLIB_WEIGHTS`` names.
    Returns a sentence that says what was written where.
    """
    found = [*record.read_record(dataset), *record.runs(dataset)]
    with_weights = [run for run in found if run.experiment.id == id and run.weights]
    if not with_weights:
        raise FerlibError(f"no finished run of {id} has its weights here; train it with: ferlib train {id}")
    run = max(with_weights, key=lambda run: (run.profile == "full", run.result.get("judged_accuracy", 0)))
    elsewhere = export.elsewhere()
    if not elsewhere and (reason := _unfit(run, dataset)):
        raise FerlibError(
            f"{id} does not take the place of the network that ships: {reason}; to export it nevertheless, "
            "set FERLIB_WEIGHTS to another folder"
        )
    graph = export.export(run, dataset)
    if not elsewhere and run.test is not None and run.directory is not None:
        record.publish([run])
        record.keep_weights(run)  # Grad-CAM needs the network in Keras
    told = f"{id} (seed {run.seed}, profile {run.profile}) is now {graph}"
    if dataset.train.classes != CLASSES:
        return told  # the card speaks of FER-2013
    target = graph.with_name("MODEL_CARD.md")
    text = model_card(run, load_model(graph.parent).metadata, dataset)
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


def model_card(run: Run, metadata: Mapping, dataset: Dataset) -> str:
    """Describe an exported network in Markdown, with the figures of its run by both truths.

    PrivateTest speaks where it was opened for this run, PublicTest where not.
    """
    on, split = ("valid", "PublicTest") if run.test is None else ("test", "PrivateTest")
    predictions, by_people = getattr(run, on), run.experiment.target != "label"
    voted = votes.of(getattr(dataset, on)) is not None
    people = crowd.judge([run], dataset, on)[0] if voted else None
    facts = {
        **run.result,
        **_origin(run, metadata),
        "teachers": "what ten people see (FER+)" if by_people else "FER-2013's labels",
        "by_people": _by_people(people, split) if people else "",
        "by_labels": _by_labels(run, split, predictions),
        "scores": _scores(predictions, people),
        **_extremes(_as_people_see(people) if by_people else predictions),
        **_calibration(predictions, metadata["temperature"], people if by_people else None),
        "split": split,
        "same_images": " (the images it was fitted on)" if run.test is None else "",
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(facts)


def _origin(run: Run, metadata: Mapping) -> dict[str, str]:
    """Return what was trained, how, and what file came of it, as the card says it."""
    row, result = run.experiment, run.result
    return {
        "experiment": row.id,
        "group": row.group,
        "title": row.title,
        **{name: f"{result[name]:,}" for name in ("images", "parameters")},
        "sha256": metadata["sha256"],
        "classes": ", ".join(run.valid.classes),
        "megabytes": f"{metadata['bytes'] / 1e6:.1f}",
        "macs": f"{result['macs'] / 1e6:.0f}",
        "fingerprint": result["fingerprint"][:16],
        "minutes": f"{result['train_seconds'] / 60:.0f}",
        "temperature": f"{metadata['temperature']:.2f}",
    }


def _by_people(people: Judged, split: str) -> str:
    found = crowd.table([people]).iloc[0]

    def share(name):
        ends = interval(found[f"{name}_low"], found[f"{name}_high"], unit=" %")
        return f"{percent(found[name])} (95 % interval {ends}) of {found[f'{name}_images']:,.0f} images"

    found["crowd_images"] = found["images"]
    return (
        f"By ten people: {share('crowd')} of {split} get the emotion that ten people name most often, and "
        f"{share('agreed')} on which at least six of ten agree.\n\n"
    )


def _by_labels(run: Run, split: str, predictions: Predictions) -> str:
    low, high = metrics.ratio([predictions.correct]).interval()
    told = (
        f"By FER-2013's labels: {percent(predictions.accuracy)} of {len(predictions):,} images of {split} "
        f"(95 % interval {interval(low, high, unit=' %')}), macro-F1 {predictions.macro_f1:.3f}."
    )
    if run.test is None:
        return told + " The epoch was chosen on these images; PrivateTest has not been opened for this run."
    views = f", {percent(run.result['test_accuracy_tta'])} averaged over several views of each image"
    leaks = f" and {percent(run.result['leak_free_accuracy'])} on images with no copy in the training split"
    return told[:-1] + views + leaks + "."


def _as_people_see(people: Judged) -> Predictions:
    """Return predictions whose labels are the crowd's answers."""
    known = people.seen >= 0
    return replace(people.predictions[0].take(known), labels=people.seen[known])


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


def _calibration(predictions: Predictions, temperature: float, people: Judged | None) -> dict[str, str]:
    """Return the calibration error before and after scaling, against the truth that taught the network."""
    hits, truth = None, "the labels"
    if people:
        enough, truth = votes.enough(people.cast), "the shares of people's votes"
        predictions, hits = people.predictions[0].take(enough), people.confirmed[0, enough]
    scaled = metrics.with_temperature(predictions, temperature)
    before, after = (metrics.expected_calibration_error(each, hits) for each in (predictions, scaled))
    return {"error_before": percent(before), "error_after": percent(after), "truth": truth}


def _scores(predictions: Predictions, people: Judged | None) -> str:
    """Write the recall of each emotion by labels, and by people where they voted."""
    truths = ({"seen by people": _as_people_see(people)} if people else {}) | {"labelled": predictions}
    tables = [metrics.recall_intervals(truth) for truth in truths.values()]
    heads = [f"{how} so: images | of these named so | 95 % interval" for how in truths]
    lines = [f"| emotion | {' | '.join(heads)} |", "|---|" + "--:|" * 3 * len(truths)]
    for name in tables[-1].index:
        cells = [name]
        for table in tables:
            if name in table.index:
                ends = interval(table.loc[name, "low"], table.loc[name, "high"], unit=" %")
                support, recall = table.loc[name, ["support", "recall"]]
                cells += [f"{support:.0f}", percent(recall), ends]
            else:
                cells += ["0", "–", "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
