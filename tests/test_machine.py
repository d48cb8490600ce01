"""Hardware, versions and commit are told as they are."""

import platform
import subprocess

import numpy as np
import psutil

from ferlib.train import machine


def git(folder, *words):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_hardware_and_versions_are_those_that_run():
    text, versions = machine.hardware(), machine.versions()
    assert f"{psutil.cpu_count()} cores" in text
    assert f"{psutil.virtual_memory().total / 2**30:.0f} GiB" in text
    assert machine.processor() in text
    assert machine.name() and (machine.gpus() or machine.name() == machine.processor())
    assert (versions["Python"], versions["numpy"]) == (platform.python_version(), np.__version__)
    assert "jax" not in versions or versions["jax"]


def test_commit_is_dirty_when_sources_changed_but_not_when_a_report_did(tmp_path, monkeypatch):
    monkeypatch.setenv("FERLIB_ROOT", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "ferlib").mkdir()
    assert machine.commit() == "unknown", "outside git"
    (tmp_path / "source.py").write_text("1")
    for words in (["init"], ["add", "."], ["commit", "-m", "first"]):
        git(tmp_path, *words)
    clean = machine.commit()
    assert len(clean) == 10
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "report.html").write_text("new")
    assert machine.commit() == clean
    (tmp_path / "source.py").write_text("2")
    assert machine.commit() == f"{clean}-dirty"
    (tmp_path / "ferlib").rmdir()
    assert machine.commit() == "unknown", "of somebody else's project"
