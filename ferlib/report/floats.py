"""Where figures and tables stand in the PDF: in order, told of before, no page half empty.

Typst moves floats to the head or foot of a page, where they cut a sentence in two, and sets others where they
are told of, where they leave the rest of a page empty. Here each goes to the first gap between paragraphs,
from its own place on, in whose page it fits; the text that follows it moves up meanwhile.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SMALLEST = 0.8
"""Factor down to which a figure shrinks to fit what is left of a page; its letters stay legible."""

EMPTY = 140
"""Points at the foot of a page that may stay empty, a fifth of it."""

AROUND = 30
"""Points that the blanks above and below a figure or table take."""

_MARK = re.compile(r"^// (gap|chapter|end|float \S+)$\n?", re.M)


@dataclass(frozen=True)
class Float:
    """A figure or table.

    Attributes:
        name: Its label.
        code: What typst sets.
        earliest: First gap that it may stand in: after its own place, and after the text first tells of it.
        latest: Last gap of its chapter.
    """

    name: str
    code: str
    earliest: int
    latest: int

    @property
    def is_page(self) -> bool:
        """Whether it has a page of its own, which text cannot fill."""
        return self.code.startswith("#page(")

    def at(self, scale: float) -> str:
        """Return what typst sets at a factor on the width of the figure."""
        scaled = f"#picture(scale: {scale:.3f}, "
        return self.code if scale == 1 else self.code.replace("#picture(", scaled, 1)


@dataclass(frozen=True)
class Document:
    """A typst source, cut at its gaps.

    Attributes:
        texts: What stands before the first gap, between two and after the last.
        floats: In the order of their numbers.
    """

    texts: Sequence[str]
    floats: Sequence[Float]

    def parts(self) -> dict[str, str]:
        """Return files and what stands in them, all but the first text: what typst knows it sets quickly."""
        head = '#import "report.typ": *\n'
        return {f"part-{number}.typ": head + text for number, text in enumerate(self.texts)}

    def source(self, places: Mapping[str, tuple[int, float]]) -> str:
        """Return the source with each float in its gap and at its scale; those without stand at the end."""
        placed, last = [""] * len(self.texts), ""
        for one in self.floats:
            if one.name in places:
                gap, scale = places[one.name]
                placed[gap] += f"{one.at(scale)}\n\n"
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
            if not one.is_page
        )


def read(marked: str) -> Document:
    """Take floats out of a source in which ``report.lua`` has marked them, the gaps and the chapters.

    Args:
        marked: Typst source with lines ``// gap``, ``// chapter``, ``// float NAME`` and ``// end``.
    """
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
    floats = []
    for name, code, origin in origins:
        latest = min(end for end in ends if end >= origin)
        told = next((place for place, text in enumerate(texts) if f"<{name}>" in text), origin)
        floats.append(Float(name, code, told if origin < told <= latest else origin, latest))
    kept = max((one.latest for one in floats), default=-1) + 1
    return Document([*texts[:kept], "\n\n".join(texts[kept:])], floats)


def placed(document: Document, query: Callable[[str, str], list]) -> str:
    """Return the source with every figure and table in its place.

    Args:
        document: From `read`.
        query: Sets a source and returns the values of all metadata under a label.
    """
    measured = query(document.source({}) + document.measuring(), "<height>") if document.floats else []
    heights = {name: heights for name, *heights in measured}
    places: dict[str, tuple[int, float]] = {}
    gap = 0
    for one in document.floats:
        rests = query(document.source(places), "<gap>")
        height = heights.get(one.name, (math.inf, math.inf))
        gap, scale = places[one.name] = _place(one, rests, height, max(gap, one.earliest))
    return document.source(places)


def _place(one: Float, rests: list, heights: Sequence[float], start: int) -> tuple[int, float]:
    """Return gap and scale of a float.

    Args:
        one: What is to be placed.
        rests: Of each gap its number, page, and the points from there to the foot of the page.
        heights: Of the float, points, as it is and at its smallest.
        start: First gap that it may stand in.
    """
    whole, small = (height + AROUND for height in heights)
    for gap, _, rest in rests[start:]:
        if whole <= rest:
            return gap, 1.0
        if small < whole and small <= rest:
            return gap, SMALLEST + (1 - SMALLEST) * (rest - small) / (whole - small)
        if (gap >= one.latest or one.is_page) and rest <= EMPTY:
            return gap, 1.0
    return max(start, one.latest), 1.0
