"""What a command is given is of its kind, or told in a sentence."""

import pytest

from ferlib import cli
from ferlib.tools import commands

WHOLE = "is not a number from"
REGION = "is not left,top,width,height in pixels"


def test_a_region_is_read():
    assert commands.region("0, 10,320,240") == (0, 10, 320, 240)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("predict", "the following arguments are required: PATH"),
        ("predict a.png --detector eyes", "invalid choice: 'eyes'"),
        ("predict a.png --every 0", f"argument --every: '0' {WHOLE} 1 to 1,000,000,000"),
        ("predict a.png --every often", f"argument --every: 'often' {WHOLE} 1 to 1,000,000,000"),
        *(
            (f"predict a.png --roi={text}", f"argument --roi: '{text}' {REGION}")
            for text in ("1,2,3", "1,2,3,x", "1,2,3,4,x", "1,2,0,9", "-1,2,3,4")
        ),
        ("predict a.png --min-confidence 70", "argument --min-confidence: '70' is not a number from 0 to 1"),
        ("predict a.png --min-confidence most", "argument --min-confidence: invalid share value: 'most'"),
        *(
            (f"webcam --camera={text}", f"argument --camera: '{text}' {WHOLE} 0 to 65,535")
            for text in ("-1", "1.5", "65536")
        ),
        ("webcam --port 70000", f"argument --port: '70000' {WHOLE} 0 to 65,535"),
        ("train prior --seeds 1001", f"argument --seeds: '1001' {WHOLE} 1 to 1,000"),
        ("train --workers 99999999999", f"argument --workers: '99999999999' {WHOLE} 1 to 1,000"),
        ("report --seeds x", f"argument --seeds: 'x' {WHOLE} 1 to 1,000"),
        ("bench --quick --save", "not allowed with"),  # quick figures never replace real ones
    ],
)
def test_wrong_usage_is_told(words, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words.split())
    assert told in capsys.readouterr().err
