"""What the chapters conclude is not against the committed record; rows at two scales leave it open."""

import ast
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from ferlib.data import audit, fer2013
from ferlib.data.fer2013 import Dataset, Split
from ferlib.report import display
from ferlib.tools import live_speed
from ferlib.train import record, trainer

ROOT = Path(__file__).parent.parent
FROM_RUNS = ["00_introduction", "02_shallow_cnn", "03_deep_cnn", "04_mobilenet", "05_comparison"]
"""Chapters whose evidence is in runs or in print, but for cells that are tagged `images`."""

FROM_IMAGES = ["01_dataset", "05_comparison", "06_misclassified", "07_crowd", "08_real_time", "09_conclusion"]
"""Chapters whose evidence, or some of it, is in the images; together they take minutes."""


@pytest.fixture
def recorded(monkeypatch):
    """The committed record's runs, in place of what a training would give."""
    monkeypatch.setenv("FERLIB_RECORD", str(ROOT / "reports" / "record"))
    fingerprint = record.read_results()["fingerprint"].mode()[0]
    runs = record.read_record(SimpleNamespace(fingerprint=fingerprint))

    def chosen(ids, dataset, **_):
        return [run for run in runs if run.experiment.id in set(ids)]

    monkeypatch.setattr(trainer, "obtain", chosen)
    return runs


def without_images(runs) -> Dataset:
    """A data set of the record's fingerprint, its labels right and its images grey."""

    def split(name, predictions):
        images = np.broadcast_to(np.uint8(127), (len(predictions), 48, 48, 1))
        return Split(name, images, predictions.labels, predictions.names)

    run = next(run for run in runs if run.experiment.classes is None)
    splits = [split("train", run.valid), split("valid", run.valid), split("test", run.test)]
    fingerprint = run.result["fingerprint"]
    return Dataset(
        *splits, source="no images", fingerprint=fingerprint, location=None, is_demo=False, notes=()
    )


def concluded(chapter: str, dataset: Dataset, monkeypatch, skip: str = "images") -> list[dict]:
    """Run a chapter's evidence and conclusions; return what each conclusion's output tells of itself.

    Cells of a tag to skip do not run, nor conclusions from what they compute.
    """
    outputs = []
    monkeypatch.setattr(display, "display", lambda data, *, metadata, raw: outputs.append(metadata["ferlib"]))
    monkeypatch.setattr(fer2013, "load", lambda source=None: dataset)
    cells = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", 4).cells
    names, lost = {}, set()
    for position, cell in enumerate(cells):
        tags = set(cell.metadata.get("tags", []))
        body = ast.parse(cell.source).body if cell.cell_type == "code" else []
        if skip in tags:
            lost |= named(ast.Store, *body)
            continue
        if position != 1 and not tags & {"parameters", "evidence", "images"}:  # figures take long to draw
            body = [one for one in body if ast.unparse(one).startswith("report.conclude(")]
            body = [one for one in body if not named(ast.Load, one) & (lost - names.keys())]
        exec(compile(ast.Module(body, []), f"{chapter}, cell {position}", "exec"), names)
    return [facts for facts in outputs if "claims" in facts]


def named(use: type[ast.expr_context], *statements: ast.stmt) -> set[str]:
    """Variables that some statements assign or read."""
    parts = [part for one in statements for part in ast.walk(one)]
    return {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, use)}


def hold(conclusions: list[dict]) -> None:
    """Check that a chapter concludes something, and leaves nothing open."""
    assert len(conclusions) >= 2
    assert [facts["claims"] for facts in conclusions if facts["holds"] is not True] == []


@pytest.mark.parametrize("chapter", FROM_RUNS)
def test_conclusions_hold_on_the_committed_record(chapter, recorded, monkeypatch):
    monkeypatch.setattr(audit, "audit", lambda dataset: None)
    hold(concluded(chapter, without_images(recorded), monkeypatch))


@pytest.mark.slow
@pytest.mark.parametrize("chapter", FROM_IMAGES)
def test_conclusions_hold_on_the_images(chapter, recorded, real_dataset, shared_cache, monkeypatch):
    monkeypatch.setenv("FERLIB_CACHE", str(shared_cache))
    timed = live_speed.latencies  # how fast this machine is right now is no test
    monkeypatch.setattr(live_speed, "latencies", lambda *given: timed(*given, frames=5).assign(mean=1.0))
    hold(concluded(chapter, real_dataset, monkeypatch, skip=""))


def test_a_conclusion_that_the_record_does_not_support_is_found(recorded, monkeypatch):
    # Of runs at two scales nothing would be concluded.
    recorded[:] = [replace(run, profile="full") for run in recorded]
    liar = next(run for run in recorded if run.experiment.id == "deep_tuned")
    liar.valid.probabilities[:] = liar.valid.probabilities[:, ::-1]
    with pytest.raises(Exception, match="the_deeper_network_is_better.*rewrite"):
        concluded("03_deep_cnn", without_images(recorded), monkeypatch)
