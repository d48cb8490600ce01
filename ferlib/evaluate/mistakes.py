"""What a network gets wrong, where it looks, and whether image, label or network is to blame."""

import warnings
from collections.abc import Mapping
from itertools import pairwise

import cv2
import keras
import numpy as np
import pandas as pd
from keras import layers, ops
from scipy import stats
from statsmodels.stats import proportion
from tqdm import TqdmWarning

from ferlib.data import votes
from ferlib.evaluate import metrics
from ferlib.labels import CLASSES, FerlibError
from ferlib.train.predicting import Predictions

FLAGS = {
    "faceless": "no face found",
    "leaked": "exact copy in training",
    "near_leaked": "exact or near copy in training",
    "conflicting": "copies with other labels",
    "low_contrast": "low contrast",
    "blank": "blank",
}
"""Column of an audit to what it means."""

NO_EMOTION = votes.COLUMNS[len(CLASSES) :]
"""What could be voted for beside the seven emotions."""


def answers(predictions: Predictions) -> pd.DataFrame:
    """Return one row an image: ``name``, ``true``, ``predicted``, ``confidence`` and ``correct``."""
    classes = np.array(predictions.classes)
    return pd.DataFrame(
        {
            "name": predictions.names,
            "true": classes[predictions.labels],
            "predicted": classes[predictions.predicted],
            "confidence": predictions.confidence,
            "correct": predictions.correct,
        }
    )


def by_flag(predictions: Predictions, images: pd.DataFrame, split: str = "valid") -> pd.DataFrame:
    """Return the accuracy on images with each audit flag and on all others.

    Args:
        predictions: Predictions of one split, or of part of it.
        images: ``Audit.images``, one row an image: ``split``, ``name``, ``label`` and the flags.
        split: Name of the split.

    Returns:
        One row a flag: ``flag``, ``images`` (with it), ``accuracy`` on them with its 95 % Wilson interval
        ``low`` to ``high``, ``accuracy_without``, ``p`` of Fisher's exact test that both are equal, and
        ``p_holm``, corrected for the number of flags that any image has (missing where none has it).
    """
    flagged = _joined(predictions, images[images["split"] == split])
    rows = []
    for column, meaning in FLAGS.items():
        marked = flagged[column].eq(True).to_numpy()  # images that were not audited have no flag
        hits, others = predictions.correct[marked], predictions.correct[~marked]
        low, high = proportion.proportion_confint(hits.sum(), max(len(hits), 1), method="wilson")
        table = [[hits.sum(), len(hits) - hits.sum()], [others.sum(), len(others) - others.sum()]]
        rows.append(
            {
                "flag": meaning,
                "images": len(hits),
                "accuracy": hits.mean() if len(hits) else np.nan,
                "low": low if len(hits) else np.nan,
                "high": high if len(hits) else np.nan,
                "accuracy_without": others.mean() if len(others) else np.nan,
                "p": stats.fisher_exact(table).pvalue,
            }
        )
    table = pd.DataFrame(rows)
    tested = table["images"] > 0
    table.loc[tested, "p_holm"] = metrics.holm(table.loc[tested, "p"]) if tested.any() else np.nan
    return table


def label_doubts(predictions: Predictions) -> np.ndarray:
    """Return the positions of images whose label is probably wrong, the most doubtful first.

    Args:
        predictions: Predictions on images that the network was not trained on.

    Source:
        Northcutt, Jiang and Chuang (2021), "Confident learning: estimating uncertainty in dataset labels".
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # of progress bars that would need Jupyter's widgets
        from cleanlab.filter import find_label_issues
    return find_label_issues(
        predictions.labels, predictions.probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
    )


def crowd(predictions: Predictions, cast: np.ndarray, groups: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Count whom the annotators of FER+ side with.

    Args:
        predictions: Predictions on PublicTest, or on part of it.
        cast: The votes on the same images, uint8 (n, 10), from `votes.of`.
        groups: Name to bool (n,), groups of images to count in.

    Returns:
        One row a group: ``group``, ``images`` that were voted on, and the shares of those in which more
        votes than for anything else, not necessarily more than half of them, are for the ``label``, the
        ``prediction`` (where it differs), ``another emotion``, ``no emotion`` (contempt, unknown, no
        face), or in which two or more answers are ``tied`` for the first place.
    """
    voted, winner = cast.any(axis=1), np.array(votes.COLUMNS)[cast.argmax(axis=1)]
    tied = (cast == cast.max(axis=1, keepdims=True)).sum(axis=1) > 1
    said = answers(predictions)
    kinds = [tied, winner == said["true"], winner == said["predicted"], np.isin(winner, NO_EMOTION)]
    side = np.select(kinds, ["tied", "label", "prediction", "no emotion"], "another emotion")
    order = ["label", "prediction", "another emotion", "no emotion", "tied"]
    rows = []
    for name, members in groups.items():
        sides = pd.Series(side[members & voted])
        shares = sides.value_counts(normalize=True).reindex(order, fill_value=0.0)
        rows.append({"group": name, "images": len(sides), **shares})
    return pd.DataFrame(rows)


def _joined(predictions, facts):
    """Rows of a table with ``name`` and ``label`` (position in all classes), in the order of predictions."""
    codes = np.array([CLASSES.index(name) for name in predictions.classes])[predictions.labels]
    wanted = pd.DataFrame({"name": predictions.names, "label": codes})
    return wanted.merge(facts.drop_duplicates(["name", "label"]), how="left", on=["name", "label"])


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
