"""Published figures have sources that can be cited and read, and are told with how they were measured."""

import re
from pathlib import Path

import pandas as pd
import pytest

from ferlib.report import related
from ferlib.train import experiments

BIBLIOGRAPHY = (related.FILE.parent / "references.bib").read_text(encoding="utf-8")
KEYS = re.findall(r"^@\w+\{(\w+),", BIBLIOGRAPHY, re.M)
ROOT = Path(__file__).parent.parent


@pytest.fixture(params=["FER-2013", "FER+"])
def figures(request):
    return related.published(request.param)


def test_every_figure_is_an_accuracy_with_a_source_and_a_verdict_that_says_why(figures):
    assert len(figures) >= 5 and set(figures["source"]) <= set(KEYS)
    assert figures["where"].str.match(r"https://\S+$").all()
    assert set(figures["known"]) <= {"code", "page", "quoted"}
    accuracies = figures["accuracy"].astype(float)
    assert accuracies.between(20, 100).all()
    assert accuracies.is_monotonic_increasing
    assert set(figures["verdict"]) <= {"stands", "too high", "open", "refuted"}
    assert (figures["belief"].str.len() > 10).all()
    for column in ("split", "other_data", "method"):
        assert figures[column].notna().all(), column
    chose_on_its_test = figures["chosen_on"] == figures["split"]
    assert (figures["verdict"][chose_on_its_test] == "too high").all()


def test_the_bibliography_has_each_key_once_and_each_entry_a_place_and_a_year():
    assert len(KEYS) == len(set(KEYS))
    for entry in re.split(r"^@", BIBLIOGRAPHY, flags=re.M)[1:]:
        assert re.search(r"^  year +=", entry, re.M), entry
        assert re.search(r"^  (doi|url) +=", entry, re.M), entry


def test_the_table_cites_and_says_how_each_figure_was_measured():
    seven, eight = related.published("FER-2013"), related.published("FER+")
    assert len(pd.read_csv(related.FILE)) == len(seven) + len(eight), "all lines are read"
    shown = related.table(by_the_labels=seven, by_votes=eight)
    heads = [0, len(seven) + 1]
    assert list(shown["who"].iloc[heads]) == ["by the labels:", "by votes:"]
    assert (shown.iloc[heads].drop(columns="who") == "").all(axis=None)
    told = shown.drop(index=heads)
    assert list(told["who"]) == [f"@{source}" for source in [*seven["source"], *eight["source"]]]
    quoted = [*(seven["known"] == "quoted"), *(eight["known"] == "quoted")]
    assert list(told["how it was measured"].str.endswith("(as quoted)")) == quoted
    sources = told["our reading"].str.contains(r" \((?:code|page|issue \d+)\)$")
    assert list(~sources) == quoted, "each verdict names what it rests on"
    told = told.set_index("who")
    assert told.loc["@goodfellow2013", "%"] == "65 ± 5"
    assert told.loc["@khaireddin2021", "how it was measured"].endswith("; chosen on PrivateTest")
    assert told.loc["@yuan2021", "how it was measured"] == "PrivateTest; ten crops; chosen on it"
    assert (told["how it was measured"].str.contains("5 trainings").loc["@barsoum2016"]).all()
    assert list(told.loc[["@arriaga2017", "@khaireddin2021", "@tang2013"], "weights"]) == [
        *("58.4 k", "29.9 M", "–")
    ]


def made_up(**columns):
    """Figures of one network each that learnt from these data alone, but for some columns."""
    figures = {"method": "CNN", "networks": 1, "accuracy": "70", "split": "PrivateTest"}
    figures |= {"chosen_on": "PublicTest", "trainings": 1, "other_data": "none", "verdict": "stands"}
    frame = pd.DataFrame(figures | columns, index=range(4))
    return frame.astype({"networks": "Int64", "trainings": "Int64"})


def test_figures_are_counted_and_the_best_alone_had_no_help_is_no_mean_and_stands():
    chosen_on, trainings = [None, "PrivateTest", "PrivateTest", None], [None, 5, 1, None]
    figures = made_up(method=["people", "CNN", "CNN", "CNN"], chosen_on=chosen_on, trainings=trainings)
    assert related.counts(figures) == {"all": 3, "repeated": 1, "own": 2}
    other_data, verdict = ["none", "none", "none", "ImageNet"], ["stands", "stands", "too high", "stands"]
    figures = made_up(networks=[1, 8, 1, 1], other_data=other_data, verdict=verdict)
    assert related.alone(figures.assign(accuracy=["71.5", "72", "73", "74"])) == 71.5


def test_reported_figures_are_those_of_the_experiments():
    told = related.reported()
    assert told["deep_both"]["accuracy"] == experiments.EXPERIMENTS["deep_both"].reported
    assert "best" not in told
    assert all(row["accuracy"] or row["note"] for row in told.values())


def test_every_key_that_a_notebook_cites_exists():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cited = re.findall(r"(?<![\w.])@(\w+\d{4}\w*)", path.read_text(encoding="utf-8"))
        assert set(cited) <= set(KEYS), path.name
