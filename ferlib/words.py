"""How numbers, lists and strange names are written in sentences."""

import math
import re
from collections.abc import Sequence


def percent(share: float, decimals: int = 1) -> str:
    """Write a share of 0 to 1 as a percentage."""
    return f"{100 * share:.{decimals}f} %"


def interval(low: float, high: float, decimals: int = 1, unit: str = "") -> str:
    """Write an interval of shares of 0 to 1 in percent, such as "61.2 to 64.8", the unit at each end."""
    return f"{100 * low:.{decimals}f}{unit} to {100 * high:.{decimals}f}{unit}"


def points(difference: float) -> str:
    """Write a difference of shares as percentage points, with its sign."""
    return minus(f"{100 * difference:+.1f} points")


def minus(number: str) -> str:
    """Write a number that begins with a hyphen with a minus, and with none where it was rounded to zero."""
    if not number.startswith("-"):
        return number
    return number[1:] if re.match(r"-[0.,]+(?![\d.,e])", number) else "−" + number[1:]


def p_value(p: float, at_most: bool = False) -> str:
    """Write a p-value, rounded up, or what it is below or at most; a dash where there is none."""
    if p != p:
        return "–"
    if p < 0.001:
        return "< 0.001"
    upwards = math.ceil(round(1000 * p, 6)) / 1000  # so that no two of the same size differ by rounding
    return f"≤ {upwards:.3f}" if at_most else f"{upwards:.3f}"


def short(number: float) -> str:
    """Write a large number in a few characters: 1.12 M, 58.4 k."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if float(f"{number:.3g}") >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def clock(seconds: float) -> str:
    """Write a moment of a film as minutes and seconds, such as 1:07.5."""
    minutes, tenths = divmod(round(10 * seconds), 600)
    return f"{minutes}:{tenths / 10:04.1f}"


def printable(text: str) -> str:
    """Write on one line what holds names that somebody else chose.

    What a terminal would obey, line ends, and bytes that are no characters become backslash escapes.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def listed(names: Sequence[str]) -> str:
    """Join names as English does: "a, b and c"."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
