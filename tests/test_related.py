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


def test_every_figure_has_a_source_that_can_be_cited_and_read(figures):
    assert len(figures) >= 5
    assert set(figures["source"]) <= set(KEYS)
    assert figures["where"].str.match(r"https://\S+$").all()
    assert set(figures["known"]) <= {"code", "page", "quoted"}


def test_every_figure_is_an_accuracy_with_a_verdict_that_says_why(figures):
    accuracies = figures["accuracy"].astype(float)
    assert accuracies.between(20, 100).all()
    assert accuracies.is_monotonic_increasing
    assert set(figures["verdict"]) <= {"stands", "too high", "open", "refuted"}
    assert (figures["belief"].str.len() > 10).all()
    for column in ("split", "other_data", "method"):
        assert figures[column].notna().all(), column


def test_what_chose_on_its_own_test_images_is_not_said_to_stand(figures):
    assert (figures["verdict"][figures["chosen_on"] == figures["split"]] == "too high").all()


def test_all_lines_of_the_file_are_read():
    lines = pd.read_csv(related.FILE)
    assert len(lines) == len(related.published("FER-2013")) + len(related.published("FER+"))


def test_the_bibliography_has_each_key_once_and_each_entry_a_place_and_a_year():
    assert len(KEYS) == len(set(KEYS))
    for entry in re.split(r"^@", BIBLIOGRAPHY, flags=re.M)[1:]:
        assert re.search(r"^  year +=", entry, re.M), entry
        assert re.search(r"^  (doi|url) +=", entry, re.M), entry


def test_the_table_cites_and_says_how_each_figure_was_measured():
    seven, eight = related.published("FER-2013"), related.published("FER+")
    shown = related.table(by_the_labels=seven, by_votes=eight)
    heads = [0, len(seven) + 1]
    assert list(shown["who"].iloc[heads]) == ["by the labels:", "by votes:"]
    assert (shown.iloc[heads].drop(columns="who") == "").all(axis=None)
    told = shown.drop(index=heads)
    assert list(told["who"]) == [f"@{source}" for source in [*seven["source"], *eight["source"]]]
    quoted = [*(seven["known"] == "quoted"), *(eight["known"] == "quoted")]
    assert list(told["how it was measured"].str.endswith("(as quoted)")) == quoted
    told = told.set_index("who")
    assert told.loc["@goodfellow2013", "%"] == "65 ± 5"
    assert told.loc["@khaireddin2021", "how it was measured"].endswith("; chosen on PrivateTest")
    assert told.loc["@yuan2021", "how it was measured"] == "PrivateTest; ten crops; chosen on it"
    assert (told["how it was measured"].str.contains("5 trainings").loc["@barsoum2016"]).all()
    assert list(told.loc[["@arriaga2017", "@khaireddin2021", "@tang2013"], "weights"]) == [
        *("58.4 k", "29.9 M", "–")
    ]


def made_up(**columns):
    defaults = {
        "method": "CNN",
        "networks": 1,
        "accuracy": "70",
        "split": "PrivateTest",
        "chosen_on": "PublicTest",
        "trainings": 1,
        "other_data": "none",
        "verdict": "stands",
    }
    length = max(len(values) for values in columns.values())
    frame = pd.DataFrame({name: [value] * length for name, value in defaults.items()} | columns)
    return frame.astype({"networks": "Int64", "trainings": "Int64"})


def test_counts_tell_who_trained_once_and_who_chose_on_the_test():
    figures = made_up(
        method=["people", "CNN", "CNN", "CNN"],
        chosen_on=[None, "PrivateTest", "PrivateTest", None],
        trainings=[None, 5, 1, None],
    )
    assert related.counts(figures) == {"all": 3, "repeated": 1, "own": 2}


def test_the_best_network_alone_leaves_out_help_means_and_what_does_not_stand():
    figures = made_up(
        accuracy=["71.5", "72", "73", "74"],
        other_data=["none", "none", "none", "ImageNet"],
        networks=[1, 8, 1, 1],
        verdict=["stands", "stands", "too high", "stands"],
    )
    assert related.alone(figures) == 71.5


def test_reported_figures_are_those_of_the_experiments():
    told = related.reported()
    assert told["deep_both"]["accuracy"] == experiments.EXPERIMENTS["deep_both"].reported
    assert "best" not in told
    assert all(row["accuracy"] or row["note"] for row in told.values())


def test_every_key_that_a_notebook_cites_exists():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cited = re.findall(r"(?<![\w.])@(\w+\d{4}\w*)", path.read_text(encoding="utf-8"))
        assert set(cited) <= set(KEYS), path.name
