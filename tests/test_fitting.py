import keras
import numpy as np
import pytest

from ferlib import paths
from ferlib.data.fer2013 import Split
from ferlib.labels import CLASSES
from ferlib.train import fitting, models, optimizers, predicting, record
from ferlib.train.backbones import bottleneck_features
from ferlib.train.experiments import Experiment
from ferlib.train.fitting import Fitting


def row(model="logistic", **changes):
    switches = {"switches": (("width", 0.05),)} if model.endswith("cnn") else {}
    fast = {"learning_rate": 1e-3, "batch_size": 32, "epochs": 3, "patience": None}
    return Experiment("tiny", "tests", "tiny", model, **fast | switches | changes)


def split(n=40, seed=0):
    """Noise whose mean grey level tells the class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % len(CLASSES)
    images = generator.integers(0, 40, (n, 48, 48, 1)) + 30 * labels[:, None, None, None]
    return Split("noise", images.astype("uint8"), labels, np.arange(n).astype(str))


def started(experiment, seed=0, train=None):
    return Fitting(experiment, seed, train or split(), split(21, seed=1))


def fit(experiment, seed=0, train=None, epochs=None):
    one = started(experiment, seed, train)
    for _ in range(epochs or experiment.epochs):
        one.epoch()
    return one


def weights(one):
    return [np.asarray(weight) for weight in one.network.weights]


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_history_tells_what_happened():
    one = fit(row())
    assert [list(line) for line in one.history] == [list(record.HISTORY)] * 3
    assert [line["epoch"] for line in one.history] == [1, 2, 3]
    assert one.steps == 2 and one.images == 40
    assert one.history[-1]["loss"] < one.history[0]["loss"]
    assert all(line["seconds"] > 0 and line["learning_rate"] == pytest.approx(1e-3) for line in one.history)


def test_a_step_is_traced_once(monkeypatch):
    traced = []
    original = keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda *a: traced.append(1) or original(*a))
    fit(row(ema=0.5, class_weights=True), epochs=2)  # with a rest batch of another size
    sizes = 1 if keras.backend.backend() == "tensorflow" else 2  # JAX compiles for each
    assert len(traced) == sizes


def test_best_weights_and_predictions_are_those_of_the_best_epoch():
    one, seen = started(row("shallow_cnn", epochs=4)), []
    while not one.finished:
        one.epoch()
        seen.append(weights(one))
    accuracies = [line["valid_accuracy"] for line in one.history]
    best = int(np.argmax(accuracies))
    predictions = one.keep_best()
    assert one.best_epoch == best + 1 and predictions.accuracy == max(accuracies)
    assert equal(weights(one), seen[best])
    again = predicting.predict(one.network, split(21, seed=1))
    np.testing.assert_allclose(again.probabilities, predictions.probabilities, atol=1e-3)


def test_patience_ends_a_run_and_none_does_not():
    one, patient = started(row(epochs=9, patience=2)), started(row(epochs=9))
    for number, accuracy in enumerate([0.2, 0.3, 0.3, 0.1]):
        assert not one.finished
        one.history.append({"epoch": number + 1, "valid_accuracy": accuracy})
    patient.history = one.history
    assert one.finished and one.best_epoch == 2 and not patient.finished


def test_same_seed_same_weights():
    experiment = row("shallow_cnn", policy="strong", epochs=1)
    first, second = (weights(fit(experiment)) for _ in range(2))
    assert equal(first, second) and not equal(first, weights(started(experiment, 1)))


def test_a_restored_fitting_goes_on_as_if_never_stopped():
    """With all that a state can hold: dropout, augmentation, momentum, average, loss scale."""
    steps = {"optimizer": "sgd", "schedule": "cosine", "warmup": 0.2, "ema": 0.9}
    experiment = row("shallow_cnn", policy="strong", precision="mixed_float16", **steps)
    undisturbed, stopped, resumed = fit(experiment), fit(experiment, epochs=1), started(experiment)
    resumed.restore(stopped.state())
    while not resumed.finished:
        resumed.epoch()
    convolution = next(layer for layer in resumed.network.layers if isinstance(layer, keras.layers.Conv2D))
    assert (convolution.compute_dtype, convolution.variable_dtype) == ("float16", "float32")
    assert keras.config.dtype_policy().name == "float32", "the policy is put back"
    assert equal(weights(undisturbed), weights(resumed))
    without_seconds = [[line | {"seconds": 0} for line in one.history] for one in (undisturbed, resumed)]
    assert without_seconds[0] == without_seconds[1]
    assert equal([undisturbed.keep_best().probabilities], [resumed.keep_best().probabilities])


def test_a_state_of_another_network_or_that_lacks_something_changes_nothing():
    stored, one = fit(row(epochs=1)).state(), started(row())
    before = weights(one)
    for lost in ("probabilities", "history_loss", "best0", "variable0"):
        with pytest.raises(KeyError, match=lost):
            one.restore({name: value for name, value in stored.items() if name != lost})
        assert equal(weights(one), before) and one.history == []
    with pytest.raises((KeyError, ValueError)):
        started(row("shallow_cnn")).restore(stored)


def test_network_sees_augmented_images_in_training_only(monkeypatch):
    seen = []

    class Watch(fitting.Augment):
        def call(self, images, training=False):
            seen.append(training)
            return super().call(images, training=training)

    monkeypatch.setattr(fitting, "Augment", Watch)
    # At learning rate zero the loss is that of the first weights, so it tells what the network was shown.
    settings = {"learning_rate": 0.0, "epochs": 1}
    augmented = fit(row(policy="standard", **settings))
    assert seen
    assert not any(isinstance(layer, Watch) for layer in augmented.network.layers)
    seen.clear()
    plain = fit(row(policy="none", **settings))
    assert seen == []
    assert augmented.history[0]["valid_loss"] == plain.history[0]["valid_loss"]
    assert abs(augmented.history[0]["loss"] - plain.history[0]["loss"]) > 1e-3


def test_strength_scales_the_policy():
    layers = fitting._training_model(models.build("logistic"), row(policy="standard", strength=0.5), 0).layers
    (augment,) = (layer for layer in layers if isinstance(layer, fitting.Augment))
    assert augment.policy == fitting.POLICIES["standard"].times(0.5)


@pytest.mark.parametrize("kind", [fitting._batches, fitting._Batches])
def test_batches_hold_the_images_in_the_given_order(kind):
    batches = kind(np.arange(10), -np.arange(10), np.array([7, 1, 3, 9, 0]), 2)
    found = [batches[i] for i in range(len(batches))] if hasattr(batches, "num_batches") else list(batches)
    for part, sign in enumerate((1, -1)):
        expected = [[7 * sign, sign], [3 * sign, 9 * sign], [0]]
        assert [np.asarray(batch[part]).tolist() for batch in found] == expected
    if hasattr(batches, "options"):
        assert batches.options().autotune.enabled is False, "epochs do not wait for the autotuner"


@pytest.mark.parametrize(("smoothing", "weighted"), [(0.0, False), (0.3, True)])
def test_loss_smooths_labels_and_weighs_classes(smoothing, weighted):
    """At learning rate zero the loss is that of the first weights, which is easily counted by hand."""
    train = split(40).take(np.arange(39))  # class 4 has five images, the others five or six
    settings = {"learning_rate": 0.0, "epochs": 1, "batch_size": 39}
    one = fit(row(label_smoothing=smoothing, class_weights=weighted, **settings), train=train)

    def losses(labels, probabilities):
        targets = (1 - smoothing) * np.eye(7)[labels] + smoothing / 7
        return -(targets * np.log(probabilities)).sum(axis=1)

    weights_of_images = 39 / 7 / np.bincount(train.labels)[train.labels] if weighted else np.ones(39)
    expected = losses(train.labels, one.network.predict(train.images, verbose=0)) * weights_of_images
    assert one.history[0]["loss"] == pytest.approx(expected.mean(), rel=1e-4)
    seen = predicting.predict(one.network, split(21, seed=1))
    expected = losses(seen.labels, seen.probabilities).mean()
    assert one.history[0]["valid_loss"] == pytest.approx(expected, rel=1e-3), "PublicTest is counted alike"


def test_averaged_weights_are_evaluated_and_raw_weights_go_on():
    """By hand: after two steps of an average with decay 0.5 over steps of a known optimizer."""
    raw, averaged = (fit(row(ema=ema, batch_size=40, epochs=40), epochs=1) for ema in (0.0, 0.5))
    assert equal(weights(raw), weights(averaged)), "the first average is the first weights"
    for one in (raw, averaged):
        one.epoch()
    assert equal(weights(raw), weights(averaged)), "training goes on from the raw weights"

    def averages():
        return [np.asarray(v) for v in averaged._training.optimizer._model_variables_moving_average]

    assert not equal(averages(), weights(raw))
    averaged._best = {}
    averaged.history.clear()
    line = averaged.epoch()
    kept = averaged._best["weights"]
    assert line["epoch"] == 1 and not equal(kept, weights(averaged)) and equal(kept, averages())


def test_short_runs_average_over_a_tenth_of_their_steps():
    assert optimizers.optimizer(row(ema=0.999, epochs=10), steps=10).ema_momentum == pytest.approx(0.9)
    assert optimizers.optimizer(row(ema=0.999, epochs=100), steps=900).ema_momentum == 0.999
    assert not optimizers.optimizer(row(), steps=10).use_ema


def test_cosine_rises_and_falls_and_is_told_as_keras_computes_it():
    one = row(optimizer="sgd", schedule="cosine", warmup=0.2, epochs=10, weight_decay=0.01)
    optimizer = optimizers.optimizer(one, steps=10)
    rates = [float(optimizer._learning_rate(step)) for step in range(101)]
    assert [rates[step] for step in (0, 10, 20, 60, 100)] == pytest.approx([0, 5e-4, 1e-3, 5e-4, 0], abs=1e-7)
    assert [optimizers.cosine(one, 10, done) for done in range(101)] == pytest.approx(rates, abs=1e-8)
    assert optimizer.weight_decay == 0.01


def test_plateau_halves_the_rate_after_a_third_of_the_patience(monkeypatch):
    one, rates = started(row(schedule="plateau", patience=6, epochs=20)), []
    for accuracy in [0.2, 0.1, 0.1, 0.1, 0.1, 0.3, 0.2, 0.2, 0.2]:
        rates.append(one._plateau_rate())
        one.history.append({"valid_accuracy": accuracy})
    assert np.divide(rates, 1e-3).tolist() == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    monkeypatch.setattr(Fitting, "_plateau_rate", lambda self: 0.004)
    assert fit(row(schedule="plateau"), epochs=1).history[0]["learning_rate"] == pytest.approx(0.004)


def test_weight_decay_shrinks_kernels_and_leaves_biases():
    experiment = row(optimizer="sgd", learning_rate=0.5, weight_decay=0.2, epochs=1, batch_size=40)
    network = models.build("logistic")
    optimizer = optimizers.optimizer(experiment, steps=1)
    kernel, bias = network.trainable_variables
    kernel.assign(np.ones(kernel.shape)), bias.assign(np.ones(bias.shape))
    optimizer.apply([np.zeros(kernel.shape, "float32"), np.zeros(7, "float32")], [kernel, bias])
    np.testing.assert_allclose(kernel, 0.9, rtol=1e-6)
    np.testing.assert_allclose(bias, 1.0)


@pytest.fixture
def tiny_backbone(monkeypatch):
    """A pretrained network of one convolution."""

    def build(classes, trainable, pretrained=True):
        images = keras.Input((48, 48, 1), name="images")
        frozen = keras.layers.Conv2D(8, 5, strides=4, trainable=trainable == "all")(images)
        x = keras.layers.GlobalAveragePooling2D(name="bottleneck")(frozen)
        x = keras.layers.BatchNormalization()(x)
        return keras.Model(images, keras.layers.Dense(classes, activation="softmax")(x), name="tiny")

    monkeypatch.setitem(models.MODELS, "tiny", build)


def test_frozen_backbone_learns_its_head_from_cached_features(tiny_backbone, monkeypatch):
    one = started(row("tiny", switches=(("trainable", "head"),)))
    backbone, _ = models.split_backbone(one.network)
    before = weights(one)
    one.epoch()
    changed = [not np.array_equal(a, b) for a, b in zip(before, weights(one), strict=True)]
    assert changed == [False] * len(backbone.weights) + [True] * 6
    whole = record.rounded(predicting.predict(one.network, split(21, seed=1)))
    np.testing.assert_allclose(whole.probabilities, one.keep_best().probabilities, atol=1e-3)

    def forbidden(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(predicting, "outputs", forbidden)
    assert bottleneck_features(backbone, split().images).shape == (40, 8)
    damaged = next(file for file in (paths.cache() / "features").iterdir() if len(np.load(file)) == 40)
    damaged.write_bytes(damaged.read_bytes()[:700])
    with pytest.raises(AssertionError, match="computed again"):
        bottleneck_features(backbone, split().images)
    with pytest.raises(AssertionError, match="computed again"):
        bottleneck_features(backbone, split(seed=2).images)
    backbone.layers[1].kernel.assign(backbone.layers[1].kernel + 1)
    with pytest.raises(AssertionError, match="computed again"):
        bottleneck_features(backbone, split().images)
