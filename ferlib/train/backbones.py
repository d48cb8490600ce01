"""Networks made for ImageNet that ours start from: where their weights are, and what they make of images."""

import hashlib
import http.client
import os
import socket
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.train import predicting


@dataclass(frozen=True)
class Backbone:
    """A network of `keras.applications` with what its ImageNet weights expect: where they are, and inputs."""

    application: Callable[..., keras.Model]
    mean: tuple[float, float, float]  # per channel, grey levels
    deviation: float
    address: str
    md5: str | None  # where Keras publishes one


_FILES = "https://storage.googleapis.com/tensorflow/keras-applications"
PRETRAINED = {
    "mobilenet": Backbone(
        keras.applications.MobileNet,
        mean=(127.5, 127.5, 127.5),
        deviation=127.5,
        address=f"{_FILES}/mobilenet/mobilenet_1_0_224_tf_no_top.h5",
        md5=None,
    ),
    "resnet50": Backbone(
        keras.applications.ResNet50,
        mean=(103.939, 116.779, 123.68),  # blue first, as in Caffe, where these weights come from
        deviation=1.0,
        address=f"{_FILES}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5="4d473c1dd8becc155b73f8504c6f6626",
    ),
}
"""Networks that start from ImageNet weights."""

NETWORK_TIMEOUT = 5.0
"""Seconds without an answer after which the network counts as missing."""


def weights_available(name: str) -> bool:
    """Say whether a network's ImageNet weights are stored or can be downloaded now.

    Args:
        name: A key of `PRETRAINED`. The Keras cache is `KERAS_HOME` or `~/.keras`; with `FERLIB_OFFLINE=1`
            the network is not asked.
    """
    if os.path.exists(_weights_file(name)):
        return True
    if paths.offline():
        return False
    question = urllib.request.Request(PRETRAINED[name].address, method="HEAD")
    try:
        with urllib.request.urlopen(question, timeout=NETWORK_TIMEOUT):
            return True
    except (OSError, http.client.HTTPException):  # the latter of what answers, but not as HTTP says
        return False


def load_weights(network: keras.Model, name: str) -> None:
    """Load a backbone's ImageNet weights, downloading them into the Keras cache where they are missing.

    Args:
        network: What `PRETRAINED[name].application` made, without its top.
        name: A key of `PRETRAINED`.

    Raises:
        FerlibError: The weights are neither stored nor to be downloaded, or the file is damaged.
    """
    target, source = _weights_file(name), PRETRAINED[name]
    if not weights_available(name):
        raise FerlibError(
            f"the ImageNet weights {target.name} are not in {target.parent} and can't be downloaded now; "
            f"put the file there, or choose {name}_scratch, which starts from random weights"
        )
    if not target.exists():
        print(f"Downloading ImageNet weights from {source.address} (once)", file=sys.stderr)
    options = {"cache_dir": target.parent.parent, "cache_subdir": "models", "file_hash": source.md5}
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)
    try:
        keras.utils.get_file(target.name, source.address, **options)
        network.load_weights(target)
    except Exception as error:
        raise FerlibError(
            f"the ImageNet weights {target} could not be downloaded or read whole; delete the file, if it is "
            "there, to have it downloaded again"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def bottleneck_features(backbone: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return what a frozen backbone makes of images, float32 (n, f), from the cache where it is kept."""
    digest = hashlib.sha256(backbone.to_json().encode())
    for array in (images, *backbone.weights):
        digest.update(np.ascontiguousarray(np.asarray(array)))
    file = paths.cache() / "features" / f"{backbone.name}-{digest.hexdigest()[:16]}.npy"

    def make() -> None:
        features = predicting.outputs(backbone, np.asarray(images), batch_size=128)
        with paths.written_atomically(file) as temporary:
            np.save(temporary, features)

    return paths.kept(lambda: np.load(file, mmap_mode="r"), make)


def _weights_file(name: str) -> Path:
    home = paths.expanded(os.environ.get("KERAS_HOME") or "~/.keras")
    return home / "models" / PRETRAINED[name].address.rpartition("/")[2]
