"""The code that the report prints: parts of the library, by their names, as they stand in its modules."""

import ast
import re
import textwrap
from pathlib import Path

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.report.document import fence

PRINTED = {
    "The best networks": (
        "train/models.py",
        "lean_cnn residual_cnn _standardized _convolution _normalized_relu",
    ),
    "The augmentation": ("train/layers.py", "POLICIES Augment.call affine resample relight erase"),
    "The steps of a training": ("train/fitting.py", "Fitting.epoch Fitting._fit _training_model"),
    "Optimizer and learning rate": ("train/optimizers.py", "optimizer averaging"),
    "The table of experiments": (
        "train/experiments.py",
        "AUGMENTED TUNED SLOWER BOTH FINETUNED FROZEN SCRATCH BEST PAPER LEAN _row _ROWS",
    ),
}
"""Heading to a module of ferlib and the names that are printed of it."""


def appendix() -> str:
    """Return the appendix with the library's code as Markdown."""
    parts = ["``` {=typst}\n#show: appendix\n```", "# Appendix: code {#sec-code .unnumbered}"]
    for heading, (module, names) in PRINTED.items():
        code = "\n\n".join(source(paths.PACKAGE / module, name) for name in names.split())
        code = re.sub(r"^([A-Z]+ = .*)\n\n(?=[A-Z]+ = )", r"\1\n", code, flags=re.M)  # lines of a table
        parts += [
            f"## {heading} {{.unlisted .unnumbered}}",
            f"From `ferlib/{module}`:",
            fence(code, "python"),
        ]
    return "\n\n".join(parts)


def source(module: Path, name: str) -> str:
    """Return the source of a function or constant, of its docstring the first line, without importing it.

    Args:
        module: Python file.
        name: What stands at its top level, or ``Class.method``.

    Raises:
        FerlibError: There is no such name.
    """
    text = module.read_text(encoding="utf-8")
    node = ast.parse(text)
    for part in name.split("."):
        node = next((found for found in node.body if part in _names(found)), None)
        if node is None:
            raise FerlibError(f"{module} has no {name} to print")
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
    code = "\n".join(text.split("\n")[first - 1 : node.end_lineno])
    told = ast.get_docstring(node, clean=False) if isinstance(node, ast.FunctionDef) else None
    return textwrap.dedent(code.replace(told, told.split("\n")[0], 1) if told else code)


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    target = getattr(node, "target", node)
    return [getattr(target, "name", getattr(target, "id", ""))]
