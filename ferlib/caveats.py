"""Sentences about how far results can be trusted: budgets, times, and test images that stand in training."""

import numpy as np
import pandas as pd

from ferlib import experiments
from ferlib.words import listed, percent, points


def capped(id: str) -> bool:
    """Say whether a row has fewer epochs in the profile ``cpu`` than it is meant to have."""
    return _allowed(id) < 1


def budget(gains: pd.DataFrame) -> str:
    """Say how many of their epochs augmented rows and their partners were allowed on a processor.

    Args:
        gains: From ``differences.gain_without_leaks``.
    """
    if gains.empty:
        return ""
    plain, augmented = (
        percent(float(np.median([_allowed(id) for id in gains[name]])), 0) for name in ("first", "second")
    )
    return (
        f"On a processor these augmented rows were allowed {augmented} of the epochs that they are meant to "
        f"have (median), their partners {plain}. Augmentation needs epochs, so what is said here of it holds "
        "for short training."
    )


def _allowed(id):
    return experiments.at(experiments.find(id), "cpu").epochs / experiments.find(id).epochs


def uneven_times(table: pd.DataFrame) -> str:
    """Say how far apart the times of one and the same network lie on the same hardware."""
    frozen = np.array([experiments.find(id).frozen for id in table.index], bool)  # only a head is trained
    trained = table[(table["profile"] == "cpu") & ~frozen]
    alike = trained.groupby(["parameters", "macs", "device"])["seconds_per_epoch"]
    if not len(alike):
        return ""
    times = max((group for _, group in alike), key=lambda group: group.max() / group.min())
    if times.max() < 1.2 * times.min():
        return ""
    return (
        "Rows shared the machine with other work, so times are no more than orders of magnitude: an epoch of "
        f"the same network took {times.min():.0f} s in `{times.idxmin()}` and {times.max():.0f} s in "
        f"`{times.idxmax()}`."
    )


def leaks(gains: pd.DataFrame) -> str:
    """Say what leaving out leaked images does to the comparison of augmented rows with others.

    Args:
        gains: From ``differences.gain_without_leaks``.
    """
    if gains.empty:
        return ""
    most = gains.loc[gains["gain"].abs().idxmax()]
    turned = int((np.sign(gains["difference"]) != np.sign(gains["leak_free"])).sum())
    reason = (
        ": a network that sees every training image unchanged remembers the faces that come back in the test"
        if gains["gain"].mean() > 0
        else ""
    )
    lead = f"`{most['second']}` against `{most['first']}`"
    return (
        f"In {len(gains)} of the pairs compared the second row alone is augmented. On faces without a copy "
        f"in training it gains {points(gains['gain'].mean())} on the first, on average of the pairs, most in "
        f"{lead} (from {points(most['difference'])} to {points(most['leak_free'])}), and {turned} of the "
        f"{len(gains)} differences change their sign{reason}."
    )


def changed_verdicts(judged: pd.DataFrame, clean: pd.DataFrame) -> str:
    """Say which claims are judged differently on leak-free images.

    Args:
        judged: From ``claims.claims_table``.
        clean: Likewise, of the runs that ``compare.leak_free`` returns.
    """
    changed = judged["verdict"].to_numpy() != clean["verdict"].to_numpy()
    if not changed.any():
        return "On leak-free images every verdict is the same."
    parts = [
        f"“{claim}” ({one}; leak-free: {two})"
        for claim, one, two in zip(
            judged["claim"][changed], judged["verdict"][changed], clean["verdict"][changed], strict=True
        )
    ]
    return f"On leak-free images {len(parts)} of {len(judged)} verdicts are others: {listed(parts)}."
