"""The trained network through onnxruntime: no Keras, no TensorFlow, an answer within a second of starting."""

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime

from ferlib import paths
from ferlib.labels import IMAGE_SIZE, FerlibError
from ferlib.live.answers import Face
from ferlib.pixels import as_bytes, eight_bit

SHIPPED = ("crowd", "labels")
"""Networks that ship: taught what ten people see, and taught FER-2013's labels. The first is in use."""

GRAPH, METADATA = "network.onnx", "network.json"
"""File names of a shipped network: the graph with its weights, and what is known about it."""

LEAST = 1e-8
"""Smaller probabilities count as this one, as they do where temperatures are fitted: there they come from
records in float16, which rounds the smallest to zero."""

BATCH = 64
"""Most images that go through the network at once; more would only cost memory."""


class Network:
    """A trained network, ready to classify face crops.

    Attributes:
        classes: Names of the emotions in the order of the outputs.
        temperature: What log-probabilities are divided by; fitted on PublicTest when it was exported.
        metadata: Everything that was written down at export: source run, accuracy, SHA-256.
    """

    def __init__(self, graph: bytes, metadata: dict):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(4, os.cpu_count() or 1)
        # Waiting threads must not burn the core that face detection needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.metadata = metadata
        self.classes = tuple(metadata["classes"])
        self.temperature = float(metadata["temperature"])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify face crops.

        Args:
            images: (n, 48, 48) or (n, 48, 48, 1), grey, or a list of n such images; n may be 0. uint8, or
                what `ferlib.pixels.eight_bit` can turn into it, such as float from 0 to 1.

        Returns:
            float32 (n, classes), calibrated; rows sum to one.

        Raises:
            FerlibError: If the images have another shape, or values that are no pixels.
        """
        if len(images) == 0:
            return np.empty((0, len(self.classes)), np.float32)
        if isinstance(images, (list, tuple)):
            images = np.stack([as_bytes(image) for image in images])
        images = eight_bit(images)
        if images.shape[1:] not in ((IMAGE_SIZE, IMAGE_SIZE), (IMAGE_SIZE, IMAGE_SIZE, 1)):
            raise FerlibError(
                f"the network takes images of shape (n, {IMAGE_SIZE}, {IMAGE_SIZE}), not {images.shape}: "
                "cut faces out with ferlib.faces.crop first"
            )
        images = images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        answers = [self._session.run(None, {self._input: batch.astype(np.float32)})[0] for batch in batches]
        return self._calibrated(np.concatenate(answers))

    def _calibrated(self, raw: np.ndarray) -> np.ndarray:
        """Divide log-probabilities by the temperature (Guo et al. 2017)."""
        scaled = np.log(np.maximum(raw, LEAST)) / self.temperature
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)

    def __repr__(self) -> str:
        source = self.metadata.get("source", {})
        name = source.get("experiment", "network")
        read = {"by ten people": source.get("crowd_accuracy"), "by its labels": source.get("valid_accuracy")}
        told = ", ".join(f"{share:.1%} {by}" for by, share in read.items() if share is not None)
        told = f"; of PublicTest right: {told}" if told else ""
        return f"<ferlib network {name}: {', '.join(self.classes)}{told}>"

    def face(self, box, probabilities, number: int | None = None) -> Face:
        """Join a box (left, top, width, height) with one row of probabilities."""
        values = dict(zip(self.classes, np.asarray(probabilities).tolist(), strict=True))
        return Face(tuple(round(float(side)) for side in box), values, number)


def weights_folder(name: str | Path | None = None) -> Path:
    """Return the folder of a network, named as for `load_model`."""
    name = name or os.environ.get("FERLIB_WEIGHTS") or SHIPPED[0]
    if name in SHIPPED:
        return paths.PACKAGE / "weights" / name
    return Path(os.path.abspath(paths.expanded(name)))


def load_model(name: str | Path | None = None) -> Network:
    """Load a trained network; it is read once and then kept.

    Args:
        name: ``"crowd"``, taught what ten people see; ``"labels"``, taught FER-2013's labels; or a folder
            that `ferlib.tools.export.export` wrote. None takes the folder in ``FERLIB_WEIGHTS``, else
            ``"crowd"``.

    Returns:
        The network.

    Raises:
        FerlibError: If there is none, or its files are not those that were exported (SHA-256).
    """
    folder = weights_folder(name)
    for path in (folder / GRAPH, folder / METADATA):
        if not os.path.isfile(path):
            raise FerlibError(
                f"no trained network: {path} is missing or can't be looked at; name one that ships "
                f"({' or '.join(SHIPPED)}) or the folder of another, or train and export one with "
                "`ferlib train lean` and `ferlib export lean`"
            )
    return _loaded(folder, (folder / METADATA).read_bytes())


def chosen(model: Network | str | Path | None) -> Network:
    """Return a network, given itself or as `load_model` takes it."""
    if model is None or isinstance(model, (str, Path)):
        return load_model(model)
    if not hasattr(model, "probabilities"):
        raise FerlibError(f"model={model!r:.60} is no network: pass what ferlib.load_model returns, or takes")
    return model


@lru_cache(maxsize=4)
def _loaded(folder: Path, text: bytes) -> Network:
    graph = (folder / GRAPH).read_bytes()
    found = hashlib.sha256(graph).hexdigest()
    try:
        metadata = json.loads(text)
        if metadata != sealed(metadata):
            raise ValueError("its seal does not fit")
    except (ValueError, TypeError) as error:
        remedy = "reinstall ferlib, or export a network of your own anew"
        raise FerlibError(f"{folder / METADATA} is damaged or was changed ({error}): {remedy}") from None
    if found != (expected := metadata["sha256"]):
        raise FerlibError(
            f"{folder / GRAPH} is damaged or was replaced (its SHA-256 begins with {found[:12]}, not "
            f"with {expected[:12]}): reinstall ferlib"
        )
    try:
        return Network(graph, metadata)
    except Exception as error:  # onnxruntime raises errors of its own, of many kinds
        told = " ".join(str(error).split())
        problem = f"no network that can be used here ({told:.150}): export it anew"
        raise FerlibError(f"{folder / GRAPH}: {problem}") from None


def sealed(metadata: dict) -> dict:
    """Return what is known about a network with a digest of it all, which tells damage.

    Args:
        metadata: Whatever JSON can hold; a seal that it has is made anew.
    """
    facts = {name: value for name, value in dict(metadata).items() if name != "seal"}
    text = json.dumps(facts, sort_keys=True)
    return facts | {"seal": hashlib.sha256(text.encode()).hexdigest()}
