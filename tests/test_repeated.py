"""Chapters are executed again and compared with their copies in words and numbers, not in measured times."""

import os

import nbformat
import pandas as pd
import pytest
from chapters import code, picture, printed, shown, table

from ferlib import cli, paths
from ferlib.data import fer2013
from ferlib.live import network
from ferlib.report import pipeline, repeated
from ferlib.tools import reproduce

SAYS = "Of 1,200 faces −10 % are found, by FER-2013's labels."


def notebook(*cells):
    """An executed notebook whose cells have ids and numbers, as papermill leaves them."""
    made = nbformat.v4.new_notebook(cells=list(cells))
    for number, cell in enumerate(made.cells, 1):
        cell["id"], cell["execution_count"] = f"cell-{number}", number
    return made


def says(text, source="report.say()"):
    return code(source, shown({"text/markdown": text, "text/plain": text}))


def against(copy, again=SAYS):
    """Compare what two cells say, behind one that stays the same."""
    return repeated.compare(notebook(says("Seven."), says(again)), notebook(says("Seven."), says(copy)))


@pytest.mark.parametrize(
    ("copy", "difference", "of"),
    [
        (SAYS, 0, ""),
        (SAYS.replace("1,200", "1,201.5"), 1.5, "cell 2: …Of 1,200 was 1,201.5"),
        (SAYS.replace("−10", "10"), 20, "cell 2: …Of 1,200 faces −10 was 10"),
        (SAYS.replace("1,200", "1e3").replace("−10", "-9"), 200, "cell 2: …Of 1,200 was 1e3"),
        (SAYS.replace("found", "lost"), 0, "words of cell 2: …"),
        (SAYS.replace("2013", "2012"), 0, "words of cell 2: …"),
        (SAYS[10:], 0, "words of cell 2: …"),
    ],
)
def test_changed_numbers_and_words_are_found_with_their_size_and_place(copy, difference, of):
    figures, apart, told, same = against(copy)
    assert (figures, apart, same) == (2, difference, copy == SAYS)
    assert told.startswith(of) and bool(told) != same


def test_numbers_are_compared_beside_cells_of_other_words():
    one, other = notebook(says("A face."), says("2 faces.")), notebook(says("A boat."), says("5 faces."))
    of = "words of cell 1: …A face.…, was …A boat.…; cell 2: …2 was 5"
    assert repeated.compare(one, other)[1:] == (3, of, False)


def test_a_cell_that_one_of_both_lacks_is_found():
    long, short = notebook(says("One."), says("2 faces.")), notebook(says("One."))
    for pair, figures in (((long, short), 1), ((short, long), 0)):
        assert repeated.compare(*pair)[0] == figures
        assert "words of cell 2" in repeated.compare(*pair)[2] and not repeated.compare(*pair)[3]


def test_tables_captions_and_what_is_printed_are_compared():
    def made(f1, caption, line):
        rows = [("happy", f1)]
        return notebook(code("table", table(rows=rows), says(caption).outputs[0]), code("p", printed(line)))

    now = made("0.9", "Of 5 faces", "68.8% of 3,589")
    assert repeated.compare(now, now) == (4, 0.0, "", True)
    for then in (made("0.7", "Of 5 faces", "68.8% of 3,589"), made("0.9", "Of 5.2 faces", "68.8% of 3,589")):
        assert repeated.compare(now, then)[1] == pytest.approx(0.2)
    assert "cell 2" in repeated.compare(now, made("0.9", "Of 5 faces", "68.9% of 3,589"))[2]


def test_pictures_and_warnings_are_not_compared():
    one, other = (
        notebook(code("draw", picture(size=(side, side)), printed(f"took {side} s", "stderr")))
        for side in (10, 20)
    )
    assert repeated.compare(one, other) == (0, 0.0, "", True)


def test_measured_times_may_differ_and_words_beside_them_may_not():
    def timed(milliseconds, text):
        source = f'report.table(frame, "{repeated.MEASURED.removeprefix("tbl-")}")'
        cell = code(source, table(rows=[("all", milliseconds)]), says(text).outputs[0])
        return notebook(says("5 faces."), cell)

    now = timed("21.3", "All manage 47 frames a second.")
    assert repeated.compare(now, timed("9.8", "All manage 102 frames a second.")) == (1, 0.0, "", True)
    assert not repeated.compare(now, timed("21.3", "All manage 47 pictures a second."))[3]
    folder = paths.PACKAGE.parent / "notebooks"
    cells = [cell for path in sorted(folder.glob("*.ipynb")) for cell in nbformat.read(path, 4).cells]
    assert len([cell for cell in cells if repeated.is_measured(cell)]) == 1, "one of all chapters"


def test_the_machine_and_the_commit_may_differ_and_the_data_may_not():
    told = "- **Data:** archive.zip\n- **Hardware:** {0}\n- **Versions:** keras {0}\n- **Commit:** `{0}`"
    assert against(told.format("9f"), told.format("0a"))[3]
    assert not against(told, told.replace("archive", "other"))[3]


@pytest.fixture
def project(tmp_path, monkeypatch, demo_dataset):
    """A project folder whose chapters show a number and draw, train and count how often they run."""
    monkeypatch.setenv("FERLIB_ROOT", str(tmp_path))
    monkeypatch.setattr(fer2013, "load", lambda source=None: demo_dataset)
    monkeypatch.setattr(pipeline, "_render_if_needed", lambda executed: executed)
    for name in ("01_first", "02_second"):
        write(tmp_path / "notebooks" / f"{name}.ipynb", "6 * 7")
    pipeline.build()
    return tmp_path


def write(path, value):
    writes = "from ferlib import paths\nfor folder in (paths.figs(), paths.runs(), paths.reports()):\n"
    writes += "    folder.mkdir(parents=True, exist_ok=True); (folder / 'new').write_text('new')"
    chapter = nbformat.v4.new_notebook()
    cells = ("PROFILE = ''\nSEEDS = []", writes, f"print('Of', {value}, 'faces', PROFILE)")
    for number, source in enumerate(cells):
        tags = {"tags": ["parameters"]} if number == 0 else {}
        chapter.cells.append(nbformat.v4.new_code_cell(source, id=f"cell-{number}", metadata=tags))
    path.parent.mkdir(exist_ok=True)
    nbformat.write(chapter, path)


def everything(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_chapters_are_executed_elsewhere_and_compared(project, demo_dataset, monkeypatch, capsys):
    copy = paths.reports() / "notebooks" / "02_second.ipynb"
    copy.write_text(copy.read_text().replace("Of 42 faces", "Of 44 faces"))
    for name in ("FIGS", "RUNS", "REPORTS"):
        (project / name.lower() / "new").write_text("old")
    before, settings = everything(project), dict(os.environ)
    capsys.readouterr()
    found = repeated.chapters(demo_dataset)
    assert found.to_numpy().tolist() == [
        ["chapter 01_first", 1, 0.0, "", True],
        ["chapter 02_second", 1, 2.0, "cell 4: …Of 42 was 44", False],
    ]
    assert everything(project) == before and dict(os.environ) == settings
    assert "[1/2] 01_first" in capsys.readouterr().err
    assert "differs" in reproduce.describe(found)


def test_chapters_find_the_data_and_neither_a_gpu_nor_what_the_shell_says(project, demo_dataset, monkeypatch):
    told, seen = [], ("FERLIB_DATA", "CUDA_VISIBLE_DEVICES", "FERLIB_WEIGHTS", "KERAS_BACKEND")

    def execute(path, target, place):
        told.append({name: os.environ.get(name) for name in seen})
        target.write_bytes((paths.root() / "reports" / "notebooks" / path.name).read_bytes())

    monkeypatch.setattr(pipeline, "execute", execute)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("FERLIB_WEIGHTS", "labels")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delenv("FERLIB_DATA")
    assert repeated.chapters(demo_dataset)["same"].all()
    assert told == [dict(zip(seen, ("demo", "-1", None, None), strict=True))] * 2
    after = [os.environ.get(name) for name in seen]
    assert after == [None, "0", "labels", "jax"]


def test_a_chapter_that_fails_or_has_no_copy_differs(project, demo_dataset):
    write(project / "notebooks" / "01_first.ipynb", "1 / 0")
    copy = paths.reports() / "notebooks" / "02_second.ipynb"
    copy.write_text("{")
    found = repeated.chapters(demo_dataset)
    assert not found["same"].any() and found["difference"].isna().all()
    assert found["of"][0].startswith("01_first.ipynb failed in cell 4: ZeroDivisionError: division by zero")
    assert "does not appear to be JSON" in found["of"][1]
    assert "–" in reproduce.describe(found)


@pytest.mark.parametrize("same", [(True, True), (True, False), (False, True)])
def test_the_command_tells_record_and_chapters_and_fails_if_one_differs(
    monkeypatch, demo_dataset, capsys, same
):
    def row(what, same):
        return pd.DataFrame([{"what": what, "figures": 1, "difference": 0.0, "of": "", "same": same}])

    monkeypatch.setattr(fer2013, "load", lambda source: demo_dataset)
    monkeypatch.setattr(network, "load_model", lambda name: name)
    monkeypatch.setattr(reproduce, "reproduce", lambda *given: row("the record", same[0]))
    monkeypatch.setattr(repeated, "chapters", lambda dataset: row("a chapter", same[1]))
    assert cli.main(["reproduce"]) == (0 if all(same) else 1)
    told = capsys.readouterr().out
    assert "the record" in told and "a chapter" in told and f"{sum(same)} of 2 are the same" in told
