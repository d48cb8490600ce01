"""Networks: plain builders in a registry, from the majority class to ResNet50.

Every network takes grey images as they are stored, 0..255, and rescales them itself, so that the same
array serves all of them; it ends in a float32 softmax, also under mixed precision.
"""

import os
import socket
import urllib.error
import urllib.request
from functools import partial
from math import prod
from pathlib import Path

import keras
from keras import layers

from ferlib.labels import CLASSES, IMAGE_SIZE, FerlibError

KERAS_FILES = "https://storage.googleapis.com/tensorflow/keras-applications"
PRETRAINED = {
    "mobilenet": (f"{KERAS_FILES}/mobilenet/mobilenet_1_0_224_tf_no_top.h5", None),
    "resnet50": (
        f"{KERAS_FILES}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
}
"""Model name to address and MD5 (where Keras publishes one) of its ImageNet weights without the top."""

NETWORK_TIMEOUT = 5.0
"""Seconds without an answer after which the network counts as missing."""

# Keras' default of 0.99 needs hundreds of steps before the moving statistics mean anything; short runs,
# and fine-tuning on grey faces with statistics of coloured photographs, have fewer.
MOMENTUM = 0.9


def build(name: str, classes: int = len(CLASSES), *, pretrained: bool = True, **switches) -> keras.Model:
    """Build one of the registered networks.

    Args:
        name: A key of `MODELS`.
        classes: Number of classes, at least 2.
        pretrained: Load ImageNet weights where the network starts from them (`PRETRAINED`). False gives
            the same layers with random weights, which is all one needs to load a finished run into them.
        **switches: Arguments of the builder: `batch_norm` (bool), `dropout` (rate, 0..1), `width`
            (factor on all widths), `image_size` (pixels) and `trainable` ("head" or "all"), where they apply.

    Returns:
        Network from `images`, float32 (n, 48, 48, 1) in 0..255 (uint8 is converted), to `probabilities`,
        float32 (n, classes), rows summing to one. The layer `logits` holds the scores before the softmax.

    Raises:
        FerlibError: Unknown name, or ImageNet weights that are neither stored nor to be downloaded.
    """
    if name not in MODELS:
        raise FerlibError(f"there is no network {name!r}; choose one of {', '.join(MODELS)}")
    if name in PRETRAINED:
        switches["pretrained"] = pretrained
    return MODELS[name](classes, **switches)


def prior(classes: int) -> keras.Model:
    """Build a network that sees nothing: its bias alone learns how frequent each class is."""
    images = _images()
    nothing = layers.Rescaling(0.0)(layers.GlobalAveragePooling2D()(images))
    return _network("prior", images, nothing, classes, kernel_initializer="zeros")


def logistic(classes: int) -> keras.Model:
    """Build multinomial logistic regression on the pixels."""
    images = _images()
    return _network("logistic", images, layers.Flatten()(_standardized(images)), classes)


def shallow_cnn(
    classes: int, *, batch_norm: bool = True, dropout: float = 0.25, width: float = 1.0
) -> keras.Model:
    """Build two 3x3 convolutions of 32 and 64 filters and one dense layer of 512."""
    images = _images()
    x = _standardized(images)
    for filters in (32, 64):
        x = _convolution_block(x, _scaled(filters, width), batch_norm, dropout)
    x = layers.Dense(_scaled(512, width), activation="relu", kernel_initializer="he_normal")(
        layers.Flatten()(x)
    )
    return _network("shallow_cnn", images, x, classes)


def four_block_cnn(
    classes: int, *, batch_norm: bool = True, dropout: float = 0.3, width: float = 1.0
) -> keras.Model:
    """Build blocks of 64, 128, 128 and 512 filters and a dense layer of 4096, normalizing after pooling."""
    images = _images()
    x = _standardized(images)
    for filters in (64, 128, 128, 512):
        x = layers.Conv2D(_scaled(filters, width), 3, padding="same", kernel_initializer="he_normal")(x)
        x = layers.ReLU()(layers.MaxPooling2D()(x))  # ReLU and maximum commute; this order is cheaper
        if batch_norm:
            x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    x = layers.Dense(_scaled(4096, width), activation="relu", kernel_initializer="he_normal")(
        layers.Flatten()(x)
    )
    return _network("four_block_cnn", images, layers.Dropout(dropout)(x), classes)


def deep_cnn(
    classes: int, *, batch_norm: bool = True, dropout: float = 0.4, width: float = 1.0
) -> keras.Model:
    """Build four convolutions and two dense layers, batch normalization after each, dropout.

    Twice the filters at half the resolution: the last three convolutions cost the same, and the whole
    network about 35 million multiplications an image. Convolutions lose a quarter of the dropout that the
    dense layers have, for they share their weights over all positions and overfit less.
    """
    images = _images()
    x = _standardized(images)
    for filters in (32, 64, 128, 256):
        x = _convolution_block(x, _scaled(filters, width), batch_norm, dropout / 4)
    x = layers.Flatten()(x)
    for units in (256, 512):
        x = layers.Dense(_scaled(units, width), use_bias=not batch_norm, kernel_initializer="he_normal")(x)
        x = layers.Dropout(dropout)(_normalized_relu(x, batch_norm))
    return _network("deep_cnn", images, x, classes)


def mini_xception(classes: int, *, width: float = 1.0) -> keras.Model:
    """Build mini-Xception: separable convolutions with residuals, global pooling, no dense layer.

    Source: Arriaga, Valdenegro-Toro and Plöger, "Real-time Convolutional Neural Networks for Emotion and
    Gender Classification", arXiv:1710.07557, 2017.
    """
    images = _images()
    x = _standardized(images)
    for _ in range(2):
        x = _normalized_relu(layers.Conv2D(_scaled(8, width), 3, use_bias=False)(x), True)
    for filters in (16, 32, 64, 128):
        filters = _scaled(filters, width)
        shortcut = layers.Conv2D(filters, 1, strides=2, padding="same", use_bias=False)(x)
        shortcut = layers.BatchNormalization(momentum=MOMENTUM)(shortcut)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(_normalized_relu(x, True))
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
        x = layers.Add()([layers.MaxPooling2D(3, strides=2, padding="same")(x), shortcut])
    x = layers.Conv2D(classes, 3, padding="same")(x)
    logits = layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)
    return keras.Model(images, _softmax(logits), name="mini_xception")


def mobilenet(
    classes: int,
    *,
    image_size: int = 96,
    trainable: str = "head",
    dropout: float = 0.5,
    pretrained: bool = True,
    name: str = "mobilenet",
) -> keras.Model:
    """Build MobileNet v1 with a multilayer perceptron on its bottleneck features.

    Source: Howard et al., "MobileNets", arXiv:1704.04861, 2017; ImageNet weights of TF-slim.
    """
    images = _images()
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(_three_channels(images, image_size))
    backbone = keras.applications.MobileNet(
        input_tensor=x, input_shape=(image_size, image_size, 3), include_top=False, weights=None
    )
    return _with_head(
        name, backbone, classes, trainable, dropout, PRETRAINED["mobilenet"] if pretrained else None
    )


def resnet50(
    classes: int,
    *,
    image_size: int = 96,
    trainable: str = "head",
    dropout: float = 0.5,
    pretrained: bool = True,
    name: str = "resnet50",
) -> keras.Model:
    """Build ResNet50 with a multilayer perceptron on its bottleneck features.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; weights of Keras.
    """
    images = _images()
    # ImageNet's channel means, blue first as in Caffe, where the weights come from.
    x = layers.Normalization(mean=[103.939, 116.779, 123.68], variance=[1.0, 1.0, 1.0])(
        _three_channels(images, image_size)
    )
    backbone = keras.applications.ResNet50(
        input_tensor=x, input_shape=(image_size, image_size, 3), include_top=False, weights=None
    )
    return _with_head(
        name, backbone, classes, trainable, dropout, PRETRAINED["resnet50"] if pretrained else None
    )


MODELS = {
    "prior": prior,
    "logistic": logistic,
    "shallow_cnn": shallow_cnn,
    "four_block_cnn": four_block_cnn,
    "deep_cnn": deep_cnn,
    "mini_xception": mini_xception,
    "mobilenet": mobilenet,
    "mobilenet_scratch": partial(mobilenet, trainable="all", pretrained=False, name="mobilenet_scratch"),
    "resnet50": resnet50,
    "resnet50_scratch": partial(resnet50, trainable="all", pretrained=False, name="resnet50_scratch"),
}
"""Registry: name to builder, the simplest first."""


def split_backbone(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a transfer network in two at its bottleneck features.

    Both parts share layers and weights with `model`: what the head learns, the whole network knows.

    Args:
        model: A network with a layer named `bottleneck` (MobileNet, ResNet50).

    Returns:
        `(backbone, head)`: images (n, 48, 48, 1) to features float (n, f), and features to probabilities.

    Raises:
        ValueError: The network has no bottleneck.
    """
    names = [layer.name for layer in model.layers]
    if "bottleneck" not in names:
        raise ValueError(f"{model.name} has no layer named bottleneck, only transfer networks have one")
    cut = names.index("bottleneck") + 1
    bottleneck = model.layers[cut - 1].output
    backbone = keras.Model(model.inputs[0], bottleneck, name=f"{model.name}_backbone")
    features = keras.Input(bottleneck.shape[1:], name="features")
    x = features
    for layer in model.layers[cut:]:
        x = layer(x)
    return backbone, keras.Model(features, x, name=f"{model.name}_head")


def macs(model: keras.Model) -> int:
    """Count the multiply-accumulate operations that one image costs.

    Convolutions and dense layers count; normalization, activations and pooling, about a hundredth of
    them, don't.

    Args:
        model: Network whose layers have a fixed output size.

    Returns:
        Multiplications with accumulation per image.
    """
    return sum(_layer_macs(layer) for layer in model.layers)


def weights_available(name: str) -> bool:
    """Say whether a network's ImageNet weights are stored or can be downloaded now.

    Args:
        name: A key of `PRETRAINED`. The Keras cache is `KERAS_HOME` or `~/.keras`; with `FERLIB_OFFLINE=1`
            the network is not asked.
    """
    if _weights_file(name).exists():
        return True
    if os.environ.get("FERLIB_OFFLINE", "0") not in ("", "0"):
        return False
    question = urllib.request.Request(PRETRAINED[name][0], method="HEAD")
    try:
        with urllib.request.urlopen(question, timeout=NETWORK_TIMEOUT):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _images():
    return keras.Input((IMAGE_SIZE, IMAGE_SIZE, 1), name="images")


def _standardized(images):
    # Mid grey to zero and, with FER-2013's contrast, about unit variance: what He initialization assumes.
    return layers.Rescaling(1 / 64, offset=-2.0)(images)


def _scaled(width: int, factor: float) -> int:
    return max(1, round(width * factor))


def _normalized_relu(x, batch_norm: bool):
    if batch_norm:
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    return layers.ReLU()(x)


def _convolution_block(x, filters: int, batch_norm: bool, dropout: float):
    x = layers.Conv2D(filters, 3, padding="same", use_bias=not batch_norm, kernel_initializer="he_normal")(x)
    # Pooled first, normalization and activation have a quarter of the values to go through.
    x = _normalized_relu(layers.MaxPooling2D()(x), batch_norm)
    return layers.Dropout(dropout)(x)


def _softmax(logits):
    return layers.Activation("softmax", dtype="float32", name="probabilities")(logits)


def _network(name: str, images, features, classes: int, **dense) -> keras.Model:
    logits = layers.Dense(classes, dtype="float32", name="logits", **dense)(features)
    return keras.Model(images, _softmax(logits), name=name)


def _three_channels(images, image_size: int):
    # Not the layer Resizing: it turns a plain call of the network, without `training`, into training mode.
    x = keras.ops.image.resize(images, (image_size, image_size))
    return layers.Concatenate()([x, x, x])


def _with_head(name, backbone, classes, trainable, dropout, weights) -> keras.Model:
    if trainable not in ("head", "all"):
        raise ValueError(f'trainable is "head" or "all", not {trainable!r}')
    if weights:
        _load_pretrained(backbone, name)
    for layer in backbone.layers:
        # A batch normalization that isn't trainable also uses its stored statistics: features stay put.
        layer.trainable = trainable == "all"
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    x = layers.GlobalAveragePooling2D(name="bottleneck")(backbone.output)
    x = layers.Dense(256, use_bias=False, kernel_initializer="he_normal", name="head_dense")(x)
    x = layers.Dropout(dropout, name="head_dropout")(_normalized_relu(x, True))
    return _network(name, backbone.inputs[0], x, classes)


def _weights_file(name: str) -> Path:
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return home / "models" / PRETRAINED[name][0].rpartition("/")[2]


def _load_pretrained(backbone: keras.Model, name: str) -> None:
    target = _weights_file(name)
    if not weights_available(name):
        raise FerlibError(
            f"the ImageNet weights {target.name} are not in {target.parent} and can't be downloaded now; "
            f"put the file there, or choose {name}_scratch, which starts from random weights"
        )
    origin, digest = PRETRAINED[name]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)
    try:
        keras.utils.get_file(
            target.name, origin, cache_dir=target.parent.parent, cache_subdir="models", file_hash=digest
        )
        backbone.load_weights(target)
    except Exception as error:
        raise FerlibError(
            f"the ImageNet weights in {target} can't be loaded ({error}); delete the file to have it "
            "downloaded again"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _layer_macs(layer) -> int:
    if isinstance(layer, keras.Model):
        return macs(layer)
    if isinstance(layer, layers.SeparableConv2D):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
    elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
        kernels = (layer.kernel,)
    else:
        return 0
    positions = prod(layer.output.shape[1:-1])  # 1 for a dense layer
    return positions * sum(prod(kernel.shape) for kernel in kernels)
