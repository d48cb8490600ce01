import made_up
import pandas as pd

from ferlib import caveats, claims, compare, experiments


def test_budgets_with_and_without_augmentation_are_held_against_each_other():
    runs = [made_up.run(id, profile="cpu") for id in ("prior", "shallow_plain", "shallow_both")]
    told = caveats.budget(compare.results_table(runs))
    shares = {}
    for run in runs[1:]:
        meant = experiments.find(run.experiment.id)
        shares[meant.policy] = f"{100 * run.experiment.epochs / meant.epochs:.0f} %"
    assert "Of the 2 rows with fewer epochs" in told, "the majority class has all of its epochs"
    assert f"augmentation were allowed {shares['standard']}" in told and f"without {shares['none']}" in told
    assert caveats.budget(compare.results_table(runs[:2])) == "", "nothing to compare"


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


def test_verdicts_that_leaks_change_are_named():
    judged = pd.DataFrame({"claim": ["it gets stuck", "it is easy"], "verdict": [claims.HOLDS, claims.HOLDS]})
    assert caveats.changed_verdicts(judged, judged) == "On leak-free images every verdict is the same."
    clean = judged.assign(verdict=[claims.NOISE, claims.HOLDS])
    told = caveats.changed_verdicts(judged, clean)
    assert "1 of 2 verdicts" in told and "“it gets stuck” (holds; leak-free: within noise)" in told
    assert "easy" not in told
