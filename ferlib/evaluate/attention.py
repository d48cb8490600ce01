"""Where a network looks: maps of what speaks for a class, from gradients and from covered parts of a face."""

from itertools import pairwise

import cv2
import keras
import numpy as np
from keras import layers, ops
from scipy import stats

from ferlib.labels import FerlibError
from ferlib.train import predicting

LEAST = 5
"""Height of feature maps, pixels, below which they cannot tell an eye from a mouth."""

GREY, PATCH, STEP = 127, 16, 8
"""What covers a face: mid grey, which networks take for zero; side of the patch, and its steps, pixels."""

_READERS = (
    *(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D),
    *(layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.ZeroPadding2D),
)  # their inputs have been through an activation, unlike those of pooling or normalization


def grad_cam(model: keras.Model, images: np.ndarray, class_indices: np.ndarray) -> np.ndarray:
    """Return where each image speaks for a class, and where against it.

    The last feature maps that are not too coarse are weighted by the mean gradient of the class's
    log-odds and summed. Log-odds rather than the score before the softmax: they need no surgery on the
    network, and unlike the log-probability their gradient does not vanish where the network is certain.
    Nothing is clipped at zero, as in the source, so that means over images are means of all of them.

    Args:
        model: Network from images (n, 48, 48, 1) of 0..255 to class probabilities (n, k).
        images: uint8 or float32 (n, 48, 48, 1), 0 to 255.
        class_indices: Integers (n,), the class asked about, one an image.

    Returns:
        float32 (n, 48, 48), above zero where an image speaks for the class; only ratios mean anything.

    Source:
        Selvaraju et al. (2017), "Grad-CAM: visual explanations from deep networks via gradient-based
        localization".
    """
    extract, classify = split_at_last_map(model)
    features = ops.convert_to_numpy(extract(np.asarray(images, "float32"), training=False))
    weights = _gradients(classify, features, np.asarray(class_indices)).mean(axis=(1, 2))
    maps, size = np.einsum("nhwc,nc->nhw", features, weights), images.shape[2:0:-1]
    return np.stack([cv2.resize(raw, size, interpolation=cv2.INTER_LINEAR) for raw in maps])


def occlusion(model: keras.Model, images: np.ndarray, class_indices: np.ndarray) -> np.ndarray:
    """Return by how much the probability of a class drops where a grey patch covers each image.

    Arguments are those of `grad_cam`.

    Returns:
        float32 (n, 48, 48), -1 to 1: the mean drop over all places of the patch that cover a pixel.

    Source:
        Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks".
    """
    images, everyone, batch = np.asarray(images), np.arange(len(images)), min(256, len(images))
    before = predicting.outputs(model, images, batch)[everyone, class_indices]
    drops, covered = np.zeros(images.shape[:3], "float32"), np.zeros(images.shape[1:3], "float32")
    for top in range(0, images.shape[1] - PATCH + 1, STEP):
        for left in range(0, images.shape[2] - PATCH + 1, STEP):
            place = slice(top, top + PATCH), slice(left, left + PATCH)
            changed = images.copy()
            changed[:, *place] = GREY
            after = predicting.outputs(model, changed, batch)[everyone, class_indices]
            drops[:, *place] += (before - after)[:, None, None]
            covered[place] += 1
    return drops / np.maximum(covered, 1)


def redraw(model: keras.Model) -> None:
    """Shuffle each of a network's weights among themselves: it keeps its layers and knows nothing.

    A map that says what a network learned must change by this.

    Source:
        Adebayo et al. (2018), "Sanity checks for saliency maps".
    """
    generator = np.random.default_rng(0)
    model.set_weights([generator.permuted(weight) for weight in model.get_weights()])


def likeness(maps: np.ndarray, others: np.ndarray) -> float:
    """Return the mean rank correlation, -1 to 1, of two kinds of maps (n, h, w) of the same images.

    Images whose map is the same all over don't count. Source: as `redraw`.
    """
    pairs = zip(maps.reshape(len(maps), -1), others.reshape(len(others), -1), strict=True)
    return float(np.mean([stats.spearmanr(*pair)[0] for pair in pairs if min(map(np.ptp, pair)) > 0]))


def some_of_each(labels: np.ndarray, number: int = 30) -> np.ndarray:
    """Return the positions of some images of each class, all of them where there are fewer."""
    generator = np.random.default_rng(0)
    members = [generator.permutation(np.flatnonzero(labels == code))[:number] for code in np.unique(labels)]
    return np.concatenate(members)


def class_means(maps: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean map of each class that occurs, in the order of the codes, (k, h, w)."""
    return np.stack([maps[labels == code].mean(axis=0) for code in np.unique(labels)])


def split_at_last_map(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a network at its last feature map of `LEAST` pixels.

    Returns:
        The network from images to feature maps (n, h, w, c), and the one from those to the output.

    Raises:
        ValueError: The network has no such feature maps.
    """
    for before, layer in reversed(list(pairwise(model.layers))):
        reads = isinstance(layer, _READERS) and not isinstance(before, layers.ZeroPadding2D)
        if not reads or layer.input.shape[1] < LEAST:
            continue
        try:
            return keras.Model(model.input, layer.input), keras.Model(layer.input, model.output)
        except ValueError:  # a shortcut leads around this place: it does not part the network
            continue
    raise ValueError(f"network {model.name!r} has no layer that reads feature maps")


def _log_odds(probabilities, class_indices):
    """Sum over images of log p / (1 - p) of the class asked about."""
    chosen = ops.one_hot(class_indices, probabilities.shape[-1], dtype=probabilities.dtype)
    inside = ops.sum(probabilities * chosen, axis=-1)
    outside = ops.sum(probabilities * (1 - chosen), axis=-1)
    return ops.sum(ops.log(inside + 1e-30) - ops.log(outside + 1e-30))


def _gradients(classify, features, class_indices):
    """Gradient of the log-odds with respect to the feature maps, float32 like ``features``."""
    if (backend := keras.backend.backend()) != "tensorflow":
        raise FerlibError(f"Grad-CAM runs on the TensorFlow backend of Keras; this is {backend}.")
    import tensorflow

    features = tensorflow.convert_to_tensor(features)
    with tensorflow.GradientTape() as tape:
        tape.watch(features)
        score = _log_odds(classify(features, training=False), class_indices)
    return tape.gradient(score, features).numpy()
