"""Where files live, and that an interrupted writer leaves nothing behind."""

import os
import tempfile
from pathlib import Path

import leftovers
import pytest

from ferlib import paths
from ferlib.labels import FerlibError


def test_the_project_is_the_nearest_folder_with_notebooks_and_ferlib(tmp_path, monkeypatch):
    deep = tmp_path / "project" / "notebooks" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert paths.root() == deep, "no project around: the working directory itself"
    (tmp_path / "project" / "ferlib").mkdir()
    assert paths.root() == tmp_path / "project"
    monkeypatch.setenv("FERLIB_ROOT", str(tmp_path))
    assert paths.root() == tmp_path
    assert paths.data() == tmp_path / "data" and paths.notebooks() == tmp_path / "notebooks"


@pytest.mark.parametrize(
    "name, default",
    [("figs", "figs"), ("reports", "reports"), ("record", "reports/record"), ("runs", "runs")],
)
def test_folders_stand_in_the_project_unless_said_otherwise(tmp_path, monkeypatch, name, default):
    monkeypatch.setenv("FERLIB_ROOT", str(tmp_path))
    monkeypatch.delenv(f"FERLIB_{name.upper()}")
    assert getattr(paths, name)() == tmp_path / default
    monkeypatch.setenv(f"FERLIB_{name.upper()}", str(tmp_path / "elsewhere"))
    assert getattr(paths, name)() == tmp_path / "elsewhere"
    assert paths.executed() == paths.reports() / "executed"


def test_the_cache_is_the_users_unless_said_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("FERLIB_CACHE", str(tmp_path / "mine"))
    assert paths.cache() == tmp_path / "mine"
    monkeypatch.delenv("FERLIB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert paths.cache() == tmp_path / "caches" / "ferlib"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert paths.cache() == Path.home() / ".cache" / "ferlib"
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where nobody knows this user
    with pytest.raises(FerlibError, match="no home folder for the cache; choose a folder with FERLIB_CACHE"):
        paths.cache()


def test_a_file_appears_whole_and_in_a_new_folder_or_not_at_all(tmp_path):
    target = tmp_path / "new" / ("é" * 125 + ".csv")  # as long as names may be
    with paths.written_atomically(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".csv"
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
    with pytest.raises(KeyboardInterrupt), paths.written_atomically(target) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_the_next_writer_removes_what_a_dead_one_left(tmp_path):
    left = leftovers.of_a_dead_process(tmp_path / "a.csv")
    kept = [tmp_path / name for name in (".2024.notes.txt", ".ferlib-00000000-1-0-elsewhere.csv")]
    kept.append(paths.beside(tmp_path / "mine.csv"))
    for file in kept:  # of the user, of another computer on the same disk, of this process
        file.write_text("text")
    with paths.written_atomically(tmp_path / "b.csv") as temporary:
        temporary.write_text("whole")
    assert not left.exists() and all(file.exists() for file in kept)


def test_a_folder_of_intermediate_files_ends_with_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = leftovers.of_a_dead_process(tmp_path / "a")
    left.unlink()
    (left / "deep").mkdir(parents=True)
    with paths.scratch() as folder:
        (folder / "b").write_text("text")
        assert not left.exists() and folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_no_room_is_told_before_a_library_ends_the_process(disk):
    small = disk(2**18)
    with pytest.raises(OSError) as caught, paths.written_atomically(small / "a.h5") as temporary:
        paths.reserve(temporary, 2**22)
    assert caught.value.errno in paths.NO_ROOM and caught.value.filename.endswith("a.h5")
    with paths.written_atomically(small / "a.h5") as temporary:
        paths.reserve(temporary, 2**10)


@pytest.mark.parametrize(
    "words", [("disk full",), (28, "disk full"), (28, "disk full", "the temporary file")]
)
def test_what_can_not_be_written_is_named(tmp_path, words):
    target = tmp_path / "result.csv"
    named = pytest.raises(OSError, match="disk full.*/result.csv")
    with named as caught, paths.written_atomically(target) as temporary:
        raise OSError(*words[:2], *([str(temporary)] if len(words) == 3 else []))
    assert caught.value.filename == str(target)


def test_what_is_kept_is_made_once_and_again_when_it_is_damaged_or_gone(tmp_path):
    file, made = tmp_path / "kept", []

    def read():
        return int(file.read_text())

    def make():
        made.append(file.write_text("7"))
        if len(made) == 4:
            file.unlink()  # as another process does at once

    for content in ("", "half", "nothing", None):
        file.write_text(content) if content is not None else file.unlink()
        assert paths.kept(read, make) == 7
        assert paths.kept(read, make) == 7
    assert len(made) == 5


def test_one_word_keeps_all_off_the_network(monkeypatch):
    for value in ("1", "true", "", "0", "False"):
        monkeypatch.setenv("FERLIB_OFFLINE", value)
        assert paths.offline() is (value in ("1", "true"))
    monkeypatch.delenv("FERLIB_OFFLINE")
    assert not paths.offline()


def test_a_tilde_is_a_home_only_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert paths.expanded("~/a.csv") == tmp_path / "a.csv"
    for name in ("~tmp.jpg", "~a\0b", "a~", "~\udcff"):
        assert paths.expanded(name) == Path(name)


def test_a_number_is_read_from_a_setting(monkeypatch):
    for text, read in (("2", 2), ("", 30), ("0.5", 0.5), ("1e2", 100)):
        monkeypatch.setenv("FERLIB_TRIED", text)
        assert paths.number("TRIED", 30.0) == read
    for text in ("abc", "-1", "nan", "inf", "1e400"):
        monkeypatch.setenv("FERLIB_TRIED", text)
        with pytest.raises(FerlibError, match=f"FERLIB_TRIED is '{text}', not a number from 0 up; change or"):
            paths.number("TRIED", 30.0)


def test_homes_are_looked_for_in_one_place():
    """Others would end in a traceback where there is no such home."""
    sources = {path.name: path.read_text() for path in paths.PACKAGE.rglob("*.py")}
    assert [name for name, text in sources.items() if "expanduser()" in text] == ["paths.py"]
    assert not [name for name, text in sources.items() if "Path.home" in text]
