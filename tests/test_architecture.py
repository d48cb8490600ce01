"""The house keeps its shape: arrows point one way, light rooms stay light, modules stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ferlib"

ORDER = [
    *["labels", "words", "paths", "machine", "colours", "pixels", "detectors", "faces"],
    *["portrait", "demo", "layout", "pictures", "tables", "readers", "data", "votes", "audit"],
    *["augment", "normalization", "backbones", "models"],
    *["evaluate", "calibrate", "resampling", "explain", "experiments", "finished", "record"],
    *["targets", "device", "fast", "optimizers", "fitting", "train", "planning", "cluster", "tune"],
    *["compare", "comparison", "crowd", "differences", "measures", "claims", "mistakes"],
    *["plots", "diagrams", "charts", "galleries"],
    *["related", "report", "chapter", "document", "colophon", "fonts", "render", "pipeline"],
    *[
        "answers",
        "network",
        "framing",
        "export",
        "media",
        "video",
        "draw",
        "tracker",
        "live",
        "inputs",
        "results",
        "timeline",
        "files",
        "page",
        "webcam",
        "showcase",
        "card",
        "chain",
        "bench",
        "speed",
        "reproduce",
        "arguments",
        "training_commands",
        "cli",
        "__main__",
    ],
]
"""Every module; each may import only modules named before it."""

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
    *("labels", "paths", "colours", "pixels", "detectors", "faces", "answers", "network", "media", "video"),
    *("draw", "tracker", "live", "inputs", "results", "timeline", "files", "page"),
    *("webcam", "arguments", "cli"),
)
"""Modules that a light installation (no TensorFlow, no pandas) must be able to import."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def imported(tree: ast.AST) -> list[tuple[int, str]]:
    """Names of ferlib modules that a syntax tree imports, wherever in the file, with line numbers."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found += (
                [(node.lineno, node.module)] if node.module else [(node.lineno, n.name) for n in node.names]
            )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ferlib":
            parts = node.module.split(".")
            found += (
                [(node.lineno, parts[1])] if len(parts) > 1 else [(node.lineno, n.name) for n in node.names]
            )
    return [(line, name) for line, name in found if not name.startswith("_")]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_imports_point_only_up_the_list(path):
    assert path.stem in ORDER, f"{path.name} has no place in the order of modules"
    allowed = ORDER[: ORDER.index(path.stem)]
    wrong = [
        f"line {line}: {name}" for line, name in imported(ast.parse(path.read_text())) if name not in allowed
    ]
    assert not wrong, f"{path.name} imports from below: {wrong}"


def test_every_module_in_the_order_exists():
    assert set(ORDER) == {path.stem for path in modules()}


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_modules_are_short(path):
    assert len(path.read_text().splitlines()) <= 350, (
        f"{path.name} is too long: give part of it a room of its own"
    )


def test_no_module_imports_tensorflow_or_jax_when_loaded():
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"tensorflow", "jax"}, path.name


@pytest.mark.parametrize("module", ["ferlib", *(f"ferlib.{name}" for name in LIGHT)])
def test_light_modules_load_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)


def test_readme_names_every_module_once():
    tree = (PACKAGE.parent / "README.md").read_text().split("## The tree")[1].split("```")[1]
    listed = [line.split()[0] for line in tree.splitlines() if line.startswith("  ") and ".py " in line]
    assert sorted(listed) == [path.name for path in modules()]
