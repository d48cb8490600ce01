from argparse import ArgumentTypeError

import pytest

from ferlib import cli
from ferlib.tools import commands


def test_what_is_of_the_kind_is_read():
    assert (commands.positive("3"), commands.index("0")) == (3, 0)
    assert commands.region("0, 10,320,240") == (0, 10, 320, 240)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        ("positive", "0", "'0' is not a number from 1"),
        ("positive", "often", "'often' is not a number from 1"),
        ("positive", "9" * 400, "'9{99}' is not a number from 1 to 1,000,000,000"),  # more than a float is
        ("positive", "9" * 9999, "'9{99}' is not a number from 1 to 1,000,000,000"),  # more than int reads
        ("count", "1001", "'1001' is not a number from 1 to 1,000"),
        ("index", "65536", "'65536' is not a number from 0 to 65,535"),
        ("index", "-1", "'-1' is not a number from 0"),
        ("index", "1.5", "'1.5' is not a number from 0"),
        ("region", "1,2,3", "'1,2,3' is not left,top,width,height in pixels"),
        ("region", "1,2,3,x", "'1,2,3,x' is not left"),
        ("region", "1,2,3,4,x", "'1,2,3,4,x' is not left"),
        ("region", "1,2,0,9", "'1,2,0,9' is not left"),
        ("region", "-1,2,3,4", "'-1,2,3,4' is not left"),
    ],
)
def test_what_is_not_is_told(kind, text, sentence):
    with pytest.raises(ArgumentTypeError, match=f"^{sentence}"):
        getattr(commands, kind)(text)


@pytest.mark.parametrize(
    "words", [["train", "prior", "--seeds"], ["report", "--seeds"], ["train", "--workers"]]
)
def test_more_seeds_or_processes_than_a_computer_holds_are_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([*words, "99999999999"])
    assert "'99999999999' is not a number from 1 to 1,000" in capsys.readouterr().err


def test_all_is_said_to_be_the_results_table(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", "--help"])
    assert "--all every row of the results table" in " ".join(capsys.readouterr().out.split())
