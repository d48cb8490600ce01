"""Kinds of argument on the command line; what is none of the kind is told in a sentence."""

from argparse import ArgumentTypeError


def positive(text: str) -> int:
    """Read a number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def index(text: str) -> int:
    """Read the number of a camera or port, at most 65,535."""
    if not text.isdecimal() or int(text) > 65_535:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 65535")
    return int(text)


def region(text: str) -> tuple[int, ...]:
    """Read left, top, width and height in pixels, such as ``0,0,320,240``."""
    parts = text.split(",")
    numbers = tuple(int(part) for part in parts if part.strip().isdecimal())
    if not len(numbers) == len(parts) == 4 or 0 in numbers[2:]:
        raise ArgumentTypeError(f"{text!r} is not left,top,width,height in pixels")
    return numbers


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number
