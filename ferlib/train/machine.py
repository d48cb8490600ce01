"""This machine: hardware, versions and commit for provenance; precision."""

import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import keras
import psutil

from ferlib import paths

PACKAGES = (
    *("keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "pandas", "scikit-learn"),
    *("opencv-python-headless", "onnxruntime", "matplotlib"),
)
"""Distributions whose versions are told, where they are installed."""


def hardware() -> str:
    """Return GPUs, processor, cores and memory of this machine in one line."""
    gpus = _output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    memory = psutil.virtual_memory().total / 2**30
    return ", ".join([*gpus, processor(), f"{psutil.cpu_count()} cores", f"{memory:.0f} GiB memory"])


def processor() -> str:
    """Return the processor's model name, or its architecture where the system does not tell the model."""
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    named = _output_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return named or platform.machine()


def _cpuinfo() -> str:
    """Return what Linux tells of the processor, nothing elsewhere."""
    told = Path("/proc/cpuinfo")
    return told.read_text(encoding="utf-8", errors="replace") if told.exists() else ""


def versions() -> dict[str, str]:
    """Return the versions of Python and of those of :data:`PACKAGES` that are installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def commit() -> str:
    """Return the commit of the project's sources, with ``-dirty`` if they were changed since.

    Reports and figures are left out: a build changes them by itself. Without git, and where ferlib is used
    outside of its project, perhaps in another one, it is "unknown".
    """
    if not paths.is_project(paths.root()):
        return "unknown"
    name = _output_of("git", "rev-parse", "--short=10", "HEAD")
    if not name:
        return "unknown"
    changes = _output_of("git", "status", "--porcelain", "--", ".", ":!reports", ":!figs")
    return f"{name}-dirty" if changes else name


def stamp() -> dict[str, str]:
    """Return ``hardware``, ``commit`` and ``date`` of what is measured now."""
    return {"hardware": hardware(), "commit": commit(), "date": now()}


def now() -> str:
    """Return the time in ISO format, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _output_of(*command: str) -> str:
    """Return what a command prints, or nothing where it cannot be run."""
    options = {"capture_output": True, "text": True, "timeout": 10, "check": True, "cwd": paths.root()}
    try:
        return subprocess.run(command, **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


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
        return processor()
    if keras.backend.backend() == "jax":
        return gpus()[0].device_kind
    import tensorflow

    return tensorflow.config.experimental.get_device_details(gpus()[0]).get("device_name", "GPU")


def precision() -> str:
    """Return the Keras dtype policy in which this device trains fastest without loss.

    That is bfloat16 on a GPU and on processors that multiply matrices of it (AMX, AVX-512 BF16), float32
    elsewhere.
    """
    able = keras.backend.backend() == "tensorflow" and {"amx_bf16", "avx512_bf16"} & set(_cpuinfo().split())
    return "mixed_bfloat16" if gpus() or able else "float32"
