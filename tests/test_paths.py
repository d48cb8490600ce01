"""Where files live, and that an interrupted writer leaves nothing behind."""

import os
import tempfile
from pathlib import Path

import leftovers
import pytest

from ferlib import paths
from ferlib.labels import FerlibError


def test_the_project_is_the_nearest_folder_with_notebooks_and_ferlib(tmp_path, monkeypatch):
    monkeypatch.delenv("FERLIB_ROOT", raising=False)
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


def test_executed_notebooks_stand_in_the_reports(tmp_path, monkeypatch):
    monkeypatch.setenv("FERLIB_REPORTS", str(tmp_path / "out"))
    assert paths.executed() == tmp_path / "out" / "executed"


def test_the_cache_is_the_users_unless_said_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("FERLIB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert paths.cache() == tmp_path / "caches" / "ferlib"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert paths.cache() == Path.home() / ".cache" / "ferlib"
    monkeypatch.setenv("XDG_CACHE_HOME", ".")
    assert paths.cache() == Path("ferlib")
    monkeypatch.setenv("FERLIB_CACHE", str(tmp_path / "mine"))
    assert paths.cache() == tmp_path / "mine"


@pytest.mark.parametrize(("text", "read"), [("2", 2), ("", 30), ("0.5", 0.5), ("1e2", 100)])
def test_a_number_is_read_from_a_setting(monkeypatch, text, read):
    monkeypatch.setenv("FERLIB_TRIED", text)
    assert paths.number("TRIED", 30.0) == read


@pytest.mark.parametrize("text", ["abc", "-1", "nan", "inf", "1e400"])
def test_a_setting_that_is_no_number_is_told(monkeypatch, text):
    monkeypatch.setenv("FERLIB_TRIED", text)
    with pytest.raises(FerlibError, match=f"FERLIB_TRIED is '{text}', not a number from 0 up; change or"):
        paths.number("TRIED", 30.0)


@pytest.mark.parametrize("setting", ["FERLIB_CACHE", "XDG_CACHE_HOME"])
def test_a_cache_in_the_home_of_nobody_is_taken_as_it_is(monkeypatch, tmp_path, setting):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FERLIB_CACHE")
    monkeypatch.setenv(setting, "~no such user/x")
    assert paths.cache().resolve().is_relative_to(tmp_path / "~no such user" / "x")


def test_homes_are_looked_for_in_one_place():
    """Others would end in a traceback where there is no such home."""
    package = paths.PACKAGE
    found = {path.name for path in package.rglob("*.py") if "expanduser()" in path.read_text()}
    assert found == {"paths.py"} and not [
        path for path in package.rglob("*.py") if "Path.home" in path.read_text()
    ]


def test_without_a_home_the_cache_needs_a_folder(monkeypatch):
    monkeypatch.delenv("FERLIB_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where nobody knows this user
    with pytest.raises(FerlibError, match="no home folder for the cache; choose a folder with FERLIB_CACHE"):
        paths.cache()


def test_a_file_appears_whole_and_in_a_new_folder(tmp_path):
    target = tmp_path / "new" / "result.csv"
    with paths.written_atomically(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".csv"
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
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


def test_a_name_as_long_as_names_may_be(tmp_path):
    target = tmp_path / ("é" * 125 + ".jpg")
    with paths.written_atomically(target) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole" and temporary.suffix == ".jpg"


def test_no_room_is_told_before_a_library_ends_the_process(disk):
    small = disk(2**18)
    with pytest.raises(OSError) as caught, paths.written_atomically(small / "a.h5") as temporary:
        paths.reserve(temporary, 2**22)
    assert caught.value.errno in paths.NO_ROOM and caught.value.filename.endswith("a.h5")
    with paths.written_atomically(small / "a.h5") as temporary:
        paths.reserve(temporary, 2**10)


def test_an_interrupted_writer_keeps_the_old_file_and_leaves_no_other(tmp_path):
    target = tmp_path / "result.csv"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), paths.written_atomically(target) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    "words", [("disk full",), (28, "disk full"), (28, "disk full", "the temporary file")]
)
def test_what_can_not_be_written_is_named(tmp_path, words):
    target = tmp_path / "result.csv"
    with (
        pytest.raises(OSError, match="disk full.*/result.csv") as caught,
        paths.written_atomically(target) as t,
    ):
        raise OSError(*words[:2], *([str(t)] if len(words) == 3 else []))
    assert caught.value.filename == str(target)


def test_what_is_kept_is_made_once_and_again_when_it_is_damaged(tmp_path):
    file, made = tmp_path / "kept", []

    def make():
        made.append(file.write_text("7"))

    for content in (None, "", "half"):
        if content is not None:
            file.write_text(content)
        assert paths.kept(lambda: int(file.read_text()), make) == 7
        assert paths.kept(lambda: int(file.read_text()), make) == 7
    assert len(made) == 3


def test_what_another_process_takes_away_is_made_again(tmp_path):
    file, taken = tmp_path / "kept", []

    def make():
        file.write_text("7")
        if not taken:
            taken.append(file.unlink())

    assert paths.kept(lambda: int(file.read_text()), make) == 7 and taken


@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("true", True), ("", False), ("0", False), ("False", False)]
)
def test_one_word_keeps_all_off_the_network(monkeypatch, value, offline):
    monkeypatch.setenv("FERLIB_OFFLINE", value)
    assert paths.offline() is offline
    monkeypatch.delenv("FERLIB_OFFLINE")
    assert not paths.offline()


def test_a_tilde_is_a_home_only_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert paths.expanded("~/a.csv") == tmp_path / "a.csv"
    for name in ("~tmp.jpg", "~a\0b", "a~", "~\udcff"):
        assert paths.expanded(name) == Path(name)
