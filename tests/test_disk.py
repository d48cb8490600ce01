"""A full disk and a folder that takes nothing cost one sentence: what, where, and what to do."""

import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import scenes

from ferlib import cli
from ferlib.data import demo, fer2013
from ferlib.live.naming import PARTIAL
from ferlib.train import record, trainer

FILLED = 2**18
"""Bytes of a disk on which something fits, but not what is written here."""


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with three photos, whose copies do not fit on the disk, and a film."""
    monkeypatch.setenv("FERLIB_WEIGHTS", str(scenes.write_network(tmp_path / "network")))
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), noise)
    scenes.video(folder / "film.mp4", [scenes.scene([(scenes.face("happy"), (90, 60, 150, 150))])] * 80)
    return folder


def told(capsys, folder) -> str:
    """Return the sentence about a folder; before it only that something is kept."""
    *before, sentence = capsys.readouterr().err.strip().splitlines()
    before = [line for line in before if not re.match(r"Data: |\[|Executing: |.*(it/s|00:)", line)]
    assert all("is kept in" in line for line in before), before
    assert sentence.startswith(f"ferlib: {folder}") and "None" not in sentence
    assert "make room there" in sentence or "another" in sentence
    return sentence


def left(folder) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return demo.write_csv(demo.faces((demo.SMALLEST,) * 3), tmp_path_factory.mktemp("source") / "fer2013.csv")


def test_a_cache_without_room(disk, source, monkeypatch, capsys):
    cache = disk(FILLED)
    monkeypatch.setenv("FERLIB_CACHE", str(cache))
    assert cli.main(["data", "--data", str(source)]) == 1
    told(capsys, cache)
    assert not left(cache)


def test_copies_without_room(disk, photos, capsys):
    out = disk(FILLED)
    assert cli.main(["predict", str(photos), "--out", str(out / "marked")]) == 1
    assert "0.png: cannot be written" in told(capsys, out) and not left(out)


def test_a_film_without_room(disk, photos, tmp_path, capsys):
    out = disk(2**12)
    assert cli.main(["predict", str(photos / "film.mp4"), "--out", str(out / "marked")]) == 1
    error = capsys.readouterr().err.splitlines()
    assert "film.mp4" in error[0] and "is the disk full?" in error[0] and not left(out)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_results_without_room_keep_what_was_finished(disk, photos, capsys, kind):
    folder = disk(2**12)
    target = folder / f"a.{kind}"
    assert cli.main(["predict", str(photos / "film.mp4"), f"--{kind}", str(target)]) == 1
    assert f"{target}: cannot be written" in told(capsys, folder)
    kept = folder / (target.name + PARTIAL)
    assert left(folder) == {kept.name} and len(kept.read_bytes().splitlines()) > 5


def test_a_summary_without_room(disk, photos, tmp_path, capsys):
    folder = disk(16)  # which a file system in memory rounds up to a page
    (folder / "filler").write_bytes(bytes(16))
    assert cli.main(["predict", str(photos / "film.mp4"), "--summary", str(folder / "s.csv")]) == 1
    told(capsys, folder)
    assert left(folder) == {"filler"}


@pytest.mark.parametrize(
    ("size", "too_large", "kept"),
    [(2**12, trainer.CHECKPOINT, set()), (2**20, record.WEIGHTS_FILE, {trainer.CHECKPOINT})],
)
def test_runs_without_room(disk, demo_dataset, monkeypatch, capsys, size, too_large, kept):
    """First the state of a run finds none, then its weights; HDF5 would end the process."""
    runs = disk(size)
    monkeypatch.setenv("FERLIB_RUNS", str(runs))
    monkeypatch.setattr(fer2013, "load", lambda *_, **__: demo_dataset)
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
    assert cli.main(["train", "logistic", "--profile", "quick"]) == 1
    assert f"{too_large}: " in told(capsys, runs)
    assert left(runs) == kept


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device that is always full")
def test_what_can_not_be_printed(source):
    words = [sys.executable, "-m", "ferlib", "data", "--data", str(source)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ferlib: stdout: No space left")


@pytest.fixture(params=["read-only", "a file"])
def obstacle(request, tmp_path):
    """What takes nothing: a folder that is read-only, and a file where a folder should be."""
    if request.param == "read-only":
        return request.getfixturevalue("read_only")
    (tmp_path / "file").write_text("no folder")
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("words", "variable"),
    [
        ("data --data {source}", "FERLIB_CACHE"),
        ("audit --data {source}", "FERLIB_CACHE"),
        ("predict {photos} --out {folder}/marked", None),
        ("predict {photos} --out {folder}", None),
        ("predict {photos} --csv {folder}/a.csv", None),
        ("predict {photos} --json {folder}/a.json", None),
        ("predict {photos} --summary {folder}/s.csv", None),
        ("train prior --profile quick --data {source}", "FERLIB_RUNS"),
        ("tune prior --profile quick --data {source}", "FERLIB_RUNS"),
        ("report --data {source}", "FERLIB_REPORTS"),
    ],
)
def test_a_folder_that_takes_nothing(obstacle, source, photos, monkeypatch, capsys, words, variable):
    monkeypatch.setenv("FERLIB_DATA", "unset")  # which a report sets for its kernels
    if variable:
        monkeypatch.setenv(variable, str(obstacle))
    words = words.format(source=source, photos=photos, folder=obstacle)
    assert cli.main(words.split()) == 1
    sentence = told(capsys, obstacle)
    assert not variable or "FERLIB_CACHE, FERLIB_RUNS" in sentence
