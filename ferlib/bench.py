"""How fast the live view is, stage by stage, and beside the package fer."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ferlib import draw
from ferlib.data import Dataset
from ferlib.labels import FerlibError
from ferlib.live import Tracker
from ferlib.network import Network, load_model, weights_folder

FER_PACKAGE = {
    "first answer, s": 7.1,
    "a 640x480 frame, ms": 63.0,
    "memory, MB": 694.0,
    "accuracy on PublicTest": 0.652,
}
"""What fer 25.10.3 took on two processor cores: for readers who don't install its 8 GB to compare."""

_OURS = """
import ferlib, cv2
picture = cv2.imread({photo!r})
classify = lambda: ferlib.predict(picture)
"""
_FER = """
import cv2, logging
logging.disable(logging.INFO)
from fer.fer import FER
fer, picture = FER(), cv2.imread({photo!r})
classify = lambda: fer.detect_emotions(picture)
"""
_MEASURE = """
import time
start = time.perf_counter()
{prepare}
first = classify()
ready = time.perf_counter() - start
times = []
for _ in range({frames}):
    start = time.perf_counter()
    classify()
    times.append(time.perf_counter() - start)
import psutil
memory = psutil.Process().memory_info().rss / 1e6
import json
frame = 1000 * sorted(times)[len(times) // 2]
print(json.dumps({{"first answer, s": ready, "a 640x480 frame, ms": frame, "memory, MB": memory}}))
"""


def latencies(network: Network, picture: np.ndarray, frames: int = 120) -> pd.DataFrame:
    """Time the stages of the live view on a picture that moves a little from frame to frame.

    Args:
        network: Classifies the faces.
        picture: uint8 (height, width, 3), blue, green, red.
        frames: How many frames to time, after ten that don't count.

    Returns:
        Indexed by ``stage``: detection (in all frames, where the whole picture is searched, and where only
        surroundings of known faces are), network, drawing, and all together; ``frames`` (how many count),
        ``p50`` and ``p95`` in milliseconds.
    """
    tracker, rows = Tracker(network), []
    for number in range(frames + 10):
        moved = np.roll(picture, number % 20, axis=1)
        start = time.perf_counter()
        people = tracker.update(moved, number / 30)
        middle = time.perf_counter()
        draw.live_view(moved, people, 30)
        end = time.perf_counter()
        rows.append({**tracker.took, "drawing": end - middle, "all": end - start, "full": tracker.everywhere})
    timed = pd.DataFrame(rows[10:])
    stages = {
        "detection": timed["detection"],
        "detection, whole picture": timed.loc[timed["full"], "detection"],
        "detection, around known faces": timed.loc[~timed["full"], "detection"],
        "network": timed["network"],
        "detection and network": timed["detection"] + timed["network"],
        "drawing": timed["drawing"],
        "all": timed["all"],
    }
    table = {
        stage: (len(times), *(1000 * times.quantile([0.5, 0.95])))
        for stage, times in stages.items()
        if len(times)
    }
    return pd.DataFrame.from_dict(table, orient="index", columns=["frames", "p50", "p95"]).rename_axis(
        "stage"
    )


def start_up(photo: np.ndarray, folder: Path | None = None, frames: int = 30) -> dict[str, float]:
    """Measure a fresh process that loads ferlib and classifies a photo: first answer, next ones, memory.

    Args:
        photo: uint8 (height, width, 3), blue, green, red.
        folder: Folder of the network; None takes the shipped one.
        frames: How many more times it classifies the photo.

    Returns:
        ``first answer, s``, ``a 640x480 frame, ms`` (median, whole picture searched, for a photo of that
        size) and ``memory, MB`` (largest resident set).
    """
    return _in_fresh_process(_OURS, photo, frames, {"FERLIB_WEIGHTS": str(folder or weights_folder())})


def _in_fresh_process(prepare: str, photo: np.ndarray, frames: int, environment: dict) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "photo.png")
        cv2.imwrite(path, photo)
        code = _MEASURE.format(prepare=prepare.format(photo=path), frames=frames)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
        )
    if done.returncode:
        raise FerlibError(f"the measured process failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def live(dataset: Dataset, photo: np.ndarray, folder: Path | None = None) -> pd.DataFrame:
    """Compare the live view with the package fer: start, speed, memory, and accuracy on PublicTest crops.

    Where fer is installed it is measured on this machine, else its figures in `FER_PACKAGE` stand in.

    Args:
        dataset: FER-2013; the images are the crops.
        photo: uint8 (480, 640, 3), blue, green, red, with one face.
        folder: Folder of the network; None takes the shipped one.

    Returns:
        Indexed by what is measured: ``ferlib``, ``fer``, ``ratio`` (above 1 where ferlib is better) and
        ``fer_measured`` (here, or elsewhere).
    """
    network = load_model(folder)
    predicted = network.probabilities(dataset.valid.images).argmax(axis=1)
    ours = start_up(photo, folder)
    ours["a followed 640x480 frame, ms"] = latencies(network, photo).loc["detection and network", "p50"]
    ours["accuracy on PublicTest"] = float((predicted == dataset.valid.labels).mean())
    theirs, here = dict(FER_PACKAGE), importlib.util.find_spec("fer") is not None
    if here:
        theirs |= _in_fresh_process(_FER, photo, 30, {"TF_CPP_MIN_LOG_LEVEL": "3"})
        theirs["accuracy on PublicTest"] = _accuracy_of_fer(dataset)
    theirs["a followed 640x480 frame, ms"] = theirs["a 640x480 frame, ms"]  # it follows nothing
    table = pd.DataFrame({"ferlib": ours, "fer": pd.Series(theirs)}).loc[list(ours)]
    more_is_better = table.index.str.startswith("accuracy")
    ratio = np.where(more_is_better, table["ferlib"] / table["fer"], table["fer"] / table["ferlib"])
    return table.assign(ratio=ratio, fer_measured="here" if here else "elsewhere").rename_axis("measure")


def _accuracy_of_fer(dataset: Dataset) -> float:
    """Run fer's network, which lies in its package, on PublicTest."""
    import keras

    package = Path(importlib.util.find_spec("fer").submodule_search_locations[0])
    model = keras.models.load_model(package / "data" / "emotion_model.hdf5", compile=False)
    images = np.stack([cv2.resize(image, model.input_shape[1:3]) for image in dataset.valid.images])
    scaled = (images[..., np.newaxis].astype("float32") / 255 - 0.5) * 2
    return float((model.predict(scaled, verbose=0).argmax(axis=1) == dataset.valid.labels).mean())


def describe(table: pd.DataFrame) -> str:
    """Write the table of `live` for a terminal."""
    where = "on this machine" if (table["fer_measured"] == "here").all() else "on two cores elsewhere"
    shown = table[["ferlib", "fer", "ratio"]].map("{:.3g}".format)
    return (
        f"{shown.to_string()}\nfer 25.10.3 was measured {where}; a ratio above 1 means that ferlib is better."
    )
