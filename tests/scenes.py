"""Pictures and videos with faces at known places, and a small network that knows them, for the tests."""

import hashlib
import json
import struct

import cv2
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ferlib.data import demo
from ferlib.labels import CLASSES
from ferlib.live.network import GRAPH, METADATA, sealed

GREY = 128
SHARPNESS = 15
"""How decided the test network is."""

SEEDS = {"angry": 41, "disgust": 35, "fear": 32, "happy": 26, "sad": 29, "surprise": 46, "neutral": 2}
"""Drawn faces that both detectors find at every size, and put their boxes where they are."""


def face(emotion):
    """A drawn face that shows an emotion, uint8 (48, 48)."""
    number = CLASSES.index(emotion)
    return demo.face(number, np.random.default_rng([SEEDS[emotion], number]))


def scene(placed, size=(480, 640)):
    """A plain picture with faces on it, uint8 (height, width, 3).

    Args:
        placed: Pairs of a face, uint8 (48, 48), and its box (left, top, width, height).
        size: Height and width of the picture.
    """
    picture = np.full(size, GREY, np.uint8)
    for pixels, (x, y, width, height) in placed:
        picture[y : y + height, x : x + width] = cv2.resize(
            pixels, (width, height), interpolation=cv2.INTER_CUBIC
        )
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)


def video(path, frames, rate=25, codec="mp4v"):
    """Write frames, uint8 (height, width, 3), as a video."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def write_network(folder, **metadata):
    """Write a network that compares coarse, normalized pixels with those of `face(emotion)`, one a class."""
    patterns = np.stack([_coarse(face(emotion)) for emotion in CLASSES], axis=1)
    constants = {
        "shape": np.int64([-1, 1, 48, 48]),
        "patterns": np.float32(SHARPNESS * patterns / len(patterns)),
        "one": np.float32([1]),
        "zero": np.float32([0]),
    }
    nodes = [
        helper.make_node("Reshape", ["images", "shape"], ["pixels"]),
        helper.make_node("AveragePool", ["pixels"], ["coarse"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("InstanceNormalization", ["coarse", "one", "zero"], ["normal"], epsilon=1e-3),
        helper.make_node("Flatten", ["normal"], ["flat"]),
        helper.make_node("MatMul", ["flat", "patterns"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "patterns",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 48, 48, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    contents = model.SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_bytes(contents)
    facts = {"classes": CLASSES, "temperature": 1.0, "sha256": hashlib.sha256(contents).hexdigest()}
    (folder / METADATA).write_text(json.dumps(sealed(facts | metadata)))
    return folder


def _coarse(image):
    pooled = image.reshape(12, 4, 12, 4).mean((1, 3)).ravel()
    return (pooled - pooled.mean()) / pooled.std()


def matroska(path, frames, times):
    """Write frames at times of their own, seconds, in the container of MKV and WebM files."""

    def element(identity, *parts):
        contents = b"".join(parts)
        return bytes.fromhex(identity) + (len(contents) | 1 << 56).to_bytes(8, "big") + contents

    def number(identity, value):
        return element(identity, value.to_bytes(4, "big"))

    height, width = frames[0].shape[:2]
    video = element("e0", number("b0", width), number("ba", height))
    track = element(
        "ae", number("d7", 1), number("73c5", 1), number("83", 1), element("86", b"V_MJPEG"), video
    )
    length = struct.pack(">d", 1000 * times[-1])
    info = element("1549a966", number("2ad7b1", 1_000_000), element("4489", length))
    clusters = [
        element(
            "1f43b675",
            number("e7", round(1000 * seconds)),
            element("a3", b"\x81\x00\x00\x80", cv2.imencode(".jpg", frame)[1].tobytes()),
        )
        for frame, seconds in zip(frames, times, strict=True)
    ]
    kind = element("4282", b"matroska")
    head = element(
        "1a45dfa3", number("4286", 1), number("42f7", 1), kind, number("4287", 4), number("4285", 2)
    )
    path.write_bytes(head + element("18538067", info, element("1654ae6b", track), *clusters))
    return path
