"""Nothing that ferlib opens can run code, and it calls nobody but for the downloads that it announces."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

import cv2
import made_up
import numpy as np
import pytest
import repeated

from ferlib import faces, paths
from ferlib.data import audit, demo, fer2013
from ferlib.labels import FerlibError
from ferlib.train import backbones, record

ROOT = Path(__file__).parent.parent

CAN_RUN_CODE = {
    *("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"),
    *("read_pickle", "to_pickle", "allow_pickle", "eval", "exec", "enable_unsafe_deserialization"),
    *("UnsafeLoader", "FullLoader", "unsafe_load", "full_load"),
}
"""Modules, functions and arguments that run what a file says."""


def programs() -> list[tuple[str, ast.AST]]:
    """Return the syntax tree of every module and notebook."""
    found = [(path.name, path.read_text()) for path in (ROOT / "ferlib").rglob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        found.append((path.name, "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")))
    return [(name, ast.parse(text)) for name, text in found]


def used(tree: ast.AST) -> set[str]:
    """Return every name, attribute, argument and imported module."""
    words = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.keyword):
            words.add(node.arg)
        elif isinstance(node, ast.alias):
            words |= {*node.name.split("."), node.asname}
        elif isinstance(node, ast.ImportFrom):
            words |= set((node.module or "").split("."))
    return words


@pytest.mark.parametrize(
    "code", ["import pickle", "from joblib import load", "np.load(f, allow_pickle=True)", "pd.read_pickle(f)"]
)
def test_what_runs_code_is_recognised(code):
    assert used(ast.parse(code)) & CAN_RUN_CODE


def test_nothing_runs_what_a_file_says():
    found = {name: sorted(used(tree) & CAN_RUN_CODE) for name, tree in programs()}
    assert len(found) > 50 and not {name: words for name, words in found.items() if words}


def test_no_whole_network_is_opened_by_keras_but_in_safe_mode():
    """Networks are rebuilt from code; their files hold weights alone."""
    for name, tree in programs():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            said = ast.unparse(call.func)
            assert not said.startswith(("keras.models.load_model", "keras.saving.load_model")), name
            assert "safe_mode" not in {argument.arg for argument in call.keywords}, name
            assert not said.endswith("yaml.load"), name


class Canary:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def poisoned(file: Path, folder: Path, names: list[str]) -> None:
    """Replace arrays of a file by pickled objects."""
    with np.load(file) as stored:
        kept = dict(stored)
    np.savez(file, **kept | {name: np.array([Canary(folder)], object) for name in names})


def test_a_planted_object_never_wakes(tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "has_face", lambda image: True)
    trap = tmp_path / "trap"
    dataset = fer2013.load(demo.write_zip(demo.faces((demo.SMALLEST,) * 3), tmp_path / "archive.zip"))
    found = audit.audit(dataset).images
    (facts,) = paths.cache().glob("images-*.npz")
    (answers,) = paths.cache().glob("audit-*.npz")
    run = made_up.run("shallow_plain", images=40)
    record.publish([run])
    poisoned(facts, trap, ["labels", "names", "notes"])
    poisoned(answers, trap, ["contrast"])
    poisoned(run.recorded_file, trap, ["run", "valid_names"])
    images = next(paths.cache().glob("images-*.npy"))
    assert fer2013.load(dataset.location).fingerprint == dataset.fingerprint
    np.save(images, np.array([Canary(trap)], object))
    assert fer2013.load(dataset.location).fingerprint == dataset.fingerprint
    assert audit.audit(dataset).images.equals(found)
    with pytest.raises(FerlibError):
        record.load_run(run.recorded_file)
    assert not trap.exists()
    make, where = Canary(trap).__reduce__()
    make(*where)
    assert trap.exists(), "it would have been seen"


# --- the network ------------------------------------------------------------------------------------

REFUSAL = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        host = arguments[1][0] if isinstance(arguments[1], tuple) else None
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0"):
        with open(os.environ["CALLED"], "a") as file:
            file.write(host + "\\n")
        raise OSError("no network here")

sys.addaudithook(refuse)
"""
"""Stands as sitecustomize.py before every Python that is started, kernels of notebooks included."""


@pytest.fixture
def without_network(tmp_path, monkeypatch):
    """Refuse the network to every Python started, and return a function that lists the hosts it called."""
    (tmp_path / "refusal").mkdir()
    (tmp_path / "refusal" / "sitecustomize.py").write_text(REFUSAL)
    called = tmp_path / "called.txt"
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = [str(tmp_path / "refusal"), str(ROOT), *filter(None, inherited)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    monkeypatch.setenv("CALLED", str(called))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("FERLIB_OFFLINE")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return lambda: set(called.read_text().split()) if called.exists() else set()


def run(code: str, timeout: int = 300) -> str:
    """Run Python code in a process of its own; return what it said."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_call_would_be_noticed(without_network):
    code = "import urllib.request; urllib.request.urlopen('https://example.org')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode != 0
    assert without_network() == {"example.org"}


def test_without_data_only_kaggle_is_asked(without_network, tmp_path, monkeypatch):
    code = "from ferlib.data import fer2013; print(fer2013._from_kaggle())"
    assert run(code) == "None\n"
    assert without_network() == {"www.kaggle.com"}
    (tmp_path / "called.txt").unlink()
    monkeypatch.setenv("FERLIB_OFFLINE", "1")
    assert run(code) == "None\n"
    assert without_network() == set()


@pytest.mark.slow
def test_data_training_and_prediction_call_nobody(without_network, tmp_path):
    source = demo.write_zip(demo.faces((demo.SMALLEST,) * 3), tmp_path / "archive.zip")
    photo = tmp_path / "face.png"
    cv2.imwrite(str(photo), cv2.resize(demo.face(3, np.random.default_rng(0)), (480, 480)))
    commands = [
        ["data", "--data", str(source)],
        ["train", "prior", "--profile", "quick", "--data", str(source)],
        ["predict", str(photo)],
    ]
    said = run(f"from ferlib import cli; print([cli.main(command) for command in {commands}])")
    assert "FER-2013 from archive.zip" in said and said.endswith("[0, 0, 0]\n")
    assert without_network() == set()


def test_a_prediction_leaves_nothing_that_could_tell_of_it(tmp_path, monkeypatch):
    """Native code calls home unseen by `without_network`, but notes in files what it has told."""
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("CI", "ORT_DISABLE_TELEMETRY"):  # the first makes it silent on machines that run tests
        monkeypatch.delenv(name, raising=False)
    run("import numpy, ferlib; ferlib.predict(numpy.full((48, 48, 3), 90, 'uint8'), faces='given')")
    assert not [
        path for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME") for path in (tmp_path / name).rglob("*")
    ]


@pytest.mark.slow
def test_two_quick_reports_are_the_same_and_call_nobody(without_network, monkeypatch, tmp_path):
    """They call nobody but for the weights that they announce, and differ in measured times alone."""
    monkeypatch.setenv("FERLIB_DATA", "demo")
    command = ["report", "--profile", "quick", "--fresh"]
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        monkeypatch.setenv("FERLIB_REPORTS", str(folder))
        run(f"import sys; from ferlib import cli; sys.exit(cli.main({command}))", timeout=3600)
    assert without_network() <= {
        urlparse(source.address).hostname for source in backbones.PRETRAINED.values()
    }
    assert repeated.differences(*(folder / "quick" / "notebooks" for folder in folders)) == []
    first, second = ((folder / "quick" / "report.html").read_text() for folder in folders)
    assert repeated.unmeasured(first) == repeated.unmeasured(second)
    first, second = ((folder / "quick" / "report.pdf").read_bytes() for folder in folders)
    assert repeated.unmeasured_pages(first) == repeated.unmeasured_pages(second)
