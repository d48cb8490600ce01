"""Numbers reach sentences by their names, and conclusions are worth what their evidence is."""

import logging
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from test_display import a_dataset, a_run

from ferlib.labels import FerlibError
from ferlib.report import chapter


def test_tables_series_mappings_and_differences_get_dotted_names():
    table = pd.DataFrame({"public": [0.5, 0.75], "epochs": [3, 4]}, index=["deep", "lean"])
    difference = SimpleNamespace(fields=lambda: {"value": 0.25})
    values = chapter.named(table) | chapter.named(difference, "gain")
    assert values | chapter.named({"a b": {"c": "x"}}, "told") == {
        "deep.public": 0.5,
        "deep.epochs": 3,
        "lean.public": 0.75,
        "lean.epochs": 4,
        "gain.value": 0.25,
        "told.a_b.c": "x",
    }
    assert isinstance(values["lean.epochs"], (int, np.integer))
    assert chapter.named(pd.Series({"p50": np.float64(2.5)}), "times") == {"times.p50": 2.5}
    assert chapter.named(np.int64(7), "faces") == {"faces": 7}


def test_what_a_chapter_computes_itself_is_the_same_each_time():
    drawn = []
    for _ in range(2):
        chapter.Report(a_dataset())
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        drawn.append(network.get_weights()[0].tolist())
    assert drawn[0] == drawn[1]


def test_tensorflow_tells_a_chapter_errors_alone_from_its_first_cell_on(caplog):
    logger = logging.getLogger("tensorflow")
    logger.setLevel(logging.INFO)  # as it does itself where notebooks run
    for told in (logger.warning, logger.error):
        told("5 out of the last 15 calls to <function at 0x7efe724ff600> triggered retracing")
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.7312, ".1%", "73.1 %"),
        (-0.0241, "+.1p", "−2.4 points"),
        (0.0552, "+.1p", "+5.5 points"),
        (876263, ",", "876,263"),
        (-1.5, ".1f", "−1.5"),
        (-0.001, ".2f", "0.00"),
        ("deep_tuned", "", "deep_tuned"),
        ("-o", "", "-o"),
        (["a", "b", "c"], "", "a, b and c"),
        (0.0004, "P", "< 0.001"),
        (0.0123, "P", "= 0.012"),
        (None, ".1%", "–"),
        (pd.NA, "+.1p", "–"),
        (np.nan, ",", "–"),
    ],
)
def test_values_are_written_as_sentences_have_them(value, form, text):
    assert chapter.written(value, form) == text


def test_holes_are_filled_and_formulas_left_alone_or_it_is_an_error():
    text = r"It reads {{ deep.public:.1%}} of {{n:,}}, $\frac{a_{i}}{b}$, {{best}}."
    values = {"deep.public": 0.5, "n": 3589, "best": "lean"}
    assert chapter.filled(text, values) == r"It reads 50.0 % of 3,589, $\frac{a_{i}}{b}$, lean."
    with pytest.raises(FerlibError, match=r"\{\{deep.publik\}\} has no value; known are deep.public"):
        chapter.filled("{{deep.publik}}", {"deep.public": 0.5, "n": 3})
    for hole, problem in (("{{m}}", "known are best, deep, n"), ("{{best:.1%}}", "does not fit 'lean'")):
        with pytest.raises(FerlibError, match=problem):
            chapter.filled(hole, values)


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ([True, np.True_], True),
        ([True, None], None),
        ([np.nan], None),
        ([True, np.float32("nan")], None),
        ([pd.NA, np.False_], False),
    ],
)
def test_evidence_fails_with_one_claim_and_is_unknown_with_one_unknown(claims, holds):
    evidence = {f"claim_{place}": claim for place, claim in enumerate(claims)}
    assert chapter.verdict(evidence) is holds


@pytest.fixture
def a_report(monkeypatch):
    """Return a function that makes a report over made-up runs of some origins."""

    def made(runs=("record",), profile="full", recorded=True, **changes):
        table = pd.DataFrame({"fingerprint": ["a" * 64] if recorded else []})
        monkeypatch.setattr(chapter.record, "read_results", lambda: table)
        some = [SimpleNamespace(**vars(a_run(profile)) | {"origin": origin}) for origin in runs]
        return chapter.Report(a_dataset(**changes), some, profile)

    return made


def test_sentences_and_captions_are_filled(shown, fig, a_report):
    said = a_report()
    said.values(pd.DataFrame({"public": [0.5]}, index=["deep_plain"]), gain=0.02)
    said.say("It reads {{deep_plain.public:.1%}}.")
    said.table(pd.DataFrame({"n": [1]}), "counts", caption="{{gain:+.1p}} more.")
    said.figure(fig, "curve", caption="About {{gain:.0%}}.", alt="A line up to {{gain:.0%}}")
    captions = [facts.get("caption") for _, facts in shown]
    assert shown[1][0]["text/markdown"] == "It reads 50.0 %."
    assert "+2.0 points more." in captions and "About 2 %." in captions
    said.say("`best` reads {{best.public:.1%}}.")
    assert shown[-1][0]["text/markdown"] == "`best` reads –.", "that row was not run"


@pytest.mark.parametrize(
    ("claim", "settings", "outcome"),
    [
        (True, {}, "So it is."),
        (True, {"runs": ("runs",)}, "So it is."),
        (None, {}, chapter.UNKNOWN),
        (True, {"profile": "quick"}, chapter.UNKNOWN),
        (True, {"is_demo": True}, chapter.UNKNOWN),
        (False, {"profile": "quick"}, chapter.UNKNOWN),
        (False, {"runs": ("runs", "record")}, "do not support what was concluded from the record (it_is)"),
        (False, {"recorded": False}, "do not support what was concluded from the record (it_is)"),
        (False, {}, None),
    ],
)
def test_conclusions_stand_or_fall_with_their_evidence(shown, a_report, claim, settings, outcome):
    said = a_report(**settings)
    if outcome is None:
        with pytest.raises(FerlibError, match="does not support it_is; rewrite"):
            said.conclude("**Finding.** So it is.", also=True, it_is=claim)
        return
    said.conclude("## Findings\n\nSo it is.", also=True, it_is=claim)
    text = shown[-1][0]["text/markdown"]
    assert text.startswith("## Findings\n\n") and outcome in text
    assert ("So it is." in text.split("“")[0]) == (outcome == "So it is.")


def test_an_answer_and_the_abstract_keep_their_places(shown, a_report):
    said = a_report()
    said.conclude("**Answer** Yes.", yes=None)
    said.conclude("## Abstract\n\nWe did it.", done=True)
    assert shown[1][0]["text/markdown"] == f"**Answer** {chapter.UNKNOWN}"
    assert shown[2][1]["role"] == "abstract"
    assert shown[2][0]["text/markdown"] == "We did it."
    said.conclude("## Abstract\n\nWe did it.", done=None)
    assert shown[3][0]["text/markdown"] == f"> {chapter.UNKNOWN}", "the title page has the heading"


def test_a_conclusion_needs_evidence_and_is_open_where_a_number_is_missing(shown, a_report):
    report = a_report()
    with pytest.raises(FerlibError, match="without evidence"):
        report.conclude("**Finding.** So it is.")
    report.values(gain=pd.NA, loss=0.1)
    report.conclude("**Finding.** Better by {{gain:+.1p}}.", better=True)
    report.conclude("**Finding.** Worse by {{loss:+.1p}}.", worse=True)
    assert [facts["holds"] for _, facts in shown[-2:]] == [None, True]
    assert chapter.display.MISSING not in shown[-2][0]["text/markdown"]


def test_quick_runs_are_left_out_and_said_to_be(shown, monkeypatch):
    monkeypatch.setattr(chapter.record, "read_results", pd.DataFrame)
    said = chapter.Report(a_dataset(), [a_run("full"), a_run("quick")])
    assert [run.profile for run in said.runs] == ["full"]
    assert shown[0][1]["role"] == "status"
    said.provenance()
    assert shown[-1][1]["profiles"] == ["full"]
