"""The device that trains: its name, its number formats, its memory, and the same bits every time."""

import gc
from pathlib import Path

import keras
import psutil

from ferlib.train import machine


def gpus() -> list:
    """Return the GPUs that Keras can train on, as its backend describes them."""
    if keras.backend.backend() == "jax":
        import jax

        return [found for found in jax.devices() if found.platform == "gpu"]
    import tensorflow

    return tensorflow.config.list_physical_devices("GPU")


def name() -> str:
    """Return the name of the GPU that trains, or of the processor where there is none."""
    if not gpus():
        return machine.processor()
    if keras.backend.backend() == "jax":
        return gpus()[0].device_kind
    import tensorflow

    return tensorflow.config.experimental.get_device_details(gpus()[0]).get("device_name", "GPU")


def precision(depthwise: bool) -> str:
    """Return the Keras dtype policy in which this device trains fastest without loss.

    That is bfloat16 on a GPU, and on processors that multiply matrices of it (AMX, AVX-512 BF16) for networks
    without depthwise convolutions, for which TensorFlow has no fast kernel there; float32 elsewhere.

    Args:
        depthwise: Whether the network has depthwise convolutions.
    """
    half = bool(gpus()) or (
        keras.backend.backend() == "tensorflow" and machine.multiplies_bfloat16() and not depthwise
    )
    return "mixed_bfloat16" if half else "float32"


def use_deterministic_operations() -> None:
    """Have TensorFlow use only operations that give the same bits every time, for the rest of the process.

    JAX does so by itself on a CPU; on a GPU under JAX nothing is done.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()


def reset_peak_memory() -> None:
    """Make `peak_memory_mb` count from here; JAX and systems other than Linux count from the start."""
    gc.collect()
    if gpus() and keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.reset_memory_stats("GPU:0")
    elif (counters := Path("/proc/self/clear_refs")).exists():
        counters.write_text("5")


def peak_memory_mb() -> float:
    """Return the most memory in use at once, of the GPU or else of this process, units of 2**20 bytes."""
    if gpus() and keras.backend.backend() == "jax":
        return gpus()[0].memory_stats()["peak_bytes_in_use"] / 2**20
    if gpus():
        import tensorflow

        return tensorflow.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    if (status := Path("/proc/self/status")).exists():
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peaks[0]) / 1024
    used = psutil.Process().memory_info()
    return getattr(used, "peak_wset", used.rss) / 2**20
