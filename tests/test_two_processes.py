"""Two processes on the same folders do each other no harm."""

import os
import subprocess
import sys
import time

import pytest

from ferlib import paths
from ferlib.data import demo, fer2013
from ferlib.train import record

WRITER = """
import sys
from pathlib import Path
from ferlib import paths
target, letter = Path(sys.argv[1]), sys.argv[2]
for n in range(300):
    with paths.written_atomically(target) as temporary:
        temporary.write_text(letter * 300_000)
    paths.remove_leftovers(target.parent)
"""


def started(*words) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *words], **pipes)


def ended(process) -> None:
    said = process.communicate()[1]
    assert process.returncode == 0, said


def temporaries(folder) -> list:
    return list(folder.rglob(".ferlib-*"))


def test_two_writers_of_one_file(tmp_path):
    """A reader sees the file of one or of the other, always whole."""
    target, seen = tmp_path / "a.txt", set()
    target.write_text("A" * 300_000)
    writers = [started("-c", WRITER, str(target), letter) for letter in "AB"]
    while any(writer.poll() is None for writer in writers):
        text = target.read_text()
        assert len(text) == 300_000 and len(set(text)) == 1
        seen.add(text[0])
        time.sleep(0.001)
    for writer in writers:
        ended(writer)
    assert seen == {"A", "B"} and not temporaries(tmp_path)


def test_two_first_reads_of_one_source(tmp_path):
    """Also while it is replaced: each of them makes files that are outdated for the other."""
    source, faces = tmp_path / "fer2013.csv", [demo.faces((demo.SMALLEST,) * 3, seed) for seed in (0, 1)]
    tables = [demo.write_csv(drawn, tmp_path / f"{seed}.csv") for seed, drawn in enumerate(faces)]
    source.write_bytes(tables[0].read_bytes())
    readers = [started("-m", "ferlib", "data", "--data", str(source)) for _ in range(2)]
    turn = 0
    while any(reader.poll() is None for reader in readers):
        turn += 1
        with paths.written_atomically(source) as temporary:
            temporary.write_bytes(tables[turn % 2].read_bytes())
        time.sleep(0.2)
    for reader in readers:
        ended(reader)
    assert fer2013.load(source).fingerprint == fer2013.load(tables[turn % 2]).fingerprint
    assert not temporaries(paths.cache())


@pytest.mark.slow
def test_two_trainings_of_the_same_rows(tmp_path, monkeypatch):
    """Each run is finished once or by both, and goes with its weights."""
    source = demo.write_csv(demo.faces((300, 100, 100)), tmp_path / "fer2013.csv")
    dataset = fer2013.load(source)
    monkeypatch.setenv("FERLIB_CHECKPOINT_SECONDS", "0")
    words = ["-m", "ferlib", "train", "prior", "logistic", "--seeds", "2", "--profile", "quick", "--data"]
    for process in [started(*words, str(source)) for _ in range(2)]:
        ended(process)
    found = record.runs(dataset)
    runs = [(run.experiment.id, run.seed) for run in found]
    assert runs == [("logistic", 0), ("logistic", 1), ("prior", 0), ("prior", 1)]
    for run in found:
        assert run.model() is not None
        assert set(os.listdir(run.directory)) == {record.RUN_FILE, record.WEIGHTS_FILE}
