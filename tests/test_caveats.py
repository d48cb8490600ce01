import pandas as pd

from ferlib import caveats, claims, experiments


def test_budgets_with_and_without_augmentation_are_held_against_each_other():
    ids = ["shallow_tuned", "shallow_both"]
    gains = pd.DataFrame([ids], columns=["first", "second"])
    told = caveats.budget(gains)
    allowed = [experiments.at(experiments.find(id), "cpu").epochs / experiments.find(id).epochs for id in ids]
    assert allowed[1] < allowed[0] < 1
    assert f"allowed {allowed[1]:.0%}".replace("%", " %") in told
    assert f"partners {allowed[0]:.0%}".replace("%", " %") in told
    assert caveats.budget(gains.head(0)) == ""


def test_times_of_the_same_network_that_differ_are_told():
    table = pd.DataFrame(
        {
            "profile": "cpu",
            "parameters": [9, 9, 5],
            "macs": [7, 7, 5],
            "device": "cpu",
            "seconds_per_epoch": [72.0, 168.0, 500.0],
        },
        index=["deep_tuned", "deep_both", "lean"],
    )
    assert "72 s in `deep_tuned` and 168 s in `deep_both`" in caveats.uneven_times(table)
    assert caveats.uneven_times(table.assign(seconds_per_epoch=[72.0, 80.0, 500.0])) == ""
    assert caveats.uneven_times(table.assign(profile="full")) == ""
    frozen = table.rename(index={"deep_both": "mobilenet_frozen"})
    assert caveats.uneven_times(frozen) == "", "its epochs leave the backbone out"


def test_verdicts_that_leaks_change_are_named():
    judged = pd.DataFrame({"claim": ["it gets stuck", "it is easy"], "verdict": [claims.HOLDS, claims.HOLDS]})
    assert caveats.changed_verdicts(judged, judged) == "On leak-free images every verdict is the same."
    clean = judged.assign(verdict=[claims.NOISE, claims.HOLDS])
    told = caveats.changed_verdicts(judged, clean)
    assert "1 of 2 verdicts" in told and "“it gets stuck” (holds; leak-free: within noise)" in told
    assert "easy" not in told
