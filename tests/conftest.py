"""What all tests share: a folder of their own to write in, drawn faces, and FER-2013 if it is here."""

import gc
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import skimage.data
import trust

from ferlib.data import fer2013, readers
from ferlib.figures import style
from ferlib.paths import data as data_folder

matplotlib.use("Agg")

REAL = os.environ.get("FERLIB_DATA")
"""Where the developer keeps FER-2013, noted before the tests hide it."""

SIZES = (420, 84, 84)
"""Demo faces in train, valid and test."""


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """Keep every test off the network and away from the developer's own files."""
    for name in ("CACHE", "RUNS", "RECORD", "FIGS", "REPORTS"):
        monkeypatch.setenv(f"FERLIB_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.setenv("FERLIB_OFFLINE", "1")
    # Keras was imported already, on the backend that runs all tests.
    for name in ("FERLIB_DATA", "FERLIB_ROOT", "FERLIB_SHARING", "FERLIB_WEIGHTS", "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module", autouse=True)
def only_new_objects_are_collected():
    """Spare every training of the suite two looks through all that was ever imported: a third of its time."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish():
    """Spare processes that are forked from this one, as mutmut's, the first of these looks, too."""
    gc.freeze()


@pytest.fixture
def disk(tmp_path):
    """Return a function that makes a folder with room for so many bytes.

    A file system of that size where this process may mount one; else the system refuses larger files.
    """
    with ExitStack() as stack:

        def of(size):
            folder = tmp_path / "disk"
            folder.mkdir()
            if mounted(folder, f"size={size}"):
                stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
                return folder
            resource = pytest.importorskip("resource")
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, before)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
            return folder

        yield of


def mounted(folder, options):
    """Mount a file system in memory, if that is allowed here."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    able = sys.platform == "linux" and shutil.which("mount")
    return bool(able) and subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def read_only(tmp_path):
    """Return a folder that takes nothing."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    is_root = os.access(folder, os.W_OK)
    if is_root and not mounted(folder, "ro"):
        pytest.skip("nothing is read-only for this user")
    yield folder
    if is_root:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.chmod(0o755)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """Return a cache folder that lasts for the whole session, and that its processes share."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"


def _load(shared_cache, read):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FERLIB_CACHE", str(shared_cache))
        return read()


@pytest.fixture(scope="session")
def demo_dataset(shared_cache):
    """Return 588 demo faces."""
    return _load(shared_cache, lambda: fer2013.drawn(SIZES))


@pytest.fixture(scope="session")
def real_dataset(shared_cache):
    """Return FER-2013 where FERLIB_DATA or data/ has it."""
    here = data_folder().is_dir() and readers.locate(data_folder(), missing_ok=True)
    found = REAL if REAL and REAL != "demo" else here
    if not found:
        pytest.skip("FER-2013 is neither at FERLIB_DATA nor in data/")
    return _load(shared_cache, lambda: fer2013.load(found))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return a small network that knows the faces of `scenes`."""
    import scenes

    from ferlib.live.network import load_model

    return load_model(scenes.write_network(tmp_path_factory.mktemp("network")))


@pytest.fixture
def bench_data(demo_dataset, monkeypatch):
    """Let the commands find demo faces that count as FER-2013, without importing Keras."""
    from ferlib.tools import commands

    real = replace(demo_dataset, is_demo=False)
    monkeypatch.setattr(commands, "import_keras_quietly", lambda: None)
    monkeypatch.setattr(fer2013, "load", lambda source: real)
    return real


@pytest.fixture(scope="module")
def astronaut():
    """Return a photograph with one face, uint8 (512, 512, 3), blue first."""
    return np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])


@pytest.fixture
def shown(monkeypatch):
    """Return what is displayed to the report: pairs of data and metadata."""
    from ferlib.report import display

    displayed = []

    def keep(data, *, metadata, raw):
        displayed.append((data, metadata["ferlib"]))

    monkeypatch.setattr(display, "display", keep)
    return displayed


@pytest.fixture
def fig():
    fig, ax = plt.subplots(figsize=(4, 3))
    ax.plot([0, 1, 4])
    ax.set(xlabel="epoch", ylabel="loss")
    yield fig
    plt.close(fig)


@pytest.fixture
def figures():
    """Draw in the report's theme, without a screen, and close what was drawn."""
    with plt.rc_context():
        style.theme()
        yield
    plt.close("all")


def pytest_sessionfinish(session, exitstatus):
    """Keep what a whole slow run tried where ``make test-slow`` wants it."""
    if file := os.environ.get("FERLIB_TRUST"):
        config = session.config
        is_all = config.args == config.getini("testpaths") and not config.option.keyword
        if is_all and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            trust.keep(Path(file), trust.tried())
