"""From a Keras network to the small ONNX file that predicts anywhere.

Weights are stored as float16, half the size; onnxruntime widens them once, when it loads the file, and
computes in float32.
"""

import datetime
import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import onnx
from keras import layers
from onnx import TensorProto, helper, numpy_helper

from ferlib import paths
from ferlib.data import demo, votes
from ferlib.data.fer2013 import Dataset
from ferlib.evaluate import crowd, metrics, summary
from ferlib.labels import CLASSES, FerlibError
from ferlib.live.network import GRAPH, METADATA, SHIPPED, Network, load_model, sealed, weights_folder
from ferlib.paths import scratch, written_atomically
from ferlib.train import experiments, record, trainer
from ferlib.train.record import Run

TOLERANCE = 1e-5
"""Largest difference of a probability between Keras and onnxruntime, with float32 weights."""

FALLBACK = "deep_both"
"""Row of the experiment table that is trained for the live view where no network is to be had."""

LARGEST_CONSTANT_KEPT = 16
"""Constants of at most so many numbers stay float32: halving them saves nothing and some are divisors."""


def export(run: Run, dataset: Dataset, folder: Path | None = None) -> Path:
    """Write the network of a run that still has its weights, calibrated on PublicTest; return its ONNX file.

    Without a folder it goes `elsewhere`, else in place of the network that ships with ferlib and had the same
    teachers, people or labels.
    """
    kept = ("valid_accuracy", "parameters", "fingerprint", "commit", "date")
    source = {
        "experiment": run.experiment.id,
        "seed": run.seed,
        "profile": run.profile,
        **{name: np.asarray(run.result[name]).item() for name in kept if name in run.result},
    }
    if run.valid.classes == CLASSES and votes.of(dataset.valid) is not None:
        source["crowd_accuracy"] = crowd.judge([run], dataset)[0].by_crowd.value
    by_people = run.experiment.target != "label"
    home = elsewhere() or weights_folder(SHIPPED[0 if by_people else 1])
    fitted, classes = temperature(run, dataset), run.valid.classes
    return export_model(run.model(), folder or home, fitted, classes=classes, source=source)


def elsewhere() -> Path | None:
    """Return the folder that ``FERLIB_WEIGHTS`` names, unless a network ships in it."""
    folder = weights_folder()
    return None if folder.resolve() in [weights_folder(name).resolve() for name in SHIPPED] else folder


def temperature(run: Run, dataset: Dataset) -> float:
    """Return the temperature that makes a run as sure on PublicTest as its teachers are.

    Those are ten people where it was taught by votes, else the labels; see ``metrics.fit_temperature``.
    """
    if run.experiment.target == "label":
        return metrics.fit_temperature(run.valid)
    (one,) = crowd.judge([run], dataset)
    enough = votes.enough(one.cast)
    return metrics.fit_temperature(one.predictions[0].take(enough), votes.distribution(one.cast)[enough])


def network_folder(dataset: Dataset, *, seeds: Iterable[int] = (0,), profile: str = "auto") -> Path:
    """Return the folder of the network for the live view of this data, exporting it where need be.

    The shipped network serves if it learned from this data, in the profile asked for if any. Otherwise
    the finished run that chapter 7's rule chooses among those with weights is exported to the cache, and
    where there is none, the deep network is trained quickly.

    Args:
        dataset: Images.
        seeds: Seeds to train where nothing is there.
        profile: As for `ferlib.train.trainer.obtain`.

    Returns:
        Folder for `ferlib.load_model`.

    Raises:
        FerlibError: The shipped network is damaged.
    """
    shipped = weights_folder()
    if os.path.exists(shipped / METADATA):
        source = load_model().metadata.get("source", {})
        if source.get("fingerprint") == dataset.fingerprint and profile in ("auto", source.get("profile")):
            return shipped
    if usable := _usable(record.runs(dataset), profile):
        run = summary.rows(usable)[crowd.choose(usable, dataset)][0]
    else:
        small = "quick" if profile == "auto" else profile
        run = trainer.obtain([FALLBACK], dataset, seeds=seeds, profile=small)[0]
    folder = paths.cache() / "network" / f"{run.experiment.id}-{run.profile}-seed{run.seed}"
    export(run, dataset, folder)
    return folder


def _usable(runs: list[Run], profile: str) -> list[Run]:
    """Return the small runs for all emotions whose weights are here, full ones where there are any."""
    most, found = summary.REAL_TIME_PARAMETERS, {}
    for run in runs:
        if run.valid.classes == CLASSES and run.result["parameters"] < most and run.weights:
            found.setdefault(run.profile, []).append(run)
    named = reversed(experiments.PROFILES) if profile == "auto" else (profile,)
    return next((found[name] for name in named if name in found), [])


def export_model(
    model: keras.Model,
    folder: Path,
    temperature: float = 1.0,
    *,
    classes: tuple[str, ...] = CLASSES,
    source: dict | None = None,
) -> Path:
    """Write a Keras network as ONNX with float16 weights, and its metadata as JSON; return the ONNX file.

    The network goes from images, float32 (n, 48, 48, 1) in 0..255, to probabilities (n, classes). What is
    known of its weights' origin is the source.
    """
    model = _portable(model)
    drawn = [demo.face(number, np.random.default_rng(number)) for number in range(len(CLASSES))]
    images = np.stack(drawn)[..., np.newaxis]
    expected = np.asarray(model.predict(images, batch_size=len(images), verbose=0))
    plain = {"classes": classes, "temperature": 1.0}

    def apart(graph: onnx.ModelProto) -> float:
        answers = Network(graph.SerializeToString(), plain).probabilities(images)
        return float(np.abs(answers - expected).max())

    graph = _converted(model)
    if not (difference := apart(graph)) <= TOLERANCE:
        raise FerlibError(
            f"the exported {model.name} differs from Keras by {difference:.1g}, more than {TOLERANCE:g}: "
            "it contains a layer that tf2onnx converts wrongly"
        )
    small = _with_half_weights(graph)
    contents = small.SerializeToString()
    metadata = {
        "classes": list(classes),
        "temperature": float(temperature),
        "sha256": hashlib.sha256(contents).hexdigest(),
        "bytes": len(contents),
        "float16_difference": apart(small),
        "source": source or {},
        "exported": datetime.date.today().isoformat(),
    }
    about = json.dumps(sealed(metadata), indent=2) + "\n"
    for name, written in ((GRAPH, contents), (METADATA, about.encode())):
        with written_atomically(folder / name) as temporary:
            temporary.write_bytes(written)
    return folder / GRAPH


def _portable(model: keras.Model) -> keras.Model:
    """Rebuild a network to compute in float32 throughout, with layers that tf2onnx converts."""
    twin = keras.models.clone_model(model, clone_function=_portable_layer)
    twin.set_weights(model.get_weights())
    return twin


def _portable_layer(layer: keras.Operation) -> keras.Operation:
    # tf2onnx leaves the constants of Normalization out of the file.
    if isinstance(layer, layers.Normalization) and layer.input_mean is not None:
        scale = 1 / np.sqrt(np.ravel(layer.input_variance))
        offset = -np.ravel(layer.input_mean) * scale
        return layers.Rescaling(scale.tolist(), offset.tolist(), name=layer.name)
    dtype = {"dtype": "float32"} if isinstance(layer, keras.Layer) else {}  # bare operations have none
    return type(layer).from_config({**layer.get_config(), **dtype})


def _converted(model: keras.Model) -> onnx.ModelProto:
    if keras.backend.backend() != "tensorflow":
        raise FerlibError(
            f"networks are exported by Keras on TensorFlow, not on {keras.backend.backend()}: "
            "set KERAS_BACKEND=tensorflow and export again"
        )
    with scratch() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx touches NumPy aliases that are going away
        path = str(folder / GRAPH)
        model.export(path, format="onnx", verbose=False)
        return onnx.load(path)


def _with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with large constants stored as float16 and cast to float32 on loading."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    casts = []
    for constant in small.graph.initializer:
        values = numpy_helper.to_array(constant)
        if constant.data_type != TensorProto.FLOAT or values.size <= LARGEST_CONSTANT_KEPT:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise FerlibError(f"the weights {constant.name} are too large for float16: train it again")
        stored = f"{constant.name}_float16"
        casts.append(helper.make_node("Cast", [stored], [constant.name], to=TensorProto.FLOAT))
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
    nodes = list(small.graph.node)
    del small.graph.node[:]
    small.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(small)
    return small
