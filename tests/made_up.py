"""Runs that nobody trained, for tests of what is made from runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ferlib.data.fer2013 import Dataset, Split
from ferlib.labels import CLASSES
from ferlib.train import experiments, record
from ferlib.train.predicting import Predictions
from ferlib.train.record import Run

FINGERPRINT = "f" * 64


def predictions(accuracy, seed=0, images=600, classes=CLASSES, wrong=None):
    """Predictions that are right in a share of the images.

    Args:
        accuracy: The share, or one share a class.
        seed: Of what is right and of the mistakes; the labels are the same for every seed.
        images: How many.
        classes: Class names.
        wrong: Class name to the class that its mistakes go to; at random without.
    """
    labels = np.random.default_rng(7).integers(0, len(classes), images)
    generator = np.random.default_rng(seed)
    right = generator.random(images) < np.broadcast_to(accuracy, len(classes))[labels]
    mistakes = (labels + generator.integers(1, len(classes), images)) % len(classes)
    for true, told in (wrong or {}).items():
        mistakes[labels == classes.index(true)] = classes.index(told)
    probabilities = np.full((images, len(classes)), 0.2 / (len(classes) - 1), "float32")
    probabilities[np.arange(images), np.where(right, labels, mistakes)] = 0.8
    return Predictions(labels, probabilities, np.arange(images).astype(str), classes)


def run(id, accuracy=0.6, seed=0, *, profile="full", train_accuracy=0.7, tested=True, images=600, **result):
    """A finished run of a row of the experiment table; keywords change its result."""
    row = experiments.at(experiments.find(id), profile)
    draw = 1000 * list(experiments.EXPERIMENTS).index(id) + seed
    wrong = result.pop("wrong", None)
    classes = row.classes or CLASSES
    valid, test = (predictions(accuracy, draw + split, images, classes, wrong) for split in (0, 500))
    epochs = np.arange(1, 11)
    history = pd.DataFrame({name: np.linspace(0.3, 0.6, 10) for name in record.HISTORY}).assign(epoch=epochs)
    facts = {
        "experiment": id,
        "seed": seed,
        "profile": profile,
        "images": 28_709,
        "parameters": 10**6 + 1000 * draw,
        "macs": 3 * 10**7,
        "epochs": 10,
        "best_epoch": 10,
        "clean_train_accuracy": train_accuracy,
        "valid_accuracy": valid.accuracy,
        "train_seconds": 60.0 + draw % 7,
        "seconds_per_epoch": 6.0,
        "steps_per_epoch": 448,
        "device": "some GPU",
        "fingerprint": FINGERPRINT,
    }
    if tested:
        facts |= {
            "test_accuracy": test.accuracy,
            "macro_f1": test.macro_f1,
            "balanced_accuracy": test.balanced_accuracy,
            "leak_free_accuracy": test.accuracy,
            "test_accuracy_tta": test.accuracy + 0.01,
            "calibration_error": 0.1,
            "calibration_error_scaled": 0.02,
            "temperature": 1.5,
        }
    made = Run(row, seed, profile, facts | result, history, valid, test if tested else None)
    return replace(made, test_tta=made.test)


def dataset(images=120, is_demo=False):
    """A dataset of noise whose labels are those of `predictions`."""
    generator = np.random.default_rng(0)
    labels = np.random.default_rng(7).integers(0, len(CLASSES), images)
    pixels = generator.integers(0, 256, (images, 48, 48, 1), dtype="uint8")
    splits = [
        Split(name, pixels, labels, np.arange(images).astype(str)) for name in ("train", "valid", "test")
    ]
    return Dataset(*splits, source="noise", fingerprint=FINGERPRINT, location=None, is_demo=is_demo, notes=())


class Audit:
    """Says that every second image of PrivateTest is leak-free."""

    def leak_free(self, split_name):
        assert split_name == "test"
        return np.arange(len(dataset().test)) % 2 == 0


class Poison:
    """A test split that must not be touched."""

    def __getattr__(self, name):
        raise AssertionError(f"test.{name} was read")


def directory(run: Run) -> Path:
    """The folder of a run in runs/."""
    return record.directory(run.experiment, run.seed, run.profile, run.result["fingerprint"])


def saved(run: Run) -> Run:
    """The run as it stands in runs/."""
    record.save(run, directory(run) / record.RUN_FILE)
    return record.load_run(directory(run))


def same(first: Predictions, second: Predictions) -> bool:
    return (
        np.array_equal(first.labels, second.labels)
        and np.array_equal(first.names, second.names)
        and first.classes == second.classes
        and np.array_equal(first.probabilities, second.probabilities)
    )
