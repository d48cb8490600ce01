"""A Keras layer that changes training images at random, on the device that trains, in one resample."""

from dataclasses import asdict, dataclass, replace

import keras
from keras import ops

# Columns of uniform draws, one row an image.
FLIP, ROTATION, SCALE, SHIFT_Y, SHIFT_X, BRIGHTNESS, CONTRAST, ERASE, AREA, ASPECT, TOP, LEFT, GREY, DRAWS = (
    range(14)
)


@dataclass(frozen=True)
class Policy:
    """How far training images may be changed; the default changes nothing.

    Attributes:
        flip: Probability of a mirror image, 0..1.
        rotation: Largest rotation either way, degrees.
        scale: Largest change of size either way, as a fraction below 1; 0.2 draws from 0.8 to 1.2.
        shift: Largest shift along each axis either way, as a fraction of the image.
        brightness: Largest change of all pixels either way, grey levels.
        contrast: Largest change of the contrast either way, as a fraction.
        erase: Probability that a rectangle is erased, 0..1 (Zhong et al., "Random Erasing", AAAI 2020).
        erase_area: Smallest and largest area of that rectangle, as fractions of the image.
    """

    flip: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.2)

    def times(self, strength: float) -> "Policy":
        """Return the policy with every range multiplied by `strength` (0 or more); flipping stays."""
        ranges = {name: value for name, value in asdict(self).items() if name not in ("flip", "erase_area")}
        return replace(self, **{name: strength * value for name, value in ranges.items()})


POLICIES = {
    "none": Policy(),
    "light": Policy(flip=0.5, rotation=6, scale=0.1, shift=0.05),
    "standard": Policy(flip=0.5, rotation=12, scale=0.2, shift=0.1),
    "strong": Policy(flip=0.5, rotation=15, scale=0.25, shift=0.15, brightness=20, contrast=0.2, erase=0.5),
}
"""Policies by name, the weakest first. Runs know them by name: other numbers need another name."""


@keras.saving.register_keras_serializable("ferlib")
class Augment(keras.layers.Layer):
    """Layer that changes each training image at random and passes others on as they are.

    Flip, rotation, scale and shift are one bilinear resample, so that an image is blurred once. It runs on
    the device in float32 also under mixed precision, and compiles with XLA on every Keras backend.

    Args:
        policy: What may change.
        seed: Seed of the layer's own random numbers; the same seed gives the same sequence of changes.
        **kwargs: Keras' layer arguments; the data type is always float32.

    Call arguments:
        images: uint8 or float, shape (n, height, width, channels), 0..255.
        training: Whether to change the images.

    Returns:
        float32 images of the same shape and range.
    """

    def __init__(self, policy: Policy, seed: int | None = None, **kwargs):
        super().__init__(**kwargs | {"dtype": "float32"})
        self.policy = Policy(**policy) if isinstance(policy, dict) else policy
        self.seed = seed
        self.random = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        """Change the images if `training`."""
        images = ops.cast(images, "float32")
        if not training or self.policy == Policy(erase_area=self.policy.erase_area):
            return images
        draws = keras.random.uniform((ops.shape(images)[0], DRAWS), seed=self.random)
        if self.policy.flip or self.policy.rotation or self.policy.scale or self.policy.shift:
            images = resample(images, affine(self.policy, draws, images.shape[1:3]))
        if self.policy.brightness or self.policy.contrast:
            images = relight(self.policy, draws, images)
        if self.policy.erase:
            images = erase(self.policy, draws, images)
        return images

    def get_config(self):
        """Return what rebuilds the layer."""
        return super().get_config() | {"policy": asdict(self.policy), "seed": self.seed}


def affine(policy: Policy, draws, size: tuple[int, int]):
    """Turn uniform draws into maps from output to input pixels, both counted from the image's centre.

    They are float32 (n, 2, 3), rows y and x, columns y, x and shift in pixels.
    """
    angle = _around(draws[:, ROTATION], policy.rotation * 3.141592653589793 / 180)
    scale = 1 + _around(draws[:, SCALE], policy.scale)
    mirror = ops.where(draws[:, FLIP] < policy.flip, -1.0, 1.0)
    cosine, sine = ops.cos(angle) / scale, ops.sin(angle) / scale
    shift_y = _around(draws[:, SHIFT_Y], policy.shift * size[0])
    shift_x = _around(draws[:, SHIFT_X], policy.shift * size[1])
    rows = [ops.stack([cosine, sine * mirror, shift_y], -1), ops.stack([-sine, cosine * mirror, shift_x], -1)]
    return ops.stack(rows, 1)


def resample(images, matrices):
    """Resample images once, bilinearly; beyond the border the border's pixels go on.

    Four gathers from the flattened batch, which XLA compiles on every backend; Keras' own
    `affine_transform` is faster uncompiled on a CPU, but can't be compiled under TensorFlow.
    """
    count, (height, width, channels) = ops.shape(images)[0], images.shape[1:]
    m = ops.expand_dims(ops.expand_dims(matrices, -1), -1)  # (n, 2, 3, 1, 1)
    y = ops.reshape(ops.arange(height, dtype="float32") - (height - 1) / 2, (height, 1))
    x = ops.arange(width, dtype="float32") - (width - 1) / 2
    source_y = m[:, 0, 0] * y + m[:, 0, 1] * x + m[:, 0, 2] + (height - 1) / 2  # (n, height, width)
    source_x = m[:, 1, 0] * y + m[:, 1, 1] * x + m[:, 1, 2] + (width - 1) / 2
    source_y, source_x = ops.clip(source_y, 0, height - 1), ops.clip(source_x, 0, width - 1)
    top, left = ops.minimum(ops.floor(source_y), height - 2), ops.minimum(ops.floor(source_x), width - 2)
    first = ops.reshape(ops.arange(count, dtype="int32") * (height * width), (-1, 1, 1))
    corner = ops.cast(top * width + left, "int32") + first
    below, right = ops.expand_dims(source_y - top, -1), ops.expand_dims(source_x - left, -1)
    pixels = ops.reshape(images, (-1, channels))

    def between_columns(index):
        return (1 - right) * ops.take(pixels, index, axis=0) + right * ops.take(pixels, index + 1, axis=0)

    return (1 - below) * between_columns(corner) + below * between_columns(corner + width)


def relight(policy: Policy, draws, images):
    """Change each image's contrast about its mean and its brightness; cut at 0 and 255."""
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    contrast = 1 + _each(_around(draws[:, CONTRAST], policy.contrast))
    brightness = _each(_around(draws[:, BRIGHTNESS], policy.brightness))
    return ops.clip((images - mean) * contrast + mean + brightness, 0, 255)


def erase(policy: Policy, draws, images):
    """Fill a rectangle of some images with one random grey, sides in proportion 1:2 to 2:1."""
    height, width = images.shape[1:3]
    smallest, largest = policy.erase_area
    area = smallest + (largest - smallest) * draws[:, AREA]
    aspect = ops.power(2.0, _around(draws[:, ASPECT], 1.0))
    tall, wide = height * ops.sqrt(area * aspect), width * ops.sqrt(area / aspect)
    inside = _spans(draws[:, TOP], tall, height, (1, height, 1, 1))
    inside = ops.logical_and(inside, _spans(draws[:, LEFT], wide, width, (1, 1, width, 1)))
    chosen = ops.logical_and(inside, _each(draws[:, ERASE] < policy.erase))
    return ops.where(chosen, _each(255 * draws[:, GREY]), images)


def _around(draw, reach: float):
    """Spread a draw from 0..1 over -reach..reach."""
    return (2 * draw - 1) * reach


def _each(values):
    """Shape one value an image to go with images."""
    return ops.reshape(values, (-1, 1, 1, 1))


def _spans(draw, length, size: int, shape):
    """Say which pixel centres along an axis lie in a stretch of that length, placed by a draw."""
    start = _each(draw * (size - length))
    centres = ops.reshape(ops.arange(size, dtype="float32") + 0.5, shape)
    return ops.logical_and(centres >= start, centres < start + _each(length))
