"""Killed at any moment, ferlib leaves whole files, loses nothing finished and cleans up at its next start."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import chapters
import cv2
import h5py
import nbformat
import numpy as np
import psutil
import pytest
import scenes
from sources import SURVIVED

from ferlib.data import demo, fer2013
from ferlib.live.video import Video

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="other systems know no such signals"),
]


@dataclass(frozen=True)
class Work:
    """A command that is stopped again and again.

    Attributes:
        kind: Name in the table of outcomes.
        words: Of the command, or Python code.
        prepare: Lays what it needs into an empty folder, in which it then runs.
        early: Share of its time in which it writes nothing, such as imports.
        environment: What it needs beside folders of its own.
        writes: Folder in which every other kill waits for a temporary file; "" where all come at any time.
    """

    kind: str
    words: list[str] | str
    prepare: Callable[[Path], object] = lambda place: None
    early: float = 0.1
    environment: dict[str, str] = field(default_factory=dict)
    writes: str = ""

    def start(self, place: Path) -> subprocess.Popen:
        """Start it in a folder, with all that it writes below."""
        rooms = ("CACHE", "RUNS", "FIGS", "REPORTS")
        folders = {f"FERLIB_{room}": str(place / room.lower()) for room in rooms}
        (place / "tmp").mkdir(exist_ok=True)
        environment = os.environ | folders | {"TMPDIR": str(place / "tmp")} | self.environment
        how = ["-c", self.words] if isinstance(self.words, str) else ["-m", "ferlib", *self.words]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            [sys.executable, *how], cwd=place, env=environment, preexec_fn=heed_interrupts, **pipes
        )


def heed_interrupts() -> None:
    """Undo what a shell does that starts these tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def new_place(work: Work, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    work.prepare(folder)
    return folder


def finish(work: Work, place: Path) -> set[str]:
    """Let it run to its end: all is there, and nothing else. Return the names of the files."""
    process = work.start(place)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    check_whole(place)
    left = [path.name for path in place.rglob("*") if is_temporary(path)]
    assert not left and not list((place / "tmp").iterdir())
    assert not survivors(place), "a kernel lives on"
    return names(place)


def names(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def is_temporary(path: Path) -> bool:
    name = path.name
    return name.startswith(".ferlib-") or ".partial" in name or name.endswith("checkpoint.npz")


def check_whole(place: Path) -> None:
    """No final name stands on half a file."""
    for path in place.rglob("*"):
        if path.is_file() and not path.name.startswith(".ferlib-") and (test := WHOLE.get(path.suffix)):
            assert test(path), f"{path} is not whole"


WHOLE = {
    ".npz": lambda path: zipfile.ZipFile(path).testzip() is None,
    ".npy": lambda path: len(np.load(path, mmap_mode="r")),
    ".h5": lambda path: len(h5py.File(path)),
    ".json": lambda path: json.loads(path.read_text()),
    ".ipynb": lambda path: nbformat.read(path, 4).cells,
    ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    ".csv": lambda path: path.read_bytes().endswith(b"\n"),
    ".html": lambda path: path.read_text().rstrip().endswith("</html>"),
    ".pdf": lambda path: b"%%EOF" in path.read_bytes()[-16:],
    ".png": lambda path: path.read_bytes()[-8:-4] == b"IEND" and cv2.imread(str(path)) is not None,
    ".mp4": lambda path: len(list(Video(path).read())) == FRAMES,
}
"""How to see that a file of a kind is whole."""


def in_writing(work: Work, place: Path, process: subprocess.Popen) -> bool:
    """Say whether a file of a process stands there half written."""
    return bool(work.writes) and any((place / work.writes).glob(f".ferlib-*-{process.pid}-*"))


def fingerprints(place: Path) -> list[str]:
    """Return those of the data sets in the cache, computed from what is kept of them."""
    facts = sorted(place.glob("cache/images-*.npz"))
    return [fer2013._stored(file.with_suffix(".npy"), file)[1] for file in facts]


def finished_runs(place: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.rglob("run.npz")}


# --- what is killed ---------------------------------------------------------------------------------

FRAMES = 60

HAPPY = scenes.face("happy")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a folder with the inputs of all commands."""
    folder = tmp_path_factory.mktemp("prepared")
    faces = demo.faces((600, 100, 100))
    demo.write_csv(faces, folder / "fer2013.csv")
    demo.write_csv(demo.Faces(*(np.concatenate([values] * 6) for values in faces)), folder / "large.csv")
    views = [scenes.scene([(HAPPY, (40 + 2 * n, 60, 150, 150))], (240, 320)) for n in range(FRAMES)]
    scenes.video(folder / "film.mp4", views)
    (folder / "photos" / "deep").mkdir(parents=True)
    for n in range(24):
        cv2.imwrite(str(folder / "photos" / ("deep" if n % 2 else "") / f"{n}.png"), views[n])
    scenes.write_network(folder / "network")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FERLIB_CACHE", str(folder / "cache"))
        fer2013.load(folder / "fer2013.csv")
    for number, name in enumerate(("01_dataset", "02_shallow_cnn")):
        card = chapters.CARD.format(title=f"Chapter {number}")
        cells = [chapters.markdown(card), chapters.code("PROFILE = 'auto'\nSEEDS = [0]", tags=["parameters"])]
        cells += [chapters.code(f"import time; time.sleep(0.1); {n}") for n in range(4)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        (folder / "project" / "notebooks").mkdir(parents=True, exist_ok=True)
        for cell in notebook.cells[1:]:
            cell.execution_count, cell.outputs, cell.metadata = None, [], {"tags": cell.metadata["tags"]}
        nbformat.write(notebook, folder / "project" / "notebooks" / f"{name}.ipynb")
        picture = chapters.picture(f"fig-{number}")
        chapters.notebook(
            folder / "executed" / f"{name}.ipynb", f"Chapter {number}", chapters.code("draw()", picture)
        )
    meta = folder / "project" / "reports" / "meta.yaml"
    meta.parent.mkdir()
    meta.write_text("title: T\nsubtitle: S\nauthors: [A]\ncourse: C\n")
    return folder


def works(prepared: Path) -> dict[str, Work]:
    def project(place):
        shutil.copytree(prepared / "project", place / "project")

    render = f"""
from pathlib import Path
from ferlib.report import render
executed = sorted(Path({str(prepared / "executed")!r}).glob("*.ipynb"))
render.render(executed, Path("reports"), meta=Path({str(prepared / "project" / "reports" / "meta.yaml")!r}))
"""
    drawn = {
        "FERLIB_DATA": str(prepared / "fer2013.csv"),
        "FERLIB_CACHE": str(prepared / "cache"),
        "FERLIB_CHECKPOINT_SECONDS": "0",
    }
    network = {"FERLIB_WEIGHTS": str(prepared / "network")}
    train, results = ["train", "--profile", "quick"], ["--out", "out", "--csv", "o.csv", "--json", "o.jsonl"]
    film = ["predict", str(prepared / "film.mp4"), *results, "--summary", "s.csv"]
    everything = [
        Work("first read", ["data", "--data", str(prepared / "large.csv")], writes="cache"),
        Work("training", [*train, "logistic"], early=0.4, environment=drawn),
        Work("matrix", [*train, "prior", "logistic", "--seeds", "2"], early=0.4, environment=drawn),
        Work("notebooks", ["report"], project, environment=drawn | {"FERLIB_ROOT": "project"}),
        Work("rendering", render),
        Work("predict photos", ["predict", str(prepared / "photos"), *results], environment=network),
        Work("predict film", film, environment=network),
    ]
    return {work.kind: work for work in everything}


KILLS = {"first read": 14, "training": 5, "matrix": 5, "notebooks": 6, "rendering": 6}
KILLS |= {"predict photos": 12, "predict film": 12}


@pytest.mark.parametrize("kind", KILLS)
def test_a_kill_costs_nothing_finished(kind, prepared, tmp_path):
    work, generator = works(prepared)[kind], np.random.default_rng(list(KILLS).index(kind))
    begun = time.monotonic()
    right = finish(work, new_place(work, tmp_path / "undisturbed"))
    lasts = time.monotonic() - begun
    kept = fingerprints(tmp_path / "undisturbed")
    assert bool(kept) == bool(work.writes)
    place, kills, hit, before = new_place(work, tmp_path / "killed"), 0, 0, {}
    while kills < KILLS[kind]:
        process = work.start(place)
        if work.writes and kills % 2:
            while process.poll() is None and not in_writing(work, place, process):
                time.sleep(0.0005)
            seconds = generator.uniform(0, 0.01)
        else:
            seconds = lasts * generator.uniform(work.early, 1)
        try:
            said = process.communicate(timeout=seconds)[1]
            assert process.returncode == 0, said
            place, before = new_place(work, place), {}  # it was done before the kill came
            continue
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        check_whole(place)
        after = finished_runs(place)
        assert before.items() <= after.items(), "a finished run was lost"
        before, kills, hit = after, kills + 1, hit + in_writing(work, place, process)
        SURVIVED[kind] += 1
    assert finish(work, place) == right and fingerprints(place) == kept
    assert hit >= 3 or not work.writes, f"only {hit} kills came while something was written"


def survivors(place: Path, seconds: float = 10) -> list[str]:
    """Return the processes that still work in a folder, given some time to notice that nobody waits."""
    end = time.monotonic() + seconds
    while found := [line for line in map(words_of, psutil.process_iter()) if str(place) in line]:
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    return found


def words_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", [kind for kind in KILLS if kind != "rendering"])  # no command of its own
def test_a_request_to_stop_is_one_sentence(kind, number, prepared, tmp_path):
    work, generator = works(prepared)[kind], np.random.default_rng([number, list(KILLS).index(kind)])
    place, asked, done, silent = new_place(work, tmp_path / "asked"), 0, 0, 0
    while asked < 2:
        process = work.start(place)
        while not catches(process.pid, number) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 6 if work.early > 0.3 else 1.5))
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        check_whole(place)
        told = re.search(r"^ferlib: stopped.*$", said, re.M)
        if process.returncode == 0 or (process.returncode == -number and not told):
            # It was done before, and Python at its end no longer catches what then comes.
            done, silent = done + 1, silent + (process.returncode != 0)
            assert done < 20 and silent < 2 and "Traceback" not in said, said
            there = names(place)
            if process.returncode:
                finish(work, place)
            assert names(place) == there and not list(filter(is_temporary, place.rglob("*"))), said
            place = new_place(work, place)
            continue
        # Python itself ends by SIGINT where a library was interrupted that runs Python.
        assert process.returncode in (128 + number, -signal.SIGINT), said
        assert told and "Traceback" not in said, said
        asked += 1
    finish(work, place)


def catches(process: int, number: int) -> bool:
    """Say whether a process has begun to catch a signal; elsewhere than on Linux wait a second."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        time.sleep(1)
        return True
    caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
    # Python itself catches SIGINT from its start on, ferlib both at once.
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
