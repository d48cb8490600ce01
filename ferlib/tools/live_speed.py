"""How fast the live view is, stage by stage, and beside the package fer."""

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
import psutil

from ferlib import paths
from ferlib.data import votes
from ferlib.data.fer2013 import Split
from ferlib.evaluate import live_chain
from ferlib.labels import FerlibError
from ferlib.live import draw
from ferlib.live.network import Network, load_model, weights_folder
from ferlib.live.tracker import Tracker
from ferlib.live.video import video_writer
from ferlib.train import machine

INSTALL_FER = """
  python -m venv fer-env
  fer-env/bin/pip install --no-deps fer==25.10.3
  fer-env/bin/pip install tensorflow-cpu "opencv-python-headless<5" "setuptools<81"
  fer-env/bin/pip install pandas pillow requests tqdm
  ferlib bench --live --fer fer-env/bin/python"""
"""How to get the package fer without the 8 GB that its plain installation takes. It needs an environment of
its own: it wants another OpenCV than ferlib and imports only with an old setuptools."""

ROUNDS = 5
"""How often ferlib and fer are measured, in turns, so that whatever else the machine does slows both."""

PHOTOS, FILM_FRAMES = 24, 150
"""Photos of a folder and frames of a film that are read as files; rounds that don't count take an eighth."""

_OURS = """
import cv2, ferlib
picture = cv2.cvtColor(cv2.imread({photo!r}), cv2.COLOR_BGR2RGB)
classify = lambda: ferlib.predict(picture)
"""
_FER = """
import cv2, logging
logging.disable(logging.WARNING)
from fer.fer import FER
fer, picture = FER(), cv2.imread({photo!r})
classify = lambda: fer.detect_emotions(picture)
"""
_MEASURE = """
import json, sys, time
{prepare}
faces = len(classify())
ready = time.time() - float(sys.argv[1])
times = []
for _ in range({frames}):
    start = time.perf_counter()
    classify()
    times.append(time.perf_counter() - start)
frame = 1000 * sorted(times)[len(times) // 2]
print(json.dumps({{"faces": faces, "first answer, s": ready, "a 640x480 frame, ms": frame}}), flush=True)
sys.stdin.read()
"""
_OUR_FILES = """
from ferlib.live.files import predict_files
photos = lambda folder: predict_files([folder], progress=False)
film = lambda path, copies: predict_files([path], out=copies, progress=False)
"""
_FILES_OF_FER = """
import cv2, glob, logging
logging.disable(logging.WARNING)
from fer.fer import FER
fer = FER()

def photos(folder):
    for path in glob.glob(folder + "/*"):
        print(fer.detect_emotions(cv2.imread(path)))

def film(path, copies):
    video = cv2.VideoCapture(path)
    size = [int(video.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
    copy = cv2.VideoWriter(copies + "/film.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 25, size)
    while (read := video.read())[0]:
        for face in fer.detect_emotions(read[1]):
            left, top, width, height = map(int, face["box"])
            cv2.rectangle(read[1], (left, top), (left + width, top + height), (255, 0, 0), 2)
        copy.write(read[1])
    copy.release()
"""
_MEASURE_FILES = """
import json, sys, time
{prepare}
photos({folder!r})  # loads what is loaded once
start = time.perf_counter()
photos({folder!r})
middle = time.perf_counter()
film({film!r}, {copies!r})
took = {{"photos, s": middle - start, "film, s": time.perf_counter() - middle}}
print(json.dumps(took), flush=True)
sys.stdin.read()
"""
_FER_ANSWERS = """
import cv2, json, logging, sys
logging.disable(logging.WARNING)
import numpy as np
from importlib.metadata import version
from fer.fer import FER
faces = np.stack([cv2.resize(image, (64, 64)) for image in np.load({images!r})]).astype("float32")
answers = np.argmax(FER()._classify_emotions((faces / 255 - 0.5) * 2), axis=1)
print(json.dumps({{"version": version("fer"), "answers": answers.tolist()}}), flush=True)
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
        ``p50``, ``p95`` and ``mean`` in milliseconds.
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
        stage: (len(times), *(1000 * times.quantile([0.5, 0.95])), 1000 * times.mean())
        for stage, times in stages.items()
        if len(times)
    }
    columns = ["frames", "p50", "p95", "mean"]
    return pd.DataFrame.from_dict(table, orient="index", columns=columns).rename_axis("stage")


def start_up(photo: np.ndarray, folder: Path | None = None, frames: int = 30) -> dict[str, float]:
    """Measure a fresh process that loads ferlib and classifies a photo: first answer, next ones, memory.

    Args:
        photo: uint8 (height, width, 3), blue, green, red.
        folder: Folder of the network; None takes the shipped one.
        frames: How many more times it classifies the photo.

    Returns:
        ``faces`` (found in the photo), ``first answer, s`` (since the process was started),
        ``a 640x480 frame, ms`` (median, whole picture searched, for a photo of that size) and
        ``memory, MB`` (resident at the end).
    """
    return _timed(_OURS, photo, frames, sys.executable, FERLIB_WEIGHTS=str(folder or weights_folder()))


def _timed(prepare: str, photo: np.ndarray, frames: int, python: str, **environment: str):
    with paths.scratch() as folder:
        path = str(folder / "photo.png")
        cv2.imwrite(path, photo)
        code = _MEASURE.format(prepare=prepare.format(photo=path), frames=frames)
        return _in_fresh_process(code, python, **environment)


def _files(prepare: str, photo: np.ndarray, python: str, share: float) -> dict[str, float]:
    """Measure a folder of photos and a film with its annotated copy: photos and frames a second."""
    photos, frames = round(PHOTOS * share), round(FILM_FRAMES * share)
    with paths.scratch() as folder:
        for name in ("photos", "copies"):
            (folder / name).mkdir()
        for number in range(photos):
            cv2.imwrite(str(folder / "photos" / f"{number}.jpg"), np.roll(photo, number, axis=1))
        with video_writer(folder / "film.mp4", 25) as append:
            for number in range(frames):
                append(np.roll(photo, number % 20, axis=1))
        places = {"folder": folder / "photos", "film": folder / "film.mp4", "copies": folder / "copies"}
        code = _MEASURE_FILES.format(prepare=prepare, **{name: str(path) for name, path in places.items()})
        took = _in_fresh_process(code, python)
    return {"folder": photos / took["photos, s"], "film": frames / took["film, s"]}


def _in_fresh_process(code: str, python: str, **environment: str) -> dict:
    """Run code that prints JSON in its last line; add the memory of the process at that moment."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        try:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": complaints}
            command = [python, "-c", code, str(time.time())]
            process = subprocess.Popen(command, text=True, env=environment, **pipes)
        except OSError as error:
            raise FerlibError(f"{python} cannot be started ({error.strerror})") from None
        with process:
            line = next((line for line in process.stdout if line.startswith("{")), None)
            if line is not None:
                running = psutil.Process(process.pid)
                memory = [running.memory_info().rss, *(p.memory_info().rss for p in running.children())]
                return json.loads(line) | {"memory, MB": sum(memory) / 1e6}
        complaints.seek(0)
        told = complaints.read().strip().splitlines()
        raise FerlibError(f"the measured process failed: {told[-1] if told else 'it said nothing'}")


def live(split: Split, photo: np.ndarray, *, fer: str | None = None, quick: bool = False) -> pd.DataFrame:
    """Compare ferlib with the package fer: accuracy, frames and photos a second, start and memory.

    Both are used as their makers offer them: fer with its defaults, the Haar cascade and a quantized network.
    Of a frame of 640x480 pixels fer's search takes faces from 50 pixels on, ferlib's from 32, so ferlib's
    speed owes nothing to a narrower search.

    Args:
        split: FER-2013's PublicTest; its images are the crops.
        photo: uint8 (480, 640, 3), blue, green, red, with one face.
        fer: Interpreter of an environment with the package fer; None takes the one that runs.
        quick: Measure once instead of `ROUNDS` times.

    Returns:
        Indexed by ``measure``: ``ferlib``, ``fer``, ``ratio`` (above 1 where ferlib is better), then the same
        in every row: ``fer_version``, ``images``, ``hardware``, ``commit`` and ``date``.
    """
    python, network = fer or sys.executable, load_model()
    try:
        told = _answers_of_fer(split.images, python)
    except FerlibError as error:
        remedy = f"install it and name its interpreter:{INSTALL_FER}"
        raise FerlibError(f"the package fer cannot be measured ({error}); {remedy}") from None
    ours, theirs, share = [], [], 1 / 8 if quick else 1
    for _ in range(1 if quick else ROUNDS):
        # The mean, for the median is a frame in which the whole picture was not searched.
        followed = latencies(network, photo).loc["detection and network", "mean"]
        files = _files(_OUR_FILES, photo, sys.executable, share)
        ours.append({**start_up(photo), "followed, ms": followed, **files})
        searched = _timed(_FER, photo, 30, python)
        followed = searched["a 640x480 frame, ms"]  # it follows nothing
        files = _files(_FILES_OF_FER, photo, python, share)
        theirs.append({**searched, "followed, ms": followed, **files})
    answers = network.probabilities(split.images).argmax(axis=1), np.array(told["answers"])
    columns = [
        {**_accuracies(answered, split), **_speeds(pd.DataFrame(rows).median())}
        for rows, answered in zip((ours, theirs), answers, strict=True)
    ]
    table = pd.DataFrame(dict(zip(("ferlib", "fer"), columns, strict=True))).rename_axis("measure")
    more_is_better = table.index.str.contains("accuracy|a second")
    ratio = np.where(more_is_better, table["ferlib"] / table["fer"], table["fer"] / table["ferlib"])
    return table.assign(ratio=ratio, fer_version=told["version"], images=len(split), **machine.stamp())


def _accuracies(answers: np.ndarray, split: Split) -> dict[str, float]:
    """Return how often answers are the label, and what most of ten people see where there is such a thing."""
    right = {"accuracy on PublicTest, by its labels": (answers == split.labels).mean()}
    if (cast := votes.of(split)) is not None:
        seen = votes.majority(cast)
        right["accuracy on PublicTest, by ten people"] = (answers == seen)[seen >= 0].mean()
    return right


def _speeds(measured: pd.Series) -> dict[str, float]:
    return {
        "frames a second, camera": 1000 / measured["followed, ms"],
        "frames a second, film read and written": measured["film"],
        "photos a second, one by one": 1000 / measured["a 640x480 frame, ms"],
        "photos a second, a folder": measured["folder"],
        "start to first answer, s": measured["first answer, s"],
        "memory, MB": measured["memory, MB"],
    }


def _answers_of_fer(images: np.ndarray, python: str) -> dict:
    """Return fer's version and the class that its network names for each crop."""
    with paths.scratch() as folder:
        path = str(folder / "images.npy")
        np.save(path, images)
        return _in_fresh_process(_FER_ANSWERS.format(images=path), python)


def describe(table: pd.DataFrame) -> str:
    """Write the table of `live` for a terminal."""
    shown = table[["ferlib", "fer", "ratio"]].map("{:.3g}".format)
    about = table.iloc[0]
    return (
        f"{shown.to_string()}\n\nA ratio above 1 means that ferlib is better. {about['images']:,d} crops; "
        f"frames of 640x480 pixels with one face; fer {about['fer_version']} with its defaults.\n"
        f"{about['hardware']}"
    )


def save(table: pd.DataFrame) -> Path:
    """Keep the table of `live` as ``live.csv`` of the record."""
    return live_chain.save(table, "live.csv")
