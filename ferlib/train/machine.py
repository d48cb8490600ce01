"""What a number was made on: hardware, versions and commit."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

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
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    named = _output_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return named or platform.machine()


def multiplies_bfloat16() -> bool:
    """Say whether the processor has instructions for matrices of bfloat16, where the system tells."""
    told = Path("/proc/cpuinfo")
    flags = told.read_text(encoding="utf-8", errors="replace").split() if told.exists() else ()
    return "amx_bf16" in flags or "avx512_bf16" in flags


def versions() -> dict[str, str]:
    """Return the versions of Python and of those of :data:`PACKAGES` that are installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the commit of the project's sources, with ``-dirty`` if they were changed since.

    Reports and figures are left out: a build changes them by itself. Without git it is "unknown".
    """
    name = _output_of("git", "rev-parse", "--short=10", "HEAD")
    if not name:
        return "unknown"
    changes = _output_of("git", "status", "--porcelain", "--", ".", ":!reports", ":!figs")
    return f"{name}-dirty" if changes else name


def _output_of(*command: str) -> str:
    """Return what a command prints, or nothing where it cannot be run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True, cwd=paths.root()
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
