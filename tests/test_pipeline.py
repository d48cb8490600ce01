"""Notebooks run once, run again only when something changed, and stop the build when they fail."""

from pathlib import Path

import nbformat
import pytest

from ferlib import cli, paths
from ferlib.data import fer2013
from ferlib.labels import FerlibError
from ferlib.report import pipeline, render


@pytest.fixture
def project(tmp_path, monkeypatch, demo_dataset):
    """A project folder with two small notebooks; each run of a notebook leaves a line in a log."""
    monkeypatch.setenv("FERLIB_ROOT", str(tmp_path))
    monkeypatch.setenv("FERLIB_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(fer2013, "load", lambda source=None: demo_dataset)
    monkeypatch.setattr(render, "render", fake_render)
    for name in ("01_first", "02_second"):
        write_notebook(tmp_path, name)
    return tmp_path


def fake_render(executed, out, meta):
    for suffix in ("html", "pdf"):
        (out / f"report.{suffix}").write_text("rendered")
    return out / "report.html", out / "report.pdf"


def write_notebook(project: Path, name: str, code: str = "") -> None:
    log = project / "log.txt"
    notebook = nbformat.v4.new_notebook()
    parameters = nbformat.v4.new_code_cell("PROFILE = 'auto'\nSEEDS = [0]", metadata={"tags": ["parameters"]})
    body = nbformat.v4.new_code_cell(f"print('{name}', PROFILE, SEEDS, file=open({str(log)!r}, 'a'))")
    notebook.cells = [parameters, body, nbformat.v4.new_code_cell(code or "1 + 1")]
    path = project / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


def executed_lines(project: Path) -> list[str]:
    log = project / "log.txt"
    return log.read_text().splitlines() if log.exists() else []


def test_runs_everything_once_and_only_what_changed_or_broke_again(project):
    pipeline.build()
    assert executed_lines(project) == ["01_first auto [0]", "02_second auto [0]"]
    pipeline.build()
    assert len(executed_lines(project)) == 2
    write_notebook(project, "02_second", "2 + 2")
    pipeline.build()
    assert executed_lines(project)[2:] == ["02_second auto [0]"]
    (paths.executed() / "01_first.ipynb").write_text('{"met')
    pipeline.build()
    assert executed_lines(project)[3:] == ["01_first auto [0]"]
    pipeline.build(seeds=(0, 1))
    assert executed_lines(project)[4:] == ["01_first auto [0, 1]", "02_second auto [0, 1]"]


def test_readers_get_executed_copies_that_do_not_change_from_run_to_run(project):
    facts = "display({'text/plain': 'made'}, raw=True, metadata={'ferlib': {'date': time.time()}})"
    code = f"import sys, time; print(6 * 7); print('no' + 'ise', file=sys.stderr); {facts}"
    write_notebook(project, "02_second", code)
    pipeline.build()
    copies = sorted((paths.reports() / "notebooks").iterdir())
    assert [copy.name for copy in copies] == ["01_first.ipynb", "02_second.ipynb"]
    first = [copy.read_bytes() for copy in copies]
    assert b"42" in first[1] and b"noise" not in first[1] and b"papermill" not in first[1]
    pipeline.build(fresh=True)
    assert len(executed_lines(project)) == 4
    assert [copy.read_bytes() for copy in copies] == first


@pytest.mark.parametrize("change", ["results.csv", "lean-seed0.weights.h5", "place", "network", "published"])
def test_another_record_network_or_publication_is_another_input(project, monkeypatch, tmp_path, change):
    if change == "network":
        monkeypatch.setenv("FERLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "library")
    before = pipeline._inputs(None, "auto", (0,))
    if change == "place":
        monkeypatch.setenv("FERLIB_WEIGHTS", str(tmp_path))
    elif change == "network":
        written(tmp_path / "network.json")
    elif change == "published":
        written(paths.PACKAGE / "report" / "templates" / "published.csv")
    else:
        written(paths.record() / change)
    assert pipeline._inputs(None, "auto", (0,)) != before


def written(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("experiment,seed")


def test_a_larger_run_is_another_input_and_a_quick_one_is_not(project):
    pipeline.build()  # two notebooks
    for profile, executions in (("quick", 2), ("full", 4)):
        written(paths.runs() / "lean" / f"{profile}-0123-4567" / "seed0" / "run.npz")
        pipeline.build()
        assert len(executed_lines(project)) == executions


def test_what_the_chapters_train_themselves_runs_nothing_again(project):
    run = paths.runs() / "lean" / "full-0123-4567" / "seed0" / "run.npz"
    code = f"from pathlib import Path; p = Path({str(run)!r}); p.parent.mkdir(parents=True); p.touch()"
    write_notebook(project, "02_second", code)
    pipeline.build()
    assert run.exists()
    pipeline.build()
    assert len(executed_lines(project)) == 2


def test_a_failing_notebook_stops_the_build_and_the_next_build_goes_on_there(project):
    write_notebook(project, "02_second", "raise ValueError('broken on purpose')")
    with pytest.raises(
        FerlibError, match=r"02_second\.ipynb failed in cell 4: ValueError: broken on purpose"
    ):
        pipeline.build()
    kept = nbformat.read(paths.executed() / "02_second.ipynb", 4)
    assert any(output.output_type == "error" for cell in kept.cells for output in cell.get("outputs", []))
    assert not (paths.reports() / "report.html").exists()
    write_notebook(project, "02_second")
    pipeline.build()
    assert [line.split()[0] for line in executed_lines(project)] == ["01_first", "02_second", "02_second"]


def test_native_notices_do_not_reach_the_terminal_and_one_operation_is_computed_at_a_time(project, capfd):
    notice = "I0000 00:00:1795279973.429143    5078 port.cc:153] oneDNN custom operations are on."
    code = f"import sys, os; sys.stderr.write({notice!r} + chr(10) + 'training, epoch 1' + chr(10))"
    write_notebook(project, "02_second", f"{code}\nassert os.environ['TF_NUM_INTEROP_THREADS'] == '1'")
    pipeline.build()
    shown = capfd.readouterr().err
    assert "training, epoch 1" in shown and "oneDNN" not in shown


def test_a_full_disk_stops_the_build_in_one_sentence(project, disk, monkeypatch, capsys):
    small = disk(2**15)
    write_notebook(project, "02_second", "print('x' * 10**5)")
    monkeypatch.setenv("FERLIB_REPORTS", str(small))
    assert cli.main(["report"]) == 1
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert "make room there" in sentence and str(small) in sentence, sentence
    assert not list(small.rglob(".ferlib-*"))


@pytest.mark.parametrize("end", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_a_notebook_that_exits_early_or_whose_kernel_dies_is_not_called_complete(project, end):
    write_notebook(project, "02_second", end)
    with pytest.raises(FerlibError, match="02_second"):
        pipeline.build()


def test_quick_reports_live_apart(project, monkeypatch):
    monkeypatch.setenv("FERLIB_FIGS", "unset")
    monkeypatch.setenv("FERLIB_RUNS", "unset")
    html, _ = pipeline.build(profile="quick")
    assert html == project / "reports" / "quick" / "report.html"
    assert paths.runs() == project / "reports" / "quick" / "runs"
    assert executed_lines(project)[0] == "01_first quick [0]"


def test_render_is_skipped_when_up_to_date_and_not_with_a_damaged_stamp(project, monkeypatch):
    pipeline.build()
    with monkeypatch.context() as patch:
        patch.setattr(render, "render", lambda *a, **k: pytest.fail("rendered again"))
        pipeline.build()
    stamp = paths.executed() / "rendered.json"
    whole = stamp.read_bytes()
    for content in (b"", b'{"key": "', b"\xff\xfe", b"[]"):
        stamp.write_bytes(content)
        pipeline.build()
        assert stamp.read_bytes() == whole


def test_missing_notebooks_are_said_in_one_sentence(project):
    for path in paths.notebooks().glob("*.ipynb"):
        path.unlink()
    with pytest.raises(FerlibError, match="no notebooks in"):
        pipeline.build()
