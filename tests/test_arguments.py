"""What a command is given is of its kind, or told in a sentence."""

import re

import pytest

from ferlib import cli
from ferlib.tools import commands


def test_what_is_of_the_kind_is_read():
    assert (commands.positive("3"), commands.index("0")) == (3, 0)
    assert commands.region("0, 10,320,240") == (0, 10, 320, 240)


WRONG = {
    "is not a number from 1 to 1,000,000,000": (
        *("predict a.png --every 0", "predict a.png --every often"),
        *("predict a.png --every " + n * "9" for n in (400, 9999)),  # more than float and int read
    ),
    "is not left,top,width,height in pixels": tuple(
        f"predict a.png --roi={text}" for text in ("1,2,3", "1,2,3,x", "1,2,3,4,x", "1,2,0,9", "-1,2,3,4")
    ),
    "is not a number from 0 to 1": ("predict a.png --min-confidence 70",),
    "is not a number from 0 to 65,535": (
        *(f"webcam --camera={text}" for text in ("-1", "x", "1.5", "65536", "99999999999")),
        "webcam --port 70000",
    ),
    "is not a number from 1 to 1,000": (
        *("train prior --seeds x", "train prior --seeds 1001", "train prior --seeds 99999999999"),
        *("report --seeds 99999999999", "train --workers 99999999999"),
    ),
}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(words, sentence) for sentence, several in WRONG.items() for words in several],
)
def test_what_is_not_is_told(words, sentence, capsys):
    *_, option, text = re.split("[ =]", words)
    refused(words, f"argument {option}: '{text[:99]}' {sentence}", capsys)


def refused(words, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words.split())
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("predict", "the following arguments are required: PATH"),
        ("predict a.png --detector eyes", "invalid choice: 'eyes'"),
        ("bench --quick --save", "not allowed with"),  # quick figures never replace real ones
    ],
)
def test_wrong_usage_is_told(words, told, capsys):
    refused(words, told, capsys)


def test_all_is_said_to_be_the_results_table(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", "--help"])
    told = "--all every row of the results table, those taught by people's votes too"
    assert told in " ".join(capsys.readouterr().out.split())
