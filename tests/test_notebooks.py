"""The notebook sources follow the house style, so that every chapter reads alike."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from ferlib.report.chapter import HOLE
from ferlib.train import experiments

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, 4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose_calls(cell) -> list[ast.Call]:
    """The calls of a cell that holds nothing but what the report says or shows, else none."""
    shown = [f"report.{name}" for name in ("say", "conclude", "figure", "table", "provenance")]
    calls = [getattr(statement, "value", None) for statement in ast.parse(cell.source).body]
    prose = [isinstance(call, ast.Call) and ast.unparse(call.func) in shown for call in calls]
    return calls if all(prose) else []


def strings_in(source) -> list[str]:
    """What the strings of some code say, f-strings included."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return [node.value for node in nodes if isinstance(node.value, str)]


def written_texts(notebook) -> list[str]:
    """All that people wrote in the calls of a chapter."""
    return [text for cell in code_cells(notebook) if prose_calls(cell) for text in strings_in(cell.source)]


def text_of(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def test_the_chapters_are_numbered_without_a_gap():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{i:02d}" for i in range(len(NOTEBOOKS))]
    assert len(NOTEBOOKS) >= 8


def test_sources_are_valid_and_carry_no_outputs_in_few_short_cells(notebook):
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))
    assert len(notebook.cells) <= 25
    assert max(len(cell.source.splitlines()) for cell in code_cells(notebook)) <= 15


def test_first_cell_states_question_answer_needs_and_runtime(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    for word in ("**Question**", "**Needs**", "**Runtime**"):
        assert word in first.source
    assert sum("**Answer**" in cell.source for cell in notebook.cells) == 1


def test_second_cell_imports_and_third_holds_literal_parameters(notebook):
    imports, parameters = notebook.cells[1], notebook.cells[2]
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(imports.source).body[:1])
    assert parameters.metadata.get("tags") == ["parameters"]
    names = {}
    for node in ast.parse(parameters.source).body:
        assert isinstance(node, ast.Assign)
        names[node.targets[0].id] = ast.literal_eval(node.value)
    assert {"DATA", "PROFILE", "SEEDS"} <= set(names)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1


def test_prose_is_collapsed_and_code_is_code(notebook):
    for cell in code_cells(notebook):
        hidden = bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
        numbers = "numbers" in cell.metadata.get("tags", [])
        assert hidden == (numbers or bool(prose_calls(cell))), cell.source
        assert not numbers or "report.values(" in cell.source and "print(" not in cell.source
    shown = [cell.source for cell in code_cells(notebook) if not prose_calls(cell)]
    said = sum(len(text) for source in shown for text in strings_in(source))
    assert said < 0.2 * sum(map(len, shown))


def test_holes_have_values_that_the_chapter_names(notebook):
    given = set(experiments.EXPERIMENTS)
    for node in ast.walk(ast.parse("\n".join(cell.source for cell in code_cells(notebook)))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "report.values":
            given |= {keyword.arg for keyword in node.keywords}
    holes = {hole[1].split(".")[0] for text in written_texts(notebook) for hole in HOLE.finditer(text)}
    assert holes <= given
    markdown = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert not any(HOLE.search(text) for text in markdown), "a hole in Markdown shows as it is in JupyterLab"


def test_what_is_concluded_stands_on_evidence(notebook):
    for cell in notebook.cells:
        calls = prose_calls(cell) if cell.cell_type == "code" else []
        concludes = re.search(r"\*\*(Answer|Finding)|^## (Abstract|What we learned)", cell.source, re.M)
        calls = [call for call in calls if ast.unparse(call.func) == "report.conclude"]
        assert calls or not concludes, f"a conclusion without report.conclude: {cell.source}"
        for call in calls:
            assert call.keywords
            for claim in call.keywords:
                names = [node for node in ast.walk(claim.value) if isinstance(node, ast.Name)]
                assert names, f"{claim.arg} is typed"
    assert "report.conclude(" in text_of(notebook)


def test_figures_and_tables_are_mentioned_before_they_come(notebook):
    said = ""
    for cell in notebook.cells:
        for call in prose_calls(cell) if cell.cell_type == "code" else []:
            kind = {"report.figure": "fig", "report.table": "tbl"}.get(ast.unparse(call.func))
            label = kind and f"@{kind}-{call.args[1].value.replace('_', '-')}"
            assert not kind or re.search(rf"{label}\b(?!-)", said), f"{label} comes without a word"
            said += cell.source if not kind else ""
        said += cell.source if cell.cell_type == "markdown" else ""


def test_no_result_is_typed(notebook):
    """Percentages, points and large numbers come from the runs; typed ones would outlive them."""
    texts = [HOLE.sub("", text) for text in written_texts(notebook)]
    texts += [cell.source for cell in notebook.cells[1:] if cell.cell_type == "markdown"]
    for text in texts:
        assert not re.search(r"\d\.\d+ ?%|\d ?points?\b|\d of \d|\d\.\d+ (ms|s|MB)\b", text), text


@pytest.mark.parametrize("start", ["03", "04", "02"])
def test_networks_are_written_out_checked_and_trained_in_the_chapters_on_training(start):
    notebook = nbformat.read(next(path for path in NOTEBOOKS if path.name.startswith(start)), 4)
    code = "\n".join(cell.source for cell in code_cells(notebook))
    for call in ("layers.", "models.same_layers(", ".compile(", ".fit(", "load_weights(", "Augment("):
        assert call in code, call


def test_functions_live_in_the_library_and_nothing_belongs_to_one_machine(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 5, f"move {node.name} to ferlib"
        assert not re.search(r"^\s*[!%]", cell.source, re.M)
        assert not re.search(r"""["'](/|[A-Z]:\\)""", cell.source)
        assert "filterwarnings" not in cell.source
        assert not re.search(r"^\s*#\s*\w+(\.\w+)*\(.*\)\s*$", cell.source, re.M), "commented-out code"


def test_chapters_end_with_provenance_and_average_all_seeds_of_a_row(notebook):
    """Else one table has the mean of three seeds, and another the first of them, for the same row."""
    assert "report.provenance(" in code_cells(notebook)[-1].source
    source = text_of(notebook)
    assert "trainer.obtain(" not in source or "summary.with_other_seeds(" in source


def test_only_the_two_comparisons_open_the_private_test():
    openers = [path.stem for path in NOTEBOOKS if "open_private_test" in text_of(nbformat.read(path, 4))]
    assert openers == ["05_comparison", "07_crowd"]
    readers = [path.stem for path in NOTEBOOKS if "dataset.test" in text_of(nbformat.read(path, 4))]
    assert readers == ["05_comparison"]
