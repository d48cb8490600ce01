"""Training on a GPU under JAX without leaving it: images lie on the device, an epoch is one program.

Keras' ``fit`` starts every step from Python, which for a small network takes longer than the step itself.
Here one ``jax.lax.scan`` runs Keras' own training step over all batches, so both compute the same.
"""

from collections.abc import Callable, Sequence
from functools import partial

import keras
import numpy as np

from ferlib import paths
from ferlib.train import machine

BATCH = 512
"""Images a step when evaluating."""


def available() -> bool:
    """Say whether training should go this way: under JAX on a GPU.

    On a CPU it should not: XLA's convolutions inside a scan are an order of magnitude slower there.
    """
    return keras.backend.backend() == "jax" and bool(machine.gpus())


def scan(
    model: keras.Model, arrays: Sequence[np.ndarray], batch_size: int
) -> Callable[[np.ndarray], dict[str, float]]:
    """Put images, targets and, if wanted, weights of images on the device, and return what trains there.

    That function takes the order in which the images are seen, trains `model`, whose optimizer is built, for
    an epoch and returns the loss and all metrics, as ``fit`` logs them.
    """
    import jax

    # Arguments of the program: what it closes over would be compiled into it.
    arrays = tuple(jax.device_put(np.asarray(array)) for array in arrays)
    train = jax.jit(partial(_epoch, model.train_step))

    def epoch(order: np.ndarray) -> dict[str, float]:
        model.reset_metrics()
        groups = (
            *(model.trainable_variables, model.non_trainable_variables),
            *(model.optimizer.variables, model.metrics_variables),
        )
        state = tuple([variable.value for variable in group] for group in groups)
        steps = len(order) // batch_size
        batches, rest = np.split(order.astype("int32"), [steps * batch_size])
        state = train(state, arrays, batches.reshape(steps, batch_size), rest)
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    return epoch


def evaluation(model: keras.Model, images: np.ndarray) -> Callable[[], np.ndarray]:
    """Put images on the device, and return a function that returns the network's output for all of them."""
    import jax

    images = np.asarray(images)
    padded = np.concatenate([images, np.zeros((-len(images) % BATCH, *images.shape[1:]), images.dtype)])
    batches = jax.device_put(padded.reshape(-1, BATCH, *images.shape[1:]))
    run = jax.jit(partial(_predictions, model))

    def predict() -> np.ndarray:
        groups = (model.trainable_variables, model.non_trainable_variables)
        outputs = np.asarray(run(*([variable.value for variable in group] for group in groups), batches))
        return outputs.reshape(-1, outputs.shape[-1])[: len(images)]

    return predict


def _epoch(train_step, state, arrays, batches, rest):
    """Take a step for each row of `batches`, positions (steps, batch size), and one for the rest."""
    import jax

    def step(state, chosen):
        _, state = train_step(state, tuple(array[chosen] for array in arrays))
        return state, None

    state, _ = jax.lax.scan(step, state, batches)
    return step(state, rest)[0] if len(rest) else state


def _predictions(model, trainable, others, batches):
    import jax

    def step(_, images):
        return None, model.stateless_call(trainable, others, images, training=False)[0]

    return jax.lax.scan(step, None, batches)[1]


def keep_programs() -> None:
    """Store compiled programs, so that the next seed of a row and a resumed run need not compile again.

    To be called before a network is built: drawing its weights alone takes 50 to 90 small programs.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(paths.cache() / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
