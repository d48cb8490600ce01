"""The notebook sources follow the house style, so that every chapter reads alike."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, 4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def test_the_chapters_are_numbered_without_a_gap():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{i:02d}" for i in range(1, len(NOTEBOOKS) + 1)]
    assert len(NOTEBOOKS) >= 7


def test_sources_are_valid_and_carry_no_outputs(notebook):
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))


def test_first_cell_states_question_answer_needs_and_runtime(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    for word in ("**Question**", "**Answer**", "**Needs**", "**Runtime**"):
        assert word in first.source


def test_second_cell_imports_and_third_holds_literal_parameters(notebook):
    imports, parameters = notebook.cells[1], notebook.cells[2]
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(imports.source).body[:1])
    assert parameters.metadata.get("tags") == ["parameters"]
    names = {}
    for node in ast.parse(parameters.source).body:
        assert isinstance(node, ast.Assign)
        names[node.targets[0].id] = ast.literal_eval(node.value)
    assert {"DATA", "PROFILE", "SEEDS"} <= set(names)


def test_only_one_cell_is_tagged_parameters(notebook):
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1


def test_cells_are_few_and_short(notebook):
    assert len(notebook.cells) <= 40
    longest = max(len(cell.source.splitlines()) for cell in code_cells(notebook))
    assert longest <= 20


def test_functions_live_in_the_library(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 5, f"move {node.name} to ferlib"


def test_no_shell_magic_no_absolute_path_no_blanket_warning_filter(notebook):
    for cell in code_cells(notebook):
        assert not re.search(r"^\s*[!%]", cell.source, re.M)
        assert not re.search(r"""["'](/|[A-Z]:\\)""", cell.source)
        assert "filterwarnings" not in cell.source
        assert not re.search(r"^\s*#\s*\w+(\.\w+)*\(.*\)\s*$", cell.source, re.M), "commented-out code"


def test_prose_types_no_accuracy_by_hand(notebook):
    """Results come from the record; a percentage typed in prose would outlive its run."""
    for cell in notebook.cells[1:]:
        if cell.cell_type == "markdown":
            assert not re.search(r"\d\d\.\d+ ?%", cell.source), cell.source


def test_chapters_end_with_lessons_and_provenance(notebook):
    text = text_of(notebook)
    assert "What we learned" in text
    assert "Next" in text
    assert "report.provenance(" in code_cells(notebook)[-1].source


def test_only_the_comparison_opens_the_private_test():
    openers = [path.stem for path in NOTEBOOKS if "open_private_test" in text_of(nbformat.read(path, 4))]
    assert openers == ["05_comparison"]
    readers = [path.stem for path in NOTEBOOKS if "dataset.test" in text_of(nbformat.read(path, 4))]
    assert readers == ["05_comparison"]
