"""The report tells how it was made, warns where its numbers are no findings, and prints code by name."""

import ast

import pytest
from chapters import FACTS

from ferlib import paths
from ferlib.report import appendix
from ferlib.report.document import Chapter, literal
from ferlib.train.experiments import TABLE


def chapter(**facts):
    return Chapter("01_x", facts={**FACTS, **facts})


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([{}], ""),
        ([{"is_demo": True}, {}], "demo faces, not FER-2013"),
        ([{"profiles": ["quick"]}, {"profiles": []}], "quick profile: small-scale run"),
        ([{"profiles": ["quick"]}, {"profiles": ["full"]}], "some numbers come from quick, small-scale runs"),
        (
            [{"is_demo": True, "profiles": ["quick"]}],
            "demo faces, not FER-2013 · quick profile: small-scale run",
        ),
    ],
)
def test_banner_warns_of_demo_faces_and_quick_runs(facts, expected):
    assert appendix.banner([chapter(**each) for each in facts]) == expected


def test_facts_are_told_once_or_with_their_chapters():
    commits = ["a", "b", "b", "b", "a", "c"]
    page = appendix.how_made([chapter(commit=commit) for commit in commits])
    assert "Commit\n:   `a` (chapters 1, 5); `b` (chapters 2, 3, 4); `c` (chapter 6)" in page
    assert f"Hardware\n:   {literal('A processor, 2 cores, 8 GiB memory')}\n" in page
    assert f"Fingerprint\n:   `{FACTS['fingerprint']}`\n" in page
    assert "Versions\n:   Python 3.12.1, keras 3.15.1\n" in page and "Profile\n:   full\n" in page
    first = Chapter("00_x", facts={**FACTS, "commit": "a"})
    assert "`a` (introduction and chapter 1); `b` (chapter 2)" in appendix.how_made(
        [first, *(chapter(commit=commit) for commit in "ab")]
    )


def test_the_report_says_who_made_its_runs_each_counted_once():
    run = FACTS["runs"][0]
    quick = {**run, "profile": "quick", "origin": "runs"}
    runs = [run, {**run, "seed": 1}, quick, {**quick, "device": "A CPU"}]
    page = appendix.how_made([chapter(runs=runs), chapter(runs=runs[:1]), Chapter("03_y")])
    told = "4, 2 of them from the record: 1 × quick on A CPU; 2 × full, 1 × quick on A GPU"
    assert f"Trainings\n:   {literal(told)}\n" in page
    assert "Trainings" not in appendix.how_made([Chapter("01_x")])


def test_the_appendix_has_networks_augmentation_training_and_experiments():
    assert "not run so far" not in appendix.printed_code([chapter(runs=[])])
    text = appendix.printed_code([chapter(runs=[{"experiment": id} for id in TABLE if id != "lean"])])
    assert text.partition("not run so far: ")[2].split("`")[1:4:2] == [" best_crowd ", " lean "]
    for code in ("def lean_cnn(", "def affine(", "def epoch(self)", '_row("lean"'):
        assert code in text
    assert "Args:" not in text, "of docstrings the first lines"
    for module, names in appendix.PRINTED.values():
        for name in names.split():
            ast.parse(appendix.source(paths.PACKAGE / module, name))
