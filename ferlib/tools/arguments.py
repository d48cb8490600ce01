"""Commands and kinds of argument; what is none of the kind is told in a sentence."""

from argparse import ArgumentParser, ArgumentTypeError

from ferlib.labels import FerlibError

PREDICT_EXAMPLES = """examples:
  ferlib predict party.jpg                          faces and emotions, here
  ferlib predict holiday/ --out marked --csv h.csv  marked copies, and a table
  ferlib predict film.mp4 --out marked --summary s.csv --every 3
  ferlib predict faces/*.png --crops                nothing but faces
"""

WEBCAM_EXAMPLES = """examples:
  ferlib webcam                                     the first camera, in a page
  ferlib webcam --source film.mp4 --record view.mp4
  ferlib webcam --source rtsp://camera.local/live
"""


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


def command(commands, name: str, run, help: str, data: bool = True) -> ArgumentParser:
    """Add a command.

    Args:
        commands: What ``add_subparsers`` returned.
        name: As the user types it.
        run: Does it, given the parsed words; returns an exit code or None.
        help: What it does, in a line.
        data: Whether it takes ``--data``.
    """
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.set_defaults(run=run)
    if data:
        parser.add_argument(
            "--data",
            metavar="PATH",
            help="archive.zip, folder or csv of FER-2013, or 'demo' "
            "(default: FERLIB_DATA, data/, a Kaggle download, drawn demo faces)",
        )
    return parser


def import_keras_quietly() -> None:
    """Import Keras without the notices that TensorFlow's native code writes whatever its settings say."""
    from ferlib.live.media import stderr_captured

    with stderr_captured():
        try:
            import keras  # noqa: F401
        except ValueError as error:
            raise FerlibError(f"KERAS_BACKEND must be tensorflow or jax: {error}") from None


def add_number(parser, flag: str, default: int | None, help: str, kind=positive) -> None:
    """Add an option that takes a number."""
    parser.add_argument(flag, type=kind, default=default, metavar="N", help=help)
