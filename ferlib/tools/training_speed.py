"""How fast training, predicting, reading and augmenting are here, each beside what else one would use.

Alternatives take turns, a round each, and the medians of all rounds are compared, so that whatever else
the machine does slows both.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import keras
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from ferlib import paths
from ferlib.data import demo, fer2013, readers
from ferlib.data.fer2013 import Dataset, Split
from ferlib.labels import KAGGLE_SPLITS
from ferlib.train import backbones, experiments, machine, models, predicting, trainer
from ferlib.train.augmentation import POLICIES, Augment
from ferlib.train.experiments import Experiment
from ferlib.train.fitting import Fitting
from ferlib.train.layers import make_plain

COLUMNS = ("part", "task", "value", "unit", "against", "other", "ratio")
"""One line a task: its figure, that of what it is compared with, and how many times better it is."""

RACES = {
    "GPU": (("deep_both", 0.6862, 40, 20.0), ("best", 0.73, 60, 90.0)),
    "processor": (("lean", 0.6555, 30, 900.0), ("lean", 0.6862, 60, 1800.0)),
}
"""Rows that race on a device: to which PublicTest accuracy, in how many epochs, in how many seconds at most.

What earlier course reports end with, and on a GPU what the best published single networks do.
"""

LARGE = 2 * 10**8
"""Multiplications an image from which a network trains in batches of 16 rather than 64 on a CPU: on two
cores ResNet50 takes ten seconds for 64 faces."""


NETWORKS = tuple(name for name in models.MODELS if name not in backbones.PRETRAINED)
"""Those that start from random weights."""


def run(dataset: Dataset, *, race: bool = False, quick: bool = False) -> pd.DataFrame:
    """Measure this machine: on two CPU cores about ten minutes, or one if quick; PrivateTest is not read.

    A race trains whole networks, and is measured alone. Quick are fewer images and rounds, and no networks
    above `LARGE`. Returns columns `COLUMNS`, then device, backend, commit and date. A ratio above 1 says that
    ours is better; where there is nothing to compare with it is missing.
    """
    if race:
        parts = {"race": _race(dataset, quick)}
    else:
        networks = [name for name in NETWORKS if not quick or models.macs(models.build(name)) <= LARGE]
        parts = {
            "networks": _networks(dataset, networks, quick),
            "latency": _latency(dataset, networks, quick),
            "reading": _reading(dataset, quick),
            "augmentation": _augmentation(dataset, quick),
        }
    tasks = ((part, *task) for part, lines in parts.items() for task in lines)
    measured = pd.DataFrame(tqdm(tasks, "measuring", unit=" tasks"), columns=list(COLUMNS[:-1]))
    value, other = measured["value"], measured["other"]
    measured["ratio"] = (value / other).where(measured["unit"] == "images/s", other / value)
    about = {"device": machine.name(), "backend": keras.backend.backend()}
    return measured.assign(**about, commit=machine.commit(), date=machine.now())


def describe(measured: pd.DataFrame) -> str:
    """Write measurements as a table for people."""

    def figure(number: float) -> str:
        return "" if np.isnan(number) else f"{number:,.0f}" if number >= 100 else f"{number:.3g}"

    figures = {name: measured[name].map(figure) for name in ("value", "other", "ratio")}
    table = measured[list(COLUMNS)].assign(**figures).to_string(index=False)
    return f"{table}\n\n{machine.hardware()}; Keras on {keras.backend.backend()}"


def save(measured: pd.DataFrame) -> Path:
    """Add measurements to ``speed.csv`` of the record, in place of those of the same task and device."""
    table = paths.record() / "speed.csv"
    if table.exists():
        measured = pd.concat([pd.read_csv(table, keep_default_na=False, na_values=[""]), measured])
    measured = measured.fillna({"against": ""})
    measured = measured.drop_duplicates(["part", "task", "against", "device", "backend"], keep="last")
    with paths.written_atomically(table) as temporary:
        measured.to_csv(temporary, index=False)
    return table


def _seconds_to(history: pd.DataFrame, accuracy: float) -> float:
    """Return the seconds of training until an accuracy on PublicTest, infinite where it was not reached.

    The first epoch, which also compiles, counts as one of median length.
    """
    reached = np.flatnonzero(history["valid_accuracy"] >= accuracy)
    if len(reached) == 0:
        return np.inf
    seconds = history["seconds"].to_numpy(copy=True)
    seconds[0] = np.median(seconds[1:]) if len(seconds) > 1 else seconds[0]
    return float(seconds[: reached[0] + 1].sum())


def _seconds(tasks: Mapping[str, Callable[[], object]], rounds: int, of=np.median) -> dict[str, float]:
    """Return the median of the seconds that a task takes, or says that it took; a first round warms up."""
    seconds = {name: [] for name in tasks}
    for _ in range(rounds + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            own = task()
            seconds[name].append(own if isinstance(own, float) else time.perf_counter() - start)
    return {name: float(of(taken[1:])) for name, taken in seconds.items()}


def _networks(dataset: Dataset, networks: list[str], quick: bool):
    """Train with ferlib, as a tutorial would and in PyTorch where it is installed, and predict."""
    for name in networks:
        work = models.macs(models.build(name))
        batch = 16 if work > LARGE and not machine.gpus() else 64
        longest = 400 if machine.gpus() or not quick else 2
        # Some seconds an epoch, so that what an epoch costs beside its steps weighs as little as in a run.
        steps = int(np.clip(5e10 / (work * batch), 1, longest)) if work else 1
        some = fer2013.subset(dataset.train, steps * batch, 0)
        row = Experiment("bench", "bench", name, name, batch_size=batch, patience=None, precision="auto")
        fitting = Fitting(row, 0, some, some.take(np.arange(8)))
        tasks = {
            "ours": lambda fitting=fitting: float(fitting.epoch()["seconds"]),
            "fit": _tutorial(name, some, batch),
            "predict": lambda fitting=fitting, some=some: predicting.outputs(
                fitting.network, np.asarray(some.images), min(256, len(some))
            ),
        }
        if find_spec("torch"):
            from ferlib.tools import pytorch

            tasks["torch"] = pytorch.epoch(models.build(name), some, batch, fitting.precision)
        rates = {task: len(some) / taken for task, taken in _seconds(tasks, 2 if quick else 3).items()}
        yield f"train {name}", rates["ours"], "images/s", "a plain Keras fit", rates["fit"]
        if "torch" in rates:
            yield f"train {name}", rates["ours"], "images/s", "PyTorch", rates["torch"]
        yield f"predict with {name}", rates["predict"], "images/s", "", np.nan


def _tutorial(name: str, split: Split, batch_size: int) -> Callable[[], object]:
    """Return an epoch as one would write it with Keras alone: float32, and Keras' own layers."""
    network = make_plain(models.build(name, len(split.classes)))
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images = np.asarray(split.images, "float32")
    return lambda: network.fit(images, split.labels, batch_size=batch_size, verbose=0)


def _latency(dataset: Dataset, networks: list[str], quick: bool):
    """Read one image, as a camera with one face gives them.

    The fastest round counts: whatever else the machine does can only slow a time this short.
    """
    image = np.asarray(dataset.train.images[:1])
    built = {name.removesuffix("_scratch"): models.build(name, pretrained=False) for name in networks}
    tasks = {name: partial(network.predict_on_batch, image) for name, network in built.items()}
    for name, taken in _seconds(tasks, 20 if quick else 300, min).items():
        yield f"one image with {name}", 1000 * taken, "ms", "", np.nan


def _reading(dataset: Dataset, quick: bool):
    """Read the same images from files and from a table."""
    some = fer2013.subset(dataset.train, 700 if quick else 7000, 0)
    with paths.scratch() as place, patch.dict(os.environ, FERLIB_CACHE=str(place)):
        tasks = _ways_to_read(some, place)
        rates = {task: len(some) / taken for task, taken in _seconds(tasks, 2 if quick else 3).items()}
    for task in ("zip", "folder", "cache"):
        for other in ("Pillow", "image_dataset_from_directory"):
            if other in rates:
                yield f"read from the {task}", rates[task], "images/s", other, rates[other]
    yield "read from the csv", rates["csv"], "images/s", "pandas", rates["pandas"]


def _ways_to_read(split: Split, where: Path) -> dict[str, Callable[[], object]]:
    """Write images as Kaggle's folders, in a zip and as the competition's csv; return their readers."""
    # Of each class in turn, for every class must occur in training and test.
    splits = np.array([0, 0, 1, 2])[np.argsort(np.argsort(split.labels, kind="stable")) % 4]
    names = [f"{tuple(KAGGLE_SPLITS)[place]}_{number}.jpg" for number, place in enumerate(splits)]
    faces = demo.Faces(split.images, split.labels, splits, np.array(names))
    folder, archive = demo.write_folders(faces, where / "a"), demo.write_zip(faces, where / "archive.zip")
    table = demo.write_csv(faces, where / "fer2013.csv")
    pictures = {"color_mode": "grayscale", "image_size": (48, 48), "batch_size": 256, "verbose": False}

    def by_keras():
        batches = keras.utils.image_dataset_from_directory(folder, **pictures)
        return np.concatenate([images for images, _ in batches])

    tasks = {
        "zip": lambda: readers.read(archive).faces.images,
        "folder": lambda: readers.read(folder).faces.images,
        "csv": lambda: readers.read(table).faces.images,
        "cache": lambda: np.concatenate([split.images for split in fer2013.load(archive).splits]),
        "Pillow": lambda: np.stack([np.asarray(Image.open(file)) for file in folder.rglob("*.jpg")]),
        "pandas": lambda: np.stack([np.array(text.split(), "uint8") for text in pd.read_csv(table).pixels]),
    }
    return tasks | ({"image_dataset_from_directory": by_keras} if find_spec("tensorflow") else {})


def _augmentation(dataset: Dataset, quick: bool):
    """Flip, rotate, zoom and shift in one resample, and in one layer after the other."""
    some = fer2013.subset(dataset.train, 512 if quick else 2048, 0)
    images, policy = np.asarray(some.images, "float32"), POLICIES["standard"]
    usual = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomRotation(policy.rotation / 360, fill_mode="nearest"),
        keras.layers.RandomZoom(policy.scale, fill_mode="nearest"),
        keras.layers.RandomTranslation(policy.shift, policy.shift, fill_mode="nearest"),
    ]
    tasks = {}
    for name, layers in (("ours", [Augment(policy, 0)]), ("stacked", usual)):
        x = inputs = keras.Input(images.shape[1:])
        for layer in layers:
            x = layer(x, training=True)
        model = keras.Model(inputs, x)
        tasks[name] = lambda model=model: model.predict(images, batch_size=256, verbose=0)
    rates = {task: len(images) / taken for task, taken in _seconds(tasks, 3 if quick else 7).items()}
    yield "augment", rates["ours"], "images/s", "Keras' layers stacked", rates["stacked"]


def _race(dataset: Dataset, quick: bool):
    """Train rows anew, in fewer epochs, until they are as good as others report or we want."""
    for id, accuracy, epochs, limit in RACES["GPU" if machine.gpus() else "processor"]:
        row = replace(experiments.find(id), epochs=epochs)
        fitting = trainer.start(experiments.at(row, "quick" if quick else "full"), 0, dataset)
        while not fitting.finished and fitting.epoch()["valid_accuracy"] < accuracy:
            pass
        taken = _seconds_to(pd.DataFrame(fitting.history), accuracy)
        yield f"{id} to {accuracy:.2%} of PublicTest", taken, "s", "limit", limit
