"""Grad-CAM: which parts of a face made the network say what it says."""

from itertools import pairwise

import cv2
import keras
import numpy as np
from keras import layers, ops

from ferlib.labels import FerlibError

LEAST = 5
"""Height of feature maps, pixels, below which they cannot tell an eye from a mouth."""

_BATCH = 64  # images whose feature maps are held at a time
_READERS = (
    *(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D),
    *(layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.ZeroPadding2D),
)  # their inputs have been through an activation, unlike those of pooling or normalization


def grad_cam(model: keras.Model, images: np.ndarray, class_indices: np.ndarray) -> np.ndarray:
    """Return where each image speaks for a class.

    The last feature maps that are not too coarse are weighted by the mean gradient of the class's
    log-odds, summed, and clipped at zero. Log-odds rather than the score before the softmax: they need no
    surgery on the network, and unlike the log-probability their gradient does not vanish where the network
    is certain.

    Args:
        model: Network from images (n, 48, 48, 1) of 0..255 to class probabilities (n, k).
        images: uint8 or float32 (n, 48, 48, 1), 0 to 255.
        class_indices: Integers (n,), the class asked about, one an image.

    Returns:
        float32 (n, 48, 48); 1 where an image speaks for the class most, 0 where not at all. All zeros if
        nothing in the image speaks for it.

    Source:
        Selvaraju et al. (2017), "Grad-CAM: visual explanations from deep networks via gradient-based
        localization".
    """
    extract, classify = split_at_last_map(model)
    maps = []
    for start in range(0, len(images), _BATCH):
        batch = np.asarray(images[start : start + _BATCH], "float32")
        features = extract.predict_on_batch(batch)
        gradients = _gradients(classify, features, np.asarray(class_indices[start : start + _BATCH]))
        maps.append(np.einsum("nhwc,nc->nhw", features, gradients.mean(axis=(1, 2))))
    return np.stack([_heat(raw, images.shape[1:3]) for raw in np.concatenate(maps)])


def split_at_last_map(model: keras.Model, least: int = LEAST) -> tuple[keras.Model, keras.Model]:
    """Split a network at its last feature map that is not too coarse, also inside a nested backbone.

    Args:
        model: Network that convolves, and then flattens or pools.
        least: Height that the map should have, pixels; if none has it, the last map of two or more serves.

    Returns:
        The network from images to feature maps (n, h, w, c), and the one from those to the output.

    Raises:
        ValueError: The network has no feature maps.
    """
    for before, layer in reversed(list(pairwise(model.layers))):
        nested = isinstance(layer, keras.Model)
        reads = nested or isinstance(layer, _READERS) and not isinstance(before, layers.ZeroPadding2D)
        if not reads or layer.input.shape[1] < least:
            continue
        try:
            if nested:
                return _split_inside(model, layer, least)
            return keras.Model(model.input, layer.input), keras.Model(layer.input, model.output)
        except ValueError:  # a shortcut leads around this place: it does not part the network
            continue
    if least > 2:
        return split_at_last_map(model, 2)
    raise ValueError(f"network {model.name!r} has no layer that reads feature maps")


def _split_inside(model, nested, least):
    """Split ``model``, a chain of layers, within ``nested``, one of them that is a network itself."""
    position = model.layers.index(nested)
    extract, classify = split_at_last_map(nested, least)
    images, features = keras.Input(model.input.shape[1:]), keras.Input(classify.input.shape[1:])
    before = [layer for layer in model.layers[:position] if not isinstance(layer, layers.InputLayer)]
    return (
        keras.Model(images, _chained([*before, extract], images)),
        keras.Model(features, _chained([classify, *model.layers[position + 1 :]], features)),
    )


def _chained(layers, tensor):
    """Apply layers one after the other."""
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def _log_odds(probabilities, class_indices):
    """Sum over images of log p / (1 - p) of the class asked about."""
    chosen = ops.one_hot(class_indices, probabilities.shape[-1], dtype=probabilities.dtype)
    inside = ops.sum(probabilities * chosen, axis=-1)
    outside = ops.sum(probabilities * (1 - chosen), axis=-1)
    return ops.sum(ops.log(inside + 1e-30) - ops.log(outside + 1e-30))


def _gradients(classify, features, class_indices):
    """Gradient of the log-odds with respect to the feature maps, float32 like ``features``."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        features = tensorflow.convert_to_tensor(features)
        with tensorflow.GradientTape() as tape:
            tape.watch(features)
            score = _log_odds(classify(features, training=False), class_indices)
        return tape.gradient(score, features).numpy()
    if backend == "jax":
        import jax

        weights = [variable.value for variable in classify.trainable_variables]
        state = [variable.value for variable in classify.non_trainable_variables]

        def score(values):
            probabilities, _ = classify.stateless_call(weights, state, values, training=False)
            return _log_odds(probabilities, class_indices)

        return np.asarray(jax.grad(score)(features))
    raise FerlibError(f"Grad-CAM runs on the TensorFlow and JAX backends of Keras; this is {backend}.")


def _heat(raw, size):
    """Clip at zero, enlarge to the image and scale the maximum to one."""
    heat = cv2.resize(np.maximum(raw, 0).astype("float32"), size[::-1], interpolation=cv2.INTER_LINEAR)
    return heat / heat.max() if heat.max() > 0 else heat
