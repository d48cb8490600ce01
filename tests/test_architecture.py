"""The house keeps its shape: arrows point one way, light rooms stay light, modules stay small."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ferlib"

GROUND = ("labels", "words", "paths", "pixels", "faces")
"""What every wing stands on; each may import only those named before it."""

WINGS = {
    "live": (),
    "data": (),
    "train": ("data",),
    "evaluate": ("train", "data", "live"),
    "figures": ("evaluate", "train", "data", "live"),
    "report": ("evaluate", "train", "data"),
    "tools": ("report", "figures", "evaluate", "train", "data", "live"),
}
"""Each wing and the wings that it may import from."""

HEAVY = {
    "keras",
    "tensorflow",
    "jax",
    "pandas",
    "matplotlib",
    "seaborn",
    "sklearn",
    "scipy",
    "papermill",
    "nbconvert",
}

LIGHT = (
    *(f"ferlib.{name}" for name in ("labels", "paths", "pixels", "faces", "cli")),
    *(f"ferlib.live.{path.stem}" for path in sorted((PACKAGE / "live").glob("*.py"))),
    "ferlib.tools.commands",
)
"""Modules that a light installation (no TensorFlow, no pandas) must be able to import."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def named(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


NAMES = {named(path): path for path in modules()}


def imported(path: Path) -> set[str]:
    """Modules of ferlib that a module imports, wherever in its file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ferlib":
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found & set(NAMES)


def wing(module: str) -> str:
    """The wing of a module; of those right under ferlib its own name."""
    return module.split(".")[1]


@pytest.mark.parametrize("module", NAMES)
def test_arrows_between_wings_point_one_way(module):
    own, reached = wing(module), {wing(name) for name in imported(NAMES[module])}
    if own in WINGS:
        allowed = {own, *WINGS[own], *GROUND}
    else:
        allowed = set(GROUND[: GROUND.index(own)]) if own in GROUND else {*WINGS, *GROUND}
    assert reached <= allowed, f"{module} must not import from {', '.join(sorted(reached - allowed))}"


def test_no_module_imports_itself_by_way_of_others():
    tuple(TopologicalSorter({name: imported(path) for name, path in NAMES.items()}).static_order())


def test_every_room_lies_in_a_wing_or_on_the_ground():
    assert {wing(name) for name in NAMES} == {*WINGS, *GROUND, "cli"}
    doors = {path.parent.name: path.read_text() for path in PACKAGE.glob("*/__init__.py")}
    assert set(doors) == set(WINGS)
    for name, text in doors.items():
        (told,) = ast.parse(text).body
        assert isinstance(told, ast.Expr), (
            f"ferlib/{name}/__init__.py says what the wing is for, nothing else"
        )


@pytest.mark.parametrize("path", modules(), ids=named)
def test_modules_are_short(path):
    assert len(path.read_text().splitlines()) <= 350, (
        f"{path.name} is too long: give part of it a room of its own"
    )


@pytest.mark.parametrize("path", modules(), ids=named)
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = node.body[0] if ast.get_docstring(node) else None
            told = told.end_lineno - told.lineno + 1 if told else 0
            assert node.end_lineno - node.lineno + 1 - told <= 40, f"{node.name} is too long: split it"


def test_no_module_imports_tensorflow_or_jax_when_loaded():
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"tensorflow", "jax"}, path.name


@pytest.mark.parametrize("module", ["ferlib", *LIGHT])
def test_light_modules_load_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)
