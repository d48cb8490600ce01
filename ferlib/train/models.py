"""Networks: plain builders in a registry, from the majority class to ResNet50.

Every network takes grey images as they are stored, 0..255, and rescales them itself, so that the same
array serves all of them; it ends in a float32 softmax, also under mixed precision.
"""

from functools import partial
from math import prod

import keras
from keras import layers

from ferlib.labels import CLASSES, IMAGE_SIZE, FerlibError
from ferlib.train.backbones import PRETRAINED, load_weights
from ferlib.train.layers import make_fast

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
        **switches: Arguments of the builder: `batch_norm` (bool), `dropout` (rate, 0..1), `width` (factor on
            all widths), `image_size` (pixels) and `trainable` ("head" or "all"), where they apply.

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
    return make_fast(MODELS[name](classes, **switches))


def prior(classes: int) -> keras.Model:
    """Build a network that sees nothing: its bias alone learns how frequent each class is."""
    images = _images()
    nothing = layers.Rescaling(0.0)(layers.GlobalAveragePooling2D()(images))
    return _network("prior", images, nothing, classes, kernel_initializer="zeros")


def logistic(classes: int) -> keras.Model:
    """Build multinomial logistic regression on the pixels."""
    images = _images()
    return _network("logistic", images, layers.Flatten()(_standardized(images)), classes)


def shallow_cnn(classes: int, *, dropout: float = 0.25, width: float = 1.0) -> keras.Model:
    """Build two 3x3 convolutions of 32 and 64 filters and one dense layer of 512."""
    images = _images()
    x = _standardized(images)
    for filters in (32, 64):
        x = _convolution_block(x, _scaled(filters, width), dropout)
    x = _dense_relu(layers.Flatten()(x), _scaled(512, width))
    return _network("shallow_cnn", images, x, classes)


def four_block_cnn(classes: int, *, dropout: float = 0.3, width: float = 1.0) -> keras.Model:
    """Build blocks of 64, 128, 128 and 512 filters and a dense layer of 4096, normalizing after pooling."""
    images = _images()
    x = _standardized(images)
    for filters in (64, 128, 128, 512):
        x = _convolution(x, _scaled(filters, width), use_bias=True)
        x = layers.ReLU()(layers.MaxPooling2D()(x))  # ReLU and maximum commute; this order is cheaper
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    x = _dense_relu(layers.Flatten()(x), _scaled(4096, width))
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
        x = _convolution_block(x, _scaled(filters, width), dropout / 4, batch_norm)
    x = layers.Flatten()(x)
    for units in (256, 512):
        x = layers.Dense(_scaled(units, width), use_bias=not batch_norm, kernel_initializer="he_normal")(x)
        x = layers.Dropout(dropout)(_normalized_relu(x, batch_norm))
    return _network("deep_cnn", images, x, classes)


def lean_cnn(classes: int, *, dropout: float = 0.2, width: float = 1.0) -> keras.Model:
    """Build seven 3x3 convolutions of 32 to 256 filters in four stages and nothing else: small and fast.

    A single convolution sees the full resolution, where each costs most; the three later stages then cost
    the same. Each stage pools before it normalizes, as `deep_cnn` does.
    """
    images = _images()
    x = _standardized(images)
    for *inner, last in ((32,), (48, 64), (96, 128), (192, 256)):
        for filters in inner:
            x = _normalized_relu(_convolution(x, _scaled(filters, width)))
        x = _convolution_block(x, _scaled(last, width), dropout / 4)
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D(dtype="float32")(x))
    return _network("lean_cnn", images, x, classes)


def residual_cnn(classes: int, *, dropout: float = 0.4, width: float = 1.0) -> keras.Model:
    """Build eight 3x3 convolutions in four stages of 64 to 512 filters, with a shortcut past each pair.

    The depth and widths of the VGG networks that do best on FER-2013, global pooling in place of their dense
    layers. Between stages half of the dropout at the end: there it is enough to lose some of the filters.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; Khaireddin and Chen, "Facial
    Emotion Recognition: State of the Art Performance on FER2013", arXiv:2105.03588, 2021.
    """
    images = _images()
    x = _standardized(images)
    for stage, filters in enumerate((64, 128, 256, 512)):
        if stage:
            x = layers.Dropout(dropout / 2)(layers.MaxPooling2D()(x))
        filters, inputs = _scaled(filters, width), x
        x = _normalized_relu(_convolution(x, filters))
        x = layers.BatchNormalization(momentum=MOMENTUM)(_convolution(x, filters))
        shortcut = layers.BatchNormalization(momentum=MOMENTUM)(_convolution(inputs, filters, size=1))
        x = layers.ReLU()(layers.Add()([x, shortcut]))
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D(dtype="float32")(x))
    return _network("residual_cnn", images, x, classes)


def mini_xception(classes: int) -> keras.Model:
    """Build mini-Xception: separable convolutions with residuals, global pooling, no dense layer.

    Source: Arriaga, Valdenegro-Toro and Plöger, "Real-time Convolutional Neural Networks for Emotion and
    Gender Classification", arXiv:1710.07557, 2017.
    """
    images = _images()
    x = _standardized(images)
    for _ in range(2):
        x = _normalized_relu(layers.Conv2D(8, 3, use_bias=False)(x))
    for filters in (16, 32, 64, 128):
        # A 1x1 convolution with stride 2, said in two layers: as one, TensorFlow's CPU kernel for its
        # gradient writes beyond its memory for odd batches (2.21, AVX-512).
        shortcut = layers.MaxPooling2D(1, strides=2, padding="same")(x)
        shortcut = layers.Conv2D(filters, 1, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization(momentum=MOMENTUM)(shortcut)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(_normalized_relu(x))
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
        x = layers.Add()([layers.MaxPooling2D(3, strides=2, padding="same")(x), shortcut])
    x = layers.Conv2D(classes, 3, padding="same")(x)
    logits = layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)
    return keras.Model(images, _softmax(logits), name="mini_xception")


def transfer(
    backbone: str,
    classes: int,
    *,
    image_size: int = 96,
    trainable: str = "head",
    dropout: float = 0.5,
    pretrained: bool = True,
) -> keras.Model:
    """Build a network made for ImageNet with a multilayer perceptron on its bottleneck features.

    With `trainable="head"` the backbone stays as it is, its batch-normalization statistics included.

    Source: MobileNet v1, Howard et al., arXiv:1704.04861, 2017, weights of TF-slim; ResNet50, He et al.,
    "Deep Residual Learning for Image Recognition", CVPR 2016, weights of Keras.
    """
    if trainable not in ("head", "all"):
        raise ValueError(f'trainable is "head" or "all", not {trainable!r}')
    made = PRETRAINED[backbone]
    images = _images()
    # Not the layer Resizing: it turns a plain call of the network, without `training`, into training mode.
    x = keras.ops.image.resize(images, (image_size, image_size))
    x = layers.Concatenate()([x, x, x])
    x = layers.Normalization(mean=made.mean, variance=(made.deviation**2,) * 3)(x)
    base = made.application(
        input_tensor=x, input_shape=(image_size, image_size, 3), include_top=False, weights=None
    )
    if pretrained:
        load_weights(base, backbone)
    for layer in base.layers:
        layer.trainable = trainable == "all"  # if not, batch normalization keeps to its stored statistics
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    x = layers.GlobalAveragePooling2D(name="bottleneck")(base.output)
    x = layers.Dense(256, use_bias=False, kernel_initializer="he_normal", name="head_dense")(x)
    x = layers.Dropout(dropout, name="head_dropout")(_normalized_relu(x))
    return _network(backbone, images, x, classes)


MODELS = {
    "prior": prior,
    "logistic": logistic,
    "shallow_cnn": shallow_cnn,
    "four_block_cnn": four_block_cnn,
    "deep_cnn": deep_cnn,
    "lean_cnn": lean_cnn,
    "residual_cnn": residual_cnn,
    "mini_xception": mini_xception,
    "mobilenet": partial(transfer, "mobilenet"),
    "mobilenet_scratch": partial(transfer, "mobilenet", trainable="all", pretrained=False),
    "resnet50": partial(transfer, "resnet50"),
    "resnet50_scratch": partial(transfer, "resnet50", trainable="all", pretrained=False),
}
"""Registry: name to builder, the simplest first."""


def split_backbone(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a network in two at its layer `bottleneck`, which MobileNet and ResNet50 have.

    Both parts, from images to features float (n, f) and from there to probabilities, share layers and weights
    with `model`: what the head learns, the whole network knows.
    """
    bottleneck = model.get_layer("bottleneck")
    backbone = keras.Model(model.inputs[0], bottleneck.output, name=f"{model.name}_backbone")
    x = features = keras.Input(bottleneck.output.shape[1:], name="features")
    for layer in model.layers[model.layers.index(bottleneck) + 1 :]:
        x = layer(x)
    return backbone, keras.Model(features, x, name=f"{model.name}_head")


def macs(part: keras.Model | layers.Layer) -> int:
    """Count the multiply-accumulate operations that one image costs in a network or one of its layers.

    Convolutions and dense layers count; normalization, activations and pooling, about a hundredth of
    them, don't.
    """
    if isinstance(part, keras.Model):
        return sum(macs(layer) for layer in part.layers)
    if isinstance(part, layers.SeparableConv2D):
        kernels = (part.depthwise_kernel, part.pointwise_kernel)
    elif isinstance(part, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
        kernels = (part.kernel,)
    else:
        return 0
    positions = prod(part.output.shape[1:-1])  # 1 for a dense layer
    return positions * sum(prod(kernel.shape) for kernel in kernels)


def same_layers(first: keras.Model, second: keras.Model) -> bool:
    """Say whether two networks have the same layers, set and joined in the same way; names don't count."""
    return _plan(first) == _plan(second)


def _plan(model):
    """Return each layer's kind, settings and inputs, with places instead of names."""
    found = model.get_config()["layers"]
    places = {layer["name"]: place for place, layer in enumerate(found)}

    def placed(part):
        if isinstance(part, dict):
            return {key: placed(value) for key, value in part.items() if key != "name"}
        if isinstance(part, list | tuple):
            return [placed(value) for value in part]
        return places.get(part, part) if isinstance(part, str) else part

    return [placed([layer["class_name"], layer["config"], layer["inbound_nodes"]]) for layer in found]


def _images():
    return keras.Input((IMAGE_SIZE, IMAGE_SIZE, 1), name="images")


def _standardized(images):
    # Mid grey to zero and, with FER-2013's contrast, about unit variance: what He initialization assumes.
    return layers.Rescaling(1 / 64, offset=-2.0)(images)


def _scaled(width: int, factor: float) -> int:
    return max(1, round(width * factor))


def _normalized_relu(x, batch_norm: bool = True):
    if batch_norm:
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    return layers.ReLU()(x)


def _convolution_block(x, filters: int, dropout: float, batch_norm: bool = True):
    # Pooled first, normalization and activation have a quarter of the values to go through.
    x = layers.MaxPooling2D()(_convolution(x, filters, use_bias=not batch_norm))
    return layers.Dropout(dropout)(_normalized_relu(x, batch_norm))


def _convolution(x, filters: int, size: int = 3, use_bias: bool = False):
    options = {"padding": "same", "use_bias": use_bias, "kernel_initializer": "he_normal"}
    return layers.Conv2D(filters, size, **options)(x)


def _dense_relu(x, units: int):
    return layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)


def _softmax(logits):
    return layers.Activation("softmax", dtype="float32", name="probabilities")(logits)


def _network(name: str, images, features, classes: int, **dense) -> keras.Model:
    logits = layers.Dense(classes, dtype="float32", name="logits", **dense)(features)
    return keras.Model(images, _softmax(logits), name=name)
