"""One network in training, an epoch at a time, with a state that can be stored and taken up again."""

import math
import time
from contextlib import contextmanager
from dataclasses import replace

import keras
import numpy as np
import pandas as pd

from ferlib.data import fer2013
from ferlib.data.fer2013 import Split
from ferlib.train import compiled, machine, models, optimizers, predicting, record, targets
from ferlib.train.augmentation import POLICIES, Augment
from ferlib.train.backbones import bottleneck_features
from ferlib.train.experiments import Experiment

PLATEAU_FACTOR = 0.5
"""What a plateau schedule multiplies the learning rate by."""

SAMPLE = 7178
"""Training images on which a finished network is measured: as many as both test splits have."""


class Fitting:
    """A network, its optimizer and what it has seen so far.

    Everything random is drawn from the seed and from generators whose state `state` holds, so a fitting
    that was restored goes on exactly as the one that was stopped.

    Args:
        experiment: Row of the experiment table, as it shall run.
        seed: Seed of initial weights, order of images, dropout and augmentation.
        train: Training images, all that shall be seen, labelled by what they teach, see ``targets.taught``.
        valid: PublicTest images: they choose the best epoch and the moment to stop, by the row's target.
        taught: What each training image is to be answered with, float32 (n, k); None takes the row's target.

    Attributes:
        network: From images to probabilities; has the best weights once `keep_best` was called.
        history: One dict an epoch, keys `record.HISTORY`.
    """

    def __init__(
        self,
        experiment: Experiment,
        seed: int,
        train: Split,
        valid: Split,
        *,
        taught: np.ndarray | None = None,
    ):
        if scanned := compiled.available():
            compiled.keep_programs()
        keras.backend.clear_session()  # or each run of a matrix would leave its graphs behind
        keras.utils.set_random_seed(seed)
        self.experiment, self.seed, self.history = experiment, seed, []
        self.images = len(train)
        self.steps = math.ceil(len(train) / experiment.batch_size)
        self._best: dict[str, list | np.ndarray] = {}
        self.precision = machine.precision() if experiment.precision == "auto" else experiment.precision
        with _precision(self.precision):
            self.network = models.build(experiment.model, len(train.classes), **dict(experiment.switches))
            self._learner = self.network
            if experiment.frozen:
                backbone, self._learner = models.split_backbone(self.network)
                train, valid = (
                    replace(split, images=bottleneck_features(backbone, split.images))
                    for split in (train, valid)
                )
            self._training = _training_model(self._learner, experiment, seed)
            self._training.compile(
                optimizers.optimizer(experiment, self.steps),
                keras.losses.CategoricalCrossentropy(label_smoothing=experiment.label_smoothing),
                metrics=["accuracy"],
            )
        self._train, self._valid = train, valid
        self._targets = targets.probabilities(train, experiment.target) if taught is None else taught
        self._truth = targets.truth(valid, experiment.target)
        self._create_variables()
        self._class_weights = _class_weights(train) if experiment.class_weights else None
        self._scan, self._evaluation = self._compiled() if scanned else (None, None)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or patience has run out."""
        epochs, patience = len(self.history), self.experiment.patience
        waited = patience is not None and epochs > 0 and epochs - self.best_epoch >= patience
        return waited or epochs >= self.experiment.epochs

    @property
    def best_epoch(self) -> int:
        """Epoch, from 1, of the best PublicTest accuracy so far, the first of equals."""
        return 1 + int(np.argmax([row["valid_accuracy"] for row in self.history]))

    def epoch(self) -> dict:
        """Train one epoch, evaluate on PublicTest, and return the new row of the history."""
        number = len(self.history)
        if self.experiment.schedule == "plateau":
            self._training.optimizer.learning_rate = self._plateau_rate()
        order = np.random.default_rng((self.seed, number)).permutation(len(self._train))
        start = time.perf_counter()
        logs = self._scan(order) if self._scan else self._fit(order)
        seconds = time.perf_counter() - start
        with self._averaged():
            predictions = record.rounded(self._evaluate())
            counted = self._truth >= 0
            judged = replace(predictions.take(counted), labels=self._truth[counted])
            row = {
                "epoch": number + 1,
                "loss": logs["loss"],
                "accuracy": logs["accuracy"],
                "valid_loss": _cross_entropy(judged, self.experiment.label_smoothing),
                "valid_accuracy": judged.accuracy,
                "learning_rate": self._rate(),
                "seconds": seconds,
            }
            self.history.append(row)
            if self.best_epoch == number + 1:
                self._best = {
                    "weights": [_numpy(weight) for weight in self._learner.weights],
                    "probabilities": predictions.probabilities,
                }
        return row

    def keep_best(self) -> predicting.Predictions:
        """Give the network the weights of the best epoch and return its PublicTest predictions."""
        for weight, value in zip(self._learner.weights, self._best["weights"], strict=True):
            weight.assign(value)
        return self._predictions(self._best["probabilities"])

    def training_accuracy(self) -> float:
        """Return the accuracy on training images as they are, without augmentation and dropout.

        Of all of them or of a fixed sample of `SAMPLE`, with the weights as they are.
        """
        split = self._train if len(self._train) <= SAMPLE else fer2013.subset(self._train, SAMPLE, 0)
        return predicting.predict(self._learner, split).accuracy

    def state(self) -> dict[str, np.ndarray]:
        """Return all that `restore` needs to go on as if nothing had happened."""
        arrays = {f"variable{i}": _numpy(v) for i, v in enumerate(self._variables())}
        arrays |= {f"best{i}": value for i, value in enumerate(self._best["weights"])}
        arrays["probabilities"] = self._best["probabilities"]
        columns = {f"history_{name}": [row[name] for row in self.history] for name in record.HISTORY}
        return arrays | {name: np.array(values) for name, values in columns.items()}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up a state.

        Raises:
            KeyError, ValueError: The state belongs to another network; this one is as it was.
        """
        variables, weights = self._variables(), self._learner.weights
        values = [arrays[f"variable{i}"] for i in range(len(variables))]
        best = [arrays[f"best{i}"] for i in range(len(weights))]
        for variable, value in zip([*variables, *weights], [*values, *best], strict=True):
            if tuple(variable.shape) != value.shape:
                raise ValueError(f"{variable.path} has shape {variable.shape}, stored is {value.shape}")
        columns = {name: arrays[f"history_{name}"].tolist() for name in record.HISTORY}
        history = pd.DataFrame(columns).to_dict("records")
        self._best = {"weights": best, "probabilities": arrays["probabilities"]}
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.history = history

    def _compiled(self) -> tuple:
        """Return an epoch of training and the evaluation after it, each a program as a whole."""
        weights = self._class_weights and np.take(list(self._class_weights.values()), self._train.labels)
        arrays = [array for array in (self._train.images, self._targets, weights) if array is not None]
        scan = compiled.scan(self._training, arrays, self.experiment.batch_size)
        return scan, compiled.evaluation(self._learner, self._valid.images)

    def _fit(self, order: np.ndarray) -> dict[str, float]:
        """Train one epoch with Keras' own loop and return loss and accuracy."""
        raw = _RawWeights()
        logs = self._training.fit(
            _batches(self._train.images, self._targets, order, self.experiment.batch_size),
            shuffle=False,
            class_weight=self._class_weights,
            callbacks=[raw],
            verbose=0,
        ).history
        raw.restore()
        return {name: float(values[0]) for name, values in logs.items()}

    @contextmanager
    def _averaged(self):
        """Put the weights' moving average, where there is one, in their place for a while."""
        raw = _RawWeights(self._training)
        self._training.optimizer.finalize_variable_values(self._training.trainable_variables)
        for variable, _ in raw.values:  # under JAX in the memory of the average, which predicting would free
            variable.assign(keras.ops.copy(variable))
        yield
        raw.restore()

    def _evaluate(self) -> predicting.Predictions:
        """Predict on PublicTest with the weights as they are."""
        if self._evaluation:
            return self._predictions(self._evaluation())
        return predicting.predict(self._learner, self._valid)

    def _predictions(self, probabilities: np.ndarray) -> predicting.Predictions:
        labels, names = map(np.asarray, (self._valid.labels, self._valid.names))
        return predicting.Predictions(labels, probabilities, names, self._valid.classes)

    def _create_variables(self) -> None:
        """Create what Keras would create in the first step: TensorFlow traces such a step twice."""
        some = self._targets[:1]
        self._training.optimizer.build(self._training.trainable_variables)
        self._training.compute_loss(y=some, y_pred=some)
        self._training.compute_metrics(None, some, some)

    def _variables(self):
        return [*self._training.variables, *self._training.optimizer.variables]

    def _rate(self) -> float:
        """Return the learning rate of the step just taken."""
        if self.experiment.schedule == "cosine":  # asking Keras compiles a program each time under JAX
            return optimizers.cosine(self.experiment, self.steps, self.steps * (len(self.history) + 1))
        return float(self._training.optimizer.learning_rate)

    def _plateau_rate(self) -> float:
        wait = max(1, (self.experiment.patience or self.experiment.epochs) // 3)
        rate, best, waited = self.experiment.learning_rate, -1.0, 0
        for row in self.history:
            best, waited = (row["valid_accuracy"], 0) if row["valid_accuracy"] > best else (best, waited + 1)
            if waited == wait:
                rate, waited = rate * PLATEAU_FACTOR, 0
        return rate


def _batches(images: np.ndarray, targets: np.ndarray, order: np.ndarray, batch_size: int):
    """Return images and targets in a given order, in batches, as the backend takes them fastest."""
    if keras.backend.backend() != "tensorflow":
        return _Batches(images, targets, order, batch_size)
    import tensorflow as tf

    # Handed over whole, arrays go through the autotuner, and under TensorFlow 2.21 an epoch then ends only
    # when that wakes up: after 10, 20, 41, 82 or 142 s, however early the last step was done.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    with tf.device("CPU"):
        arrays = tf.constant(images), tf.constant(targets)
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)

    @tf.autograph.experimental.do_not_convert  # which leaves compiled files behind, and changes nothing here
    def chosen(places):
        return tuple(tf.gather(array, places) for array in arrays)

    return batches.map(chosen).prefetch(2).with_options(options)


class _Batches(keras.utils.PyDataset):
    """Images and targets in a given order, a batch at a time."""

    def __init__(self, images: np.ndarray, targets: np.ndarray, order: np.ndarray, batch_size: int):
        super().__init__()
        self._images, self._targets, self._order, self._size = images, targets, order, batch_size

    def __len__(self):
        return math.ceil(len(self._order) / self._size)

    def __getitem__(self, index):
        places = self._order[index * self._size : (index + 1) * self._size]
        return self._images[places], self._targets[places]


class _RawWeights(keras.callbacks.Callback):
    """Keeps the weights that the optimizer works on: at its end ``fit`` puts their average in their place."""

    def __init__(self, model: keras.Model | None = None):
        super().__init__()
        if model is not None:
            self.set_model(model)
            self.on_epoch_end(0)

    def on_epoch_end(self, epoch, logs=None):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)  # of a loss scale
        variables = self.model.trainable_variables if optimizer.use_ema else []
        self.values = [(variable, keras.ops.copy(variable)) for variable in variables]

    def restore(self):
        for variable, value in self.values:
            variable.assign(value)


@contextmanager
def _precision(policy: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _training_model(learner: keras.Model, experiment: Experiment, seed: int) -> keras.Model:
    """Put augmentation before a network; both share all weights."""
    policy = POLICIES[experiment.policy].times(experiment.strength)
    inputs = keras.Input(learner.input_shape[1:])
    changed = inputs if experiment.policy == "none" else Augment(policy, seed)(inputs)
    return keras.Model(inputs, learner(changed))


def _class_weights(split: Split) -> dict[int, float]:
    """Return by class what each of its images weighs, so that all classes weigh the same."""
    counts = np.maximum(1, np.bincount(split.labels, minlength=len(split.classes)))
    return dict(enumerate((len(split) / (len(counts) * counts)).tolist()))


def _cross_entropy(predictions: predicting.Predictions, smoothing: float) -> float:
    """Mean cross-entropy against the smoothed answers that judge, which may not be what is taught."""
    logs = np.log(np.maximum(predictions.probabilities, 1e-7))
    own = logs[np.arange(len(logs)), predictions.labels]
    return float(-((1 - smoothing) * own + smoothing * logs.mean(axis=1)).mean())


def _numpy(variable) -> np.ndarray:
    return np.array(np.asarray(variable))  # a copy: the variable will change
