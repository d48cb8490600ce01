"""Whatever goes wrong, the command says one sentence that names the file, and exits with 1."""

import errno
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
from ferlib.train import trainer


@pytest.mark.parametrize(
    ("words", "variable"),
    [
        (["data"], "FERLIB_CACHE"),
        (["audit"], "FERLIB_CACHE"),
        (["train", "prior", "--profile", "quick"], "FERLIB_RUNS"),
        (["tune", "prior", "--profile", "quick"], "FERLIB_RUNS"),
    ],
)
def test_a_folder_that_can_not_be_made_is_named(demo_dataset, tmp_path, monkeypatch, capsys, words, variable):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    load = (
        (lambda _, **__: fer2013.drawn((70, 70, 70))) if words == ["data"] else (lambda _, **__: demo_dataset)
    )
    monkeypatch.setattr(fer2013, "load", load)
    assert cli.main(words) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"ferlib: {tmp_path / 'file'}") and "FERLIB_CACHE, FERLIB_RUNS" in error
    assert "None" not in error


@pytest.mark.parametrize(
    "backend, told",
    [
        ("jaxx", "KERAS_BACKEND must be tensorflow or jax"),
        ("jax", r"needs jax.*pip install -e '\.\[report,jax\]'"),
    ],
)
def test_a_backend_that_is_not_there_is_told(backend, told):
    blocked = "import sys; sys.modules['jax'] = None; from ferlib import cli; cli.main(['train', 'prior'])"
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", blocked], env=environment, capture_output=True, text=True)
    assert re.search(told, done.stderr) and "Traceback" not in done.stderr


def test_quick_figures_never_replace_real_ones(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["bench", "--quick", "--save"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_file_that_can_not_be_written_is_named(demo_dataset, tmp_path, monkeypatch, capsys, number):
    def refuse(file, **_):
        raise OSError(number, "it will not do")

    monkeypatch.setattr(fer2013, "load", lambda source, **_: demo_dataset)
    monkeypatch.setattr(np, "savez", refuse)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
    assert cli.main(["train", "prior", "--profile", "quick"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"ferlib: {tmp_path / 'runs'}")
    assert "checkpoint.npz: it will not do; make room there" in error


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
    assert cli.main(["data"]) == 128 + number
    assert capsys.readouterr().err == "ferlib: stopped\n"
    monkeypatch.undo()
    assert signal.getsignal(number) == before


def test_a_second_request_is_heeded_at_once():
    code = """
import os, signal
from ferlib import cli
from ferlib.data import fer2013

def deaf(source, **_):
    while True:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            pass

fer2013.load = deaf
cli.main(["data"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (143, "ferlib: stopped\n")


@pytest.mark.parametrize(
    "work",
    ["gc.callbacks.append(ask); gc.collect()", "os.dup2(os.open(os.devnull, os.O_WRONLY), 2); ask()"],
    ids=["in a callback", "while stderr is caught"],
)
def test_a_request_to_stop_is_never_lost(work):
    code = f"""
import gc, os, signal, time
from ferlib import cli
from ferlib.data import fer2013

def ask(*_):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGTERM)

def load(source, **_):
    {work}
    time.sleep(30)

fer2013.load = load
raise SystemExit(cli.main(["data"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25)
    assert (done.returncode, done.stderr) == (143, "ferlib: stopped\n")


def test_training_says_at_which_scale_its_runs_were_made(monkeypatch, capsys):
    runs = [replace(made_up.run("prior"), profile=profile) for profile in ("full", "cpu", "full")]
    monkeypatch.setattr(fer2013, "load", lambda source, **_: None)
    monkeypatch.setattr(matrix, "train_matrix", lambda *_, **__: runs)
    assert cli.main(["train", "prior", "prior", "--seeds", "3"]) == 0, "named twice, trained once"
    assert capsys.readouterr().out == "finished: 3 of 3 runs, profile cpu and full\n"


def test_what_is_no_number_is_told(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["train", "prior", "--seeds", "x"])
    assert "argument --seeds: 'x' is not a number from 1 to 1,000" in capsys.readouterr().err


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
