"""Sentences about results, written by code, so that none outlives the numbers it was written from."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from ferlib import caveats
from ferlib.claims import FAILS, HOLDS, NOISE, UNTESTED
from ferlib.data import Dataset
from ferlib.finished import Run
from ferlib.words import listed, percent, points

_ORDER = (HOLDS, FAILS, NOISE, UNTESTED)


def caution(dataset: Dataset, table: pd.DataFrame) -> str:
    """Say why the numbers are no findings about FER-2013; empty if they are.

    Args:
        dataset: What the rows were trained on.
        table: From ``compare.results_table``.
    """
    warnings = []
    if dataset.is_demo:
        warnings.append(
            "The faces are drawn by a program and are not FER-2013: no number here says anything about "
            "people."
        )
    if quick := _who(table, table.index[table["profile"] == "quick"]):
        warnings.append(
            f"{quick} had a quick training only, seconds on a subset: it shows that everything works, not "
            "what a network can do."
        )
    if capped := _who(table, [*filter(caveats.capped, table.index[table["profile"] == "cpu"])]):
        warnings.append(f"{capped} saw all images, but on a processor and for fewer epochs than intended.")
    return " ".join(warnings)


def _who(table, rows):
    """Name rows of a table as the subject of a sentence; empty where there are none."""
    if not len(rows):
        return ""
    if len(rows) == len(table):
        return "All rows" if len(table) > 1 else "The network"
    names = f" ({listed(f'`{id}`' for id in rows)})" if len(rows) <= 3 else ""
    return f"{len(rows)} of {len(table)} rows{names}"


def warning(dataset: Dataset, runs: Iterable[Run]) -> str:
    """Say why single runs are no findings about FER-2013; empty if they are."""
    return caution(dataset, pd.DataFrame({run.experiment.id: {"profile": run.profile} for run in runs}).T)


def headline(table: pd.DataFrame, best: str) -> str:
    """Say how the row that PublicTest chose does on PrivateTest."""
    row = table.loc[best]
    over = f"mean of {row['seeds']} seeds, " if row["seeds"] > 1 else "one seed, "
    return (
        f"Of the seven-class rows, PublicTest prefers `{best}` ({row['group']}, {row['title']}; "
        f"{_million(row['parameters'])} parameters). On PrivateTest it names "
        f"{percent(row['test_accuracy'])} of the faces correctly ({over}95 % interval "
        f"{percent(row['test_low'])} to {percent(row['test_high'])}), "
        f"{percent(row['test_accuracy_tta'])} when several views of each face are averaged, and "
        f"{percent(row['leak_free_accuracy'])} of the faces that have no copy in the training split. Mean "
        f"recall is {percent(row['balanced_accuracy'])}, "
        f"{percent(row['leak_free_balanced_accuracy'])} without copies; macro-F1 is {row['macro_f1']:.3f}."
    )


def _million(parameters):
    return f"{parameters / 1e6:.2f} million" if parameters >= 1e4 else f"{parameters:.0f}"


def at_scale(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the quick rows of a ``compare.results_table``, which only show that everything works.

    A table of nothing but quick rows stays as it is.
    """
    serious = table[table["profile"] != "quick"]
    return table if serious.empty else serious


def against_reports(table: pd.DataFrame) -> str:
    """Say which rows lie above and below what is reported elsewhere, quick ones left out."""
    serious = at_scale(table)
    aside = ", quick ones aside," if len(serious) < len(table) else ""
    known = serious[serious["reported"].notna()]
    if known.empty:
        return "No row has a figure reported elsewhere."
    above = known[known["test_low"] > known["reported"]]
    below = known[known["test_high"] < known["reported"]]
    difference = (known["test_accuracy"] - known["reported"]).astype("float64")
    same = len(known) - len(above) - len(below)
    sentence = (
        f"{len(known)} rows{aside} have a figure reported elsewhere: {len(above)} of them lie above it with "
        f"their whole interval, {len(below)} below it, {same} cannot be told from it"
    )
    furthest = difference.abs().idxmax()
    return f"{sentence}; the largest difference is {points(difference[furthest])} (`{furthest}`)."


def verdicts(table: pd.DataFrame) -> str:
    """Count the verdicts on the claims.

    Args:
        table: From ``claims.claims_table``.
    """
    counted = Counter(table["verdict"])
    words = {  # of one claim, of several
        HOLDS: ("holds", "hold"),
        FAILS: ("does not hold", "do not hold"),
        NOISE: ("lies within noise", "lie within noise"),
        UNTESTED: ("could not be tested",) * 2,
    }
    parts = [
        f"{counted[verdict]} {word[counted[verdict] > 1]}"
        for verdict, word in words.items()
        if counted[verdict]
    ]
    return f"Of {len(table)} claims of earlier reports, {listed(parts)}."


def by_verdict(table: pd.DataFrame) -> str:
    """List the claims under their verdicts, as Markdown bullets."""
    lines = []
    for (verdict, why), group in table.groupby(["verdict", "why"], sort=False):
        reason = f" ({why})" if why else ""
        claims = "; ".join(f"“{claim}”" for claim in group["claim"])
        lines.append((_ORDER.index(verdict), f"- **{verdict.capitalize()}{reason}:** {claims}."))
    return "\n".join(line for _, line in sorted(lines))


def batch_ablation(table: pd.DataFrame) -> str:
    """Say what the batch size costs and gains.

    Args:
        table: Rows of ``compare.results_table``, from the smallest batch to the largest.
    """
    first, last = table.iloc[0], table.iloc[-1]
    best = table["test_accuracy"].idxmax()
    spread = table["test_accuracy"].max() - table["test_accuracy"].min()
    return (
        f"From the smallest batch to the largest, steps an epoch fall from {first['steps_per_epoch']:,.0f} "
        f"to {last['steps_per_epoch']:,.0f}, seconds an epoch go from {first['seconds_per_epoch']:.1f} to "
        f"{last['seconds_per_epoch']:.1f}, and memory from {first['peak_memory_mb']:,.0f} to "
        f"{last['peak_memory_mb']:,.0f} MB. `{best}` reads highest, "
        f"{percent(table.loc[best, 'test_accuracy'])}; highest and lowest lie {100 * spread:.1f} points "
        "apart."
    )


def costs(table: pd.DataFrame) -> str:
    """Say which rows are the fastest and the slowest for one face, quick ones left out."""
    times = at_scale(table)["milliseconds"].dropna()
    if times.empty:
        return ""
    return (
        f"`{times.idxmin()}` answers fastest, in {times.min():.1f} ms, `{times.idxmax()}` takes "
        f"{times.max() / times.min():.0f} times as long."
    )


def calibrations(table: pd.DataFrame) -> str:
    """Say in how many rows scaling by a temperature lowers the calibration error, quick ones left out."""
    serious = at_scale(table)
    aside = ", quick ones aside" if len(serious) < len(table) else ""
    before, after = (serious[name] for name in ("calibration_error", "calibration_error_scaled"))
    return (
        f"It lowers the error in {(after < before).sum()} of {len(serious)} rows{aside}: "
        f"{percent(before.mean())} to {percent(after.mean())} on average."
    )


def calibration(row: Mapping[str, float]) -> str:
    """Say how well a run's confidences fit, before and after temperature scaling.

    Args:
        row: A run's result, or a row of ``compare.results_table``.
    """
    sort = "over" if row["temperature"] > 1 else "under"
    before, after = (percent(row[name]) for name in ("calibration_error", "calibration_error_scaled"))
    falls = row["calibration_error_scaled"] < row["calibration_error"]
    effect = f"{'falls' if falls else 'does not fall: it goes'} from {before} to {after}"
    if before == after:
        effect = f"stays at {before}"
    return (
        f"The temperature fitted on PublicTest is {row['temperature']:.2f}: the network was {sort}confident. "
        f"On PrivateTest its expected calibration error {effect}; no prediction changes."
    )


def abstract(
    table: pd.DataFrame, best: str, claims: pd.DataFrame, dataset: Dataset, choice: str, leaked: str = ""
) -> str:
    """Write the report's abstract.

    Args:
        table: From ``compare.results_table``.
        best: From ``compare.best_row``.
        claims: From ``claims.claims_table``.
        dataset: What the rows were trained on.
        choice: Id of the row that goes to the real-time chapter.
        leaked: From `leaks`.
    """
    what = "drawn demo faces in the format of FER-2013" if dataset.is_demo else "faces of FER-2013"
    runs = int(table["seeds"].sum())
    sentences = [
        f"This report trains networks to name one of seven emotions in grey {what}, 48 by 48 pixels: "
        f"{len(dataset.train):,} to learn from, {len(dataset.valid):,} (PublicTest) to choose by and "
        f"{len(dataset.test):,} (PrivateTest) to judge by. {len(table)} ways of training, here called "
        f"rows, were run {runs} times in all. PublicTest alone made every choice; PrivateTest was opened for "
        "finished runs only, and nothing was chosen by it.",
        caution(dataset, table),
        headline(table, best),
        leaked,
        verdicts(claims),
        f"`{choice}` watches video in the last chapter: no cheaper network of those under five million "
        "parameters comes within a standard error of the best of these on PublicTest.",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def lessons(table: pd.DataFrame, best: str, claims: pd.DataFrame, pairs: pd.DataFrame, leaked: str) -> str:
    """Write the lessons of the comparison as Markdown bullets.

    Args:
        table: From ``compare.results_table``.
        best: From ``compare.best_row``.
        claims: From ``claims.claims_table``.
        pairs: From ``differences.paired_differences``.
        leaked: From `leaks`.
    """
    row, told_apart = table.loc[best], int((pairs["p_holm"] < 0.05).sum()) if len(pairs) else 0
    serious = at_scale(table)
    gain = np.nanmean(serious["test_accuracy_tta"] - serious["test_accuracy"])
    averaged = "the rows, quick ones aside," if len(serious) < len(table) else "the rows"
    return "\n".join(
        [
            f"- `{best}` is the row to beat: {percent(row['test_accuracy'])} on PrivateTest, "
            f"{percent(row['valid_accuracy'])} on PublicTest. Averaging views changes {averaged} by "
            f"{points(gain)} on average.",
            f"- {told_apart} of {len(pairs)} paired differences survive the correction for their number; "
            "the others are no evidence of anything.",
            *([f"- {leaked}"] if leaked else []),
            f"- {verdicts(claims)}",
        ]
    )
