"""The fast path runs under JAX, which a process must choose before it imports Keras."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sources import BACKENDS
from test_fitting import row, split

from ferlib.train import compiled
from ferlib.train.fitting import Fitting

HERE = Path(__file__).parent
EVERYTHING = {
    "policy": "strong",
    "optimizer": "sgd",
    "schedule": "cosine",
    "warmup": 0.2,
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "class_weights": True,
    "ema": 0.9,
    "precision": "mixed_float16",
    "batch_size": 16,  # of 40 images: two full steps and a rest
    "epochs": 2,
}
"""All that a row can ask for, so all that an epoch must carry from step to step."""


TRAINING = [HERE / f"test_{name}.py" for name in ("fitting", "layers", "targets", "predicting", "augment")]
"""What training rests on, for any backend."""
needs_jax = pytest.mark.skipif(find_spec("jax") is None, reason="needs: pip install -e '.[jax]'")


def under_jax(*words: str) -> subprocess.CompletedProcess:
    """Run Python with JAX in place of TensorFlow."""
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles in half the time
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
    }
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)


def compare_with_fit() -> None:
    """Train by ``fit`` and by scanned epochs; print how far their states are apart."""

    def started(scanned):
        compiled.available = lambda: scanned
        return Fitting(row("shallow_cnn", **EVERYTHING), 0, split(40), split(21, seed=1))

    fittings, states = (started(False), started(True)), []
    for one in fittings:
        while not one.finished:
            one.epoch()
        state = one.state().items()
        states.append({name: values.astype("float64") for name, values in state if "seconds" not in name})
    new = started(False)
    moved = [not np.array_equal(v, states[1][f"variable{i}"]) for i, v in enumerate(new._variables())]
    found = {
        "same_names": list(states[0]) == list(states[1]),
        "difference": max(float(np.abs(states[0][name] - states[1][name]).max()) for name in states[0]),
        "unmoved": [v.path for v, has_moved in zip(new._variables(), moved, strict=True) if not has_moved],
    }
    print(json.dumps(found))


@needs_jax
@pytest.mark.slow
def test_scanned_epochs_compute_what_fit_computes(tmp_path):
    run = under_jax("-c", "import test_compiled; test_compiled.compare_with_fit()")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["same_names"] and found["difference"] < 1e-5
    fixed = {"loss_scale_optimizer/iteration", "loss_scale_optimizer/learning_rate"}  # the one within counts
    assert set(found["unmoved"]) <= fixed | {"loss_scale_optimizer/dynamic_scale"}, (
        "weights, statistics, momentum, averages, seeds and counters all went on"
    )


@needs_jax
@pytest.mark.slow
def test_training_passes_its_tests_on_jax_as_well():
    assert all(file.exists() for file in TRAINING)
    run = under_jax("-m", "pytest", "-p", "no:cacheprovider", *map(str, TRAINING))
    assert run.returncode == 0, run.stdout
    (passed,) = re.findall(r"(\d+) passed", run.stdout)
    BACKENDS["jax"] += int(passed)


def test_tensorflow_trains_by_fit():
    assert not compiled.available()
