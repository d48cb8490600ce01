"""Whatever goes wrong, the command says one sentence that names the file, and exits with 1."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import made_up
import numpy as np
import pytest

import ferlib
from ferlib import cli
from ferlib.data import fer2013
from ferlib.tools import matrix
from ferlib.train.experiments import CROWD_TABLE, TABLE


@pytest.mark.parametrize(
    "backend, told",
    [
        *((name, rf"\({name}\): set KERAS_BACKEND to one of them\n$") for name in ("jaxx", "numpy", "torch")),
        ("jax", r"needs jax.*pip install -e '\.\[report,jax\]'"),
    ],
)
def test_a_backend_that_is_not_there_is_told(backend, told):
    blocked = "import sys; sys.modules['jax'] = None; from ferlib import cli; cli.main(['train', 'prior'])"
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", blocked], env=environment, capture_output=True, text=True)
    assert re.search(told, done.stderr) and "Traceback" not in done.stderr


@pytest.mark.parametrize("backend", ["numpy", "jaxx"])
def test_a_backend_of_keras_own_settings_is_told(tmp_path, backend):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": backend}))
    code = "from ferlib import cli; cli.main(['train', 'prior'])"
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert re.search(rf"{backend}\): set KERAS_BACKEND to one of them\n$", done.stderr)
    assert "Traceback" not in done.stderr


def test_other_trouble_with_the_system_is_one_sentence(monkeypatch, capsys):
    def fail(source, **_):
        raise ConnectionResetError("the other side hung up")

    monkeypatch.setattr(fer2013, "load", fail)
    assert cli.main(["data"]) == 1
    assert capsys.readouterr().err == "ferlib: the other side hung up\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("trouble", [None, ImportError("initialization failed")])
def test_a_request_to_stop_is_one_sentence(monkeypatch, capsys, number, trouble):
    """Even where it hits an import of native code, which then fails for another reason."""
    before = signal.getsignal(number)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)  # as outside of a shell's background

    def stopped(source, **_):
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise trouble or KeyboardInterrupt from None

    monkeypatch.setattr(fer2013, "load", stopped)
    for command, kept in (("data", ""), ("train prior", "; .* goes on.*"), ("tune lean", "; .*--trials.*")):
        assert cli.main(command.split()) == 128 + number
        assert re.fullmatch(f"ferlib: stopped{kept}\n", capsys.readouterr().err)
    monkeypatch.undo()
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    "work",
    [
        "while True: deaf()",
        "gc.callbacks.append(ask); gc.collect(); time.sleep(30)",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 2); ask(); time.sleep(30)",
    ],
    ids=["swallowed, then heeded at once", "in a callback", "while stderr is caught"],
)
def test_a_request_to_stop_is_never_lost(work):
    code = f"""
import gc, os, signal, time
from ferlib import cli
from ferlib.data import fer2013

def ask(*_):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGTERM)

def deaf():
    try:
        ask()
    except KeyboardInterrupt:
        pass

def load(source, **_):
    {work}

fer2013.load = load
raise SystemExit(cli.main(["data"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=28)
    assert (done.returncode, done.stderr) == (143, "ferlib: stopped\n")


def test_training_says_at_which_scale_its_runs_were_made(monkeypatch, capsys):
    runs = [replace(made_up.run("prior"), profile=profile) for profile in ("full", "quick", "full")]
    monkeypatch.setattr(fer2013, "load", lambda source, **_: None)
    monkeypatch.setattr(matrix, "train_matrix", lambda *_, **__: runs)
    assert cli.main(["train", "prior", "prior", "--seeds", "3"]) == 0, "named twice, trained once"
    assert capsys.readouterr().out == "finished: 3 of 3 runs, profile full and quick\n"


def test_what_is_named_beside_all_is_trained_too(monkeypatch):
    asked = []
    monkeypatch.setattr(fer2013, "load", lambda source, **_: None)
    monkeypatch.setattr(matrix, "train_matrix", lambda ids, *_, **__: asked.extend(ids) or [])
    assert cli.main(["train", "lean_crowd", "lean_distilled", "--all"]) == 0
    assert asked == [*TABLE, *CROWD_TABLE, "lean_distilled"], "each once"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_a_shell_closed_stop_no_work(tmp_path, closed):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((120, 160, 3), 200, np.uint8))
    command = f"{shlex.quote(sys.executable)} -m ferlib predict a.png nobody.png --csv a.csv {closed}"
    environment = {**os.environ, "PYTHONPATH": str(Path(ferlib.__file__).parent.parent)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, "one photo of two is not there"
    table = (tmp_path / "a.csv").read_text().splitlines()
    assert len(table) == 2 and table[1].startswith("a.png,"), "nothing else is written into it"
