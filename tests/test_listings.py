"""The appendix prints the library's own code, by name."""

import ast

import pytest

from ferlib import paths
from ferlib.labels import FerlibError
from ferlib.report import appendix

MODULE = '''
import os

@decorated
def first(a):
    """Say."""
    return a


class Kind:
    size: int = 3

    @property
    def second(self):
        return 2


TABLE = (
    1,
)
'''


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(MODULE)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("first", '@decorated\ndef first(a):\n    """Say."""\n    return a'),
        ("Kind.second", "@property\ndef second(self):\n    return 2"),
        ("Kind.size", "size: int = 3"),
        ("TABLE", "TABLE = (\n    1,\n)"),
    ],
)
def test_code_is_found_by_name_as_it_stands(module, name, expected):
    assert appendix.source(module, name) == expected


def test_a_name_that_is_gone_is_told(module):
    with pytest.raises(FerlibError, match=r"some.py has no Kind.third"):
        appendix.source(module, "Kind.third")


def test_the_appendix_has_networks_augmentation_training_and_experiments():
    text = appendix.printed_code()
    for code in ("def lean_cnn(", "def resample(", "def epoch(self)", '_row("lean"'):
        assert code in text
    assert "report.figure" not in text
    for module, names in appendix.PRINTED.values():
        for name in names.split():
            ast.parse(appendix.source(paths.PACKAGE / module, name))
