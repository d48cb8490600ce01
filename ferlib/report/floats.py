"""Where figures and tables stand in the PDF: in order, told of before, no page half empty.

Typst moves floats to the head or foot of a page, where they cut a sentence in two, and sets others where they
are told of, where they leave the rest of a page empty. Here each goes to the first gap between paragraphs
where it fits what is left of the page, if need be a little smaller, or leaves little of it empty; the text
that follows moves up meanwhile and fills the page.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

SMALLEST = 0.8
"""Factor down to which a figure shrinks to fit what is left of a page; its letters stay legible."""

AROUND = 20
"""Points that the blanks above and below a figure or table take."""

LINES = 45
"""Points at the foot of a page into which no paragraph or heading begins."""

BREAKS = 0.6
"""Share of a page that a table must exceed to break; half of it must be left for the table's beginning."""

SEEN = 0.13
"""Share of a page from which an empty foot is seen; text from behind the float fills it."""

NEAR = 25
"""Points by which a page may be fuller or emptier than planned."""

_MARK = re.compile(r"^// (gap|chapter|end|float \S+)$\n?", re.M)


@dataclass(frozen=True)
class Float:
    """A figure or table by its label, with what typst sets, and the first gap that it may stand in.

    That is after its own place, and after the text first tells of it.
    """

    name: str
    code: str
    earliest: int

    def at(self, scale: float, broken: bool = False) -> str:
        """Return what typst sets, at a factor on the width of a figure, or with a table that may break."""
        scaled = self.code.replace("#picture(", f"#picture(scale: {scale:.3f}, ", 1)
        code = self.code if scale == 1 else scaled
        return code.replace("#tabular(", "#tabular(breakable: true, ", 1) if broken else code


@dataclass(frozen=True)
class Place:
    """Where a figure or table goes."""

    gap: int
    scale: float  # of its width
    broken: bool  # begins on one page and ends on another
    used: float  # points of the page after it, if the plan is right


@dataclass(frozen=True)
class Document:
    """A typst source, cut at its gaps: texts before the first, between two and after the last."""

    texts: Sequence[str]
    floats: Sequence[Float]

    def parts(self) -> dict[str, str]:
        """Return files and what stands in them, all but the first text: what typst knows it sets quickly."""
        head = '#import "report.typ": *\n'
        return {f"part-{number}.typ": head + text for number, text in enumerate(self.texts)}

    def source(self, places: Mapping[str, Place]) -> str:
        """Return the source with each float in its place; those without one stand at the end."""
        placed, last = [""] * len(self.texts), ""
        for one in self.floats:
            if one.name in places:
                place = places[one.name]
                placed[place.gap] += f"{one.at(place.scale, place.broken)}\n\n"
            else:
                last += f"#pagebreak()\n{one.code}\n\n"
        rest = (
            f'{placed[number - 1]}#gap({number - 1})\n\n#include "part-{number}.typ"\n\n'
            for number in range(1, len(self.texts))
        )
        return "".join([self.texts[0], "\n\n", *rest, last])

    def measuring(self) -> str:
        """Return typst that measures each float as it is and at its smallest."""
        return "\n".join(
            f'#measured("{one.name}", [{one.at(1)}], [{one.at(SMALLEST)}])'
            for one in self.floats
            if not one.code.startswith("#page(")
        )


def read(marked: str) -> Document:
    """Take floats out of a source in which ``report.lua`` has marked them, the gaps and the chapters."""
    pieces = _MARK.split(marked)
    texts, origins, ends = [pieces[0]], [], []
    for mark, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if mark.startswith("float "):
            origins.append((mark.removeprefix("float "), text.strip(), len(texts) - 1))
        elif mark == "gap":
            texts.append(text)
        else:
            texts[-1] += text
        if mark == "chapter":
            ends.append(len(texts) - 2)
    ends.append(len(texts) - 2)
    floats, kept = [], 0
    for name, code, origin in origins:
        latest = min(end for end in ends if end >= origin)
        told = next((place for place, text in enumerate(texts) if f"<{name}>" in text), origin)
        floats.append(Float(name, code, told if origin < told <= latest else origin))
        kept = latest + 1
    return Document([*texts[:kept], "\n\n".join(texts[kept:])], floats)


def plan(
    sized: Sequence[tuple[Float, float, float]], used: Sequence[float], start: int, page: float
) -> list[Place]:
    """Return a place for each of some figures and tables, in their order and from a gap on, all in points.

    They come with their heights, as they are and at their smallest; `used` is what of its page is used at
    each gap when none of them is placed.
    """
    places, now = [], used[start]
    for gap in range(start, len(used)):
        if gap > start:
            begun = now if page - now >= LINES else page
            now = begun + (used[gap] - used[gap - 1]) % page if places else used[gap]
            now = now if now <= page else now % page
        for one, whole, small in sized[len(places) :]:
            left, last = page - now, gap == len(used) - 1
            fitting = [scale for scale in (1.0, 0.9, SMALLEST) if _height(whole, small, scale) <= left]
            broken = not fitting and one.code.startswith("#tabular(") and whole > BREAKS * page
            broken = broken and left >= BREAKS / 2 * page
            if one.earliest > gap or not (fitting or broken or left <= SEEN * page or last):
                break
            scale = fitting[0] if fitting else 1.0
            height = _height(whole, small, scale)
            alone = one.code.startswith("#page(")  # what follows begins another page
            now = now + height if fitting else 0.0 if alone else ((now if broken else 0) + height) % page
            places.append(Place(gap, scale, broken or height > page, now))
    return places


def _height(whole: float, small: float, scale: float) -> float:
    return small + (whole - small) * (scale - SMALLEST) / (1 - SMALLEST)


def placed(document: Document, query: Callable[[str, str], list]) -> str:
    """Return the source with every figure and table in its place.

    What follows a figure moves, so a plan holds as far as typst sets it as planned; the rest is planned anew.
    The query sets a source and returns the values of all metadata under a label.
    """
    floats = document.floats
    places: dict[str, Place] = {}
    if not floats:
        return document.source(places)
    measured = query(document.source(places) + document.measuring(), "<height>")
    heights, start = {name: heights for name, *heights in measured}, 0
    while len(places) < len(floats):
        gaps = query(document.source(places), "<gap>")
        page, left = gaps[0][-1], floats[len(places) :]
        sized = [(one, *(height + AROUND for height in heights.get(one.name, (page, page)))) for one in left]
        planned = plan(sized, [page - rest for _, _, rest, page in gaps], start, page)
        tried = places | {one.name: place for one, place in zip(left, planned, strict=True)}
        found = [page - rest for _, _, rest, _ in query(document.source(tried), "<gap>")]
        meant = {place.gap: place.used for place in planned}  # after the last of each gap
        off = {gap: (found[gap] - used + NEAR) % page for gap, used in meant.items()}
        right = takewhile(lambda gap, off=off: off[gap] <= 2 * NEAR, off)
        start = max([planned[0].gap, *right])
        places |= {name: place for name, place in tried.items() if place.gap <= start}
    return document.source(places)
