"""What turns gradients into steps: optimizer, learning-rate schedule and average of the weights."""

import math

import keras

from ferlib.train.experiments import Experiment

MOMENTUM = 0.9
"""Of SGD, in Nesterov's form."""


def optimizer(experiment: Experiment, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a scaled row of so many steps an epoch, its schedule and average included."""
    total = steps * experiment.epochs
    rate = experiment.learning_rate
    if experiment.schedule == "cosine":
        warmup = round(experiment.warmup * total)
        rising = {"initial_learning_rate": 0.0, "warmup_target": rate, "warmup_steps": warmup}
        start = rising if warmup else {"initial_learning_rate": rate}
        rate = keras.optimizers.schedules.CosineDecay(**start, decay_steps=max(1, total - warmup))
    chosen = {
        "learning_rate": rate,
        "weight_decay": experiment.weight_decay or None,
        "use_ema": experiment.ema > 0,
        "ema_momentum": averaging(experiment, total),
    }
    if experiment.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=MOMENTUM, nesterov=True, **chosen)
    else:
        optimizer = keras.optimizers.Adam(**chosen)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def cosine(experiment: Experiment, steps: int, done: int) -> float:
    """Return the learning rate of a cosine schedule after some steps, as Keras' ``CosineDecay`` gives it."""
    total = steps * experiment.epochs
    warmup = round(experiment.warmup * total)
    if done < warmup:
        return experiment.learning_rate * done / warmup
    share = min(1.0, (done - warmup) / max(1, total - warmup))
    return experiment.learning_rate * (1 + math.cos(math.pi * share)) / 2


def averaging(experiment: Experiment, steps: int) -> float:
    """Return the decay of the weights' average in a run of so many steps of a scaled row; 0 for none."""
    # The average must forget the random start long before a short run ends.
    return min(experiment.ema, max(0.0, 1 - 10 / steps))
