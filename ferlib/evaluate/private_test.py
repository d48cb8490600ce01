"""The one place that opens PrivateTest: finished runs predict it, and what follows from that is computed."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

import numpy as np
from tqdm import tqdm

from ferlib.data import votes
from ferlib.data.audit import Audit
from ferlib.data.fer2013 import Dataset, Split
from ferlib.evaluate import metrics
from ferlib.labels import CLASSES
from ferlib.train import predicting, record, targets
from ferlib.train.record import Run


def open_private_test(runs: Iterable[Run], dataset: Dataset, audit: Audit) -> list[Run]:
    """Predict on PrivateTest what was not predicted before, and store it with each run.

    The only function by which runs meet ``dataset.test``. Notebooks 05 and 07 and ``ferlib record`` call it,
    for finished runs alone: everything in them was chosen on PublicTest. Quick runs see as many images as
    they saw of PublicTest. The runs come back with test predictions, in the same order.
    """
    runs = list(runs)
    waiting = sum(run.test is None for run in runs)
    with tqdm(total=waiting, desc="PrivateTest", disable=not waiting, mininterval=5) as bar:
        return [_opened(run, dataset, audit, bar) if run.test is None else run for run in runs]


def _opened(run: Run, dataset: Dataset, audit: Audit, bar: tqdm) -> Run:
    """Predict PrivateTest with one run's weights."""
    part, views = targets.judged(run.experiment, dataset.test), "flip" if run.profile == "quick" else "ten"
    network = run.model()
    test, averaged = map(record.rounded, predicting.predict_views(network, part, views=views))
    scores = figures(replace(run, test=test, test_tta=averaged), dataset, audit)
    bar.update()
    return record.with_test(run, test, averaged, **scores, views=views, opened=date.today().isoformat())


def figures(run: Run, dataset: Dataset, audit: Audit) -> dict[str, float]:
    """Return all of a run's result that follows from its predictions, by the names of its columns."""
    clean = run.test.take(leak_free_images(run, dataset.test, audit))
    temperature = metrics.fit_temperature(run.valid)
    scaled = metrics.with_temperature(run.test, temperature)
    cast, by_crowd = votes.of(targets.judged(run.experiment, dataset.test)), {}
    if cast is not None and run.test.classes == CLASSES:
        seen = votes.majority(cast)
        by_crowd["crowd_accuracy"] = float((run.test.predicted == seen)[seen >= 0].mean())
    return {
        "valid_accuracy": run.valid.accuracy,
        "test_images": len(run.test),
        "test_accuracy": run.test.accuracy,
        "macro_f1": run.test.macro_f1,
        "balanced_accuracy": run.test.balanced_accuracy,
        "leak_free_accuracy": clean.accuracy,
        "leak_free_macro_f1": clean.macro_f1,
        "leak_free_balanced_accuracy": clean.balanced_accuracy,
        "leak_free_images": len(clean),
        "test_accuracy_tta": run.test_tta.accuracy,
        "calibration_error": metrics.expected_calibration_error(run.test),
        "temperature": temperature,
        "calibration_error_scaled": metrics.expected_calibration_error(scaled),
        **by_crowd,
    }


def leak_free(runs: Iterable[Run], dataset: Dataset, audit: Audit) -> list[Run]:
    """Return tested runs with those predictions alone whose images have no copy, exact or near, in training.

    Their results stay as they are.
    """
    free = [[leak_free_images(run, split, audit) for split in (dataset.valid, dataset.test)] for run in runs]
    return [
        replace(run, valid=run.valid.take(valid), test=run.test.take(test))
        for run, (valid, test) in zip(runs, free, strict=True)
    ]


def leak_free_images(run: Run, split: Split, audit: Audit) -> np.ndarray:
    """Return which of the images of a split that a run is tested on have no copy in training: bool (n,)."""
    # The audit's answers travel in place of the names, to meet the same selection of images.
    return targets.judged(run.experiment, replace(split, names=audit.leak_free(split.name))).names
