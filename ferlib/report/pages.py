"""Which gap each figure and table goes to: the fullest pages, and short ways from where it is told of.

Text runs on over the foot of a page, a figure does not. So where one doesn't fit, either text from behind it
fills the page, or it shrinks, or the foot of the page stays empty. Each of these has its price, and a beam
search keeps the cheapest ways to set what was read so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

SMALLEST = 0.8
"""Factor down to which a figure shrinks to fit what is left of a page; its letters stay legible."""

AROUND = 20
"""Points that the blanks above and below a figure or table take."""

LINES = 45
"""Points at the foot of a page into which no paragraph or heading begins."""

BREAKS = 0.6
"""Share of a page that a table must exceed to break; half of it must be left for the table's beginning."""

WAYS = 50
"""How many ways are kept."""

# Prices: of an empty page, and more of a foot that is seen to be empty; of a page of text between a float and
# its place; of one among another chapter's text; of a figure that shrinks away; of a table in two parts.
_EMPTY, _SEEN, _PAGE_LATE, _CHAPTER_LATE, _SHRUNK, _BROKEN = 4.0, 30.0, 1.5, 6.0, 2.0, 1.0
_SEEN_FROM = 0.13


@dataclass(frozen=True)
class Extent:
    """A figure or table to be placed.

    Attributes:
        earliest: First gap that it may stand in.
        latest: Last gap of its chapter.
        whole: Its height, points, with the blanks around it.
        small: Its height at its smallest; as `whole` where it cannot shrink.
        breaks: Whether a page may end within it.
        alone: Whether it takes a page of its own.
    """

    earliest: int
    latest: int
    whole: float
    small: float
    breaks: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Place:
    """Where a figure or table goes.

    Attributes:
        gap: Its gap.
        scale: Factor on its width.
        broken: Whether it begins on one page and ends on another.
        used: Points of the page that are used after it, if the plan is right.
    """

    gap: int
    scale: float
    broken: bool
    used: float


@dataclass(frozen=True)
class _Way:
    cost: float
    used: float
    places: tuple[Place, ...] = ()


def plan(extents: Sequence[Extent], used: Sequence[float], start: int, page: float) -> list[Place]:
    """Return a place for each of some figures and tables, in their order.

    Args:
        extents: What is to be placed, in the order in which it must stand.
        used: Of each gap, points of its page that are used when none of these is placed.
        start: First gap to place anything in.
        page: Points that a page has.
    """
    ways, unplaced = [_Way(0.0, used[start])], len(extents)
    for gap in range(start, len(used)):
        if gap > start:
            text = (used[gap] - used[gap - 1]) % page
            ways = [_read(way, extents, gap, text, used, page) for way in ways]
        found = []
        while ways:
            way = ways.pop()
            found.append(way)
            if len(way.places) < unplaced and extents[len(way.places)].earliest <= gap:
                ways += _placed(way, extents[len(way.places)], gap, page)
        ways = _cheapest(found)
    return list(min((way for way in ways if len(way.places) == unplaced), key=lambda way: way.cost).places)


def _read(way: _Way, extents, gap: int, text: float, used: Sequence[float], page: float) -> _Way:
    """Go on over the text before a gap, with what waits to be placed."""
    waiting = [one for one in extents[len(way.places) :] if one.earliest < gap]
    late = _PAGE_LATE * text / page * len(waiting) + _CHAPTER_LATE * sum(
        one.latest == gap - 1 for one in waiting
    )
    if not way.places:  # nothing of this plan stands before it: its place is known
        return replace(way, cost=way.cost + late, used=used[gap])
    begun = way.used if page - way.used >= LINES else page
    now = begun + text
    return replace(way, cost=way.cost + late, used=now if now <= page else now % page)


def _placed(way: _Way, one: Extent, gap: int, page: float) -> list[_Way]:
    """Return the ways to place something here: as it is, or smaller."""
    ways = []
    for scale in (1.0, 0.9, SMALLEST) if one.small < one.whole else (1.0,):
        height = one.small + (one.whole - one.small) * (scale - SMALLEST) / (1 - SMALLEST)
        left, cost = page - way.used, _SHRUNK * (1 - scale)
        broken = one.breaks and height > left >= BREAKS / 2 * page
        if broken:
            cost, now = cost + _BROKEN, (way.used + height) % page
        elif height <= left:
            now = way.used + height
        else:
            cost, now = cost + _empty(left, page), 0.0 if one.alone else height % page
        place = Place(gap, scale, broken or height > page, now)
        ways.append(_Way(way.cost + cost, now, (*way.places, place)))
    return ways


def _empty(left: float, page: float) -> float:
    return _EMPTY * left / page + _SEEN * (left > _SEEN_FROM * page)


def _cheapest(ways: list[_Way]) -> list[_Way]:
    """Keep the cheapest ways, one of those that have placed as much and use about as much of the page."""
    kept: dict[tuple, _Way] = {}
    for way in sorted(ways, key=lambda way: way.cost):
        kept.setdefault((len(way.places), way.used // 12), way)
    return list(kept.values())[:WAYS]
