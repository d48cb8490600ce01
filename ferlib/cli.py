"""The ``ferlib`` command; each subcommand imports only what it needs, so that help is instant."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ferlib import __version__, paths
from ferlib.labels import FerlibError
from ferlib.tools import commands
from ferlib.tools.commands import COUNT, INDEX, add_number, add_profile, command, region, share
from ferlib.words import printable

_KEPT = {
    **dict.fromkeys(("train", "report"), "; finished work is kept, the same command goes on from here"),
    "tune": "; finished trials are kept, --trials says how many more to add",
}
"""What is said of a command that is stopped."""

_EXTRAS = {"jax": "report,jax", "optuna": "tune", "dask": "cluster", "distributed": "cluster"}
"""What to install for a package that is missing; for others it is ``report,cpu``."""


def main(words: list[str] | None = None) -> int:
    """Run one command, of these words or of ``sys.argv``, and return its exit code.

    It is 0 on success, 1 for a problem said in one sentence on stderr, 2 for wrong usage, 130 when the user
    interrupts, 143 when the system asks it to end.
    """
    _open_closed()
    chosen = _parser().parse_args(words)
    # Keras and TensorFlow write notices of their own to stderr; the user asked for ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    asked = []
    try:
        with _stoppable(asked):
            code = chosen.run(chosen) or 0
            sys.stdout.flush()  # a full disk under it must be told, too
            return code
    except BaseException as error:
        # Imports that are interrupted raise errors of many kinds.
        if asked or isinstance(error, KeyboardInterrupt):
            print(f"ferlib: stopped{_KEPT.get(chosen.command, '')}", file=sys.stderr)
            return 128 + (asked or [signal.SIGINT])[0]
        if not isinstance(error, (FerlibError, ModuleNotFoundError, OSError)):
            raise
        if not isinstance(error, BrokenPipeError):  # `ferlib data | head`
            print(f"ferlib: {printable(_told(error))}", file=sys.stderr)
        _leave_stdout()
        return 1


def _open_closed() -> None:
    """Open streams that the shell closed (``>&-``) to nowhere, lest files get their number and text."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


@contextmanager
def _stoppable(asked: list[int]) -> Iterator[None]:
    """Let SIGTERM stop a command as Ctrl-C does, and a second one at once."""

    stderr = os.dup(2)  # libraries' complaints may be caught while the request comes

    def stop(number, frame):
        if asked:  # some libraries swallow the first
            os.write(stderr, b"ferlib: stopped\n")
            os._exit(128 + number)
        asked.append(number)
        raise KeyboardInterrupt

    def dropped(problem):
        """Ask once more, well after the callback, as of garbage collection, that dropped the request."""
        if asked and issubclass(problem.exc_type, KeyboardInterrupt):
            threading.Timer(0.3, os.kill, [os.getpid(), asked.pop()]).start()
        else:
            complain(problem)

    before, complain = {}, sys.unraisablehook
    if threading.current_thread() is threading.main_thread():  # no other may set them
        sys.unraisablehook = dropped
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and shells without jobs leave it
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = complain
        if asked:
            os.dup2(stderr, 2)
        os.close(stderr)


def _leave_stdout() -> None:
    """Write what is left for stdout nowhere if it takes nothing more; Python would complain at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: Exception) -> str:
    """Say a problem in one sentence; a module of ferlib's own that is missing is raised again."""
    if isinstance(error, ModuleNotFoundError):
        if error.name is None or error.name.startswith("ferlib"):
            raise error
        extras = _EXTRAS.get(error.name.partition(".")[0], "report,cpu")
        return f"this command needs {error.name}; in the project's folder run: pip install -e '.[{extras}]'"
    if isinstance(error, OSError) and (error.filename is not None or error.errno in paths.NO_ROOM):
        where = error.filename or "stdout"
        return (
            f"{where}: {error.strerror}; make room there or mend its permissions, or choose other folders "
            "with FERLIB_CACHE, FERLIB_RUNS, FERLIB_FIGS and FERLIB_REPORTS"
        )
    return str(error)


def _parser() -> argparse.ArgumentParser:
    about = "Facial-expression recognition with FER-2013."
    parser = argparse.ArgumentParser(prog="ferlib", description=about)
    parser.add_argument("--version", action="version", version=f"ferlib {__version__}")
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_data_commands(parsers)
    commands.add_training(parsers)
    commands.add_measuring(parsers)
    _add_live_commands(parsers)
    _add_report_commands(parsers)
    return parser


# --- data -----------------------------------------------------------------------------------------


def _add_data_commands(parsers) -> None:
    command(parsers, "data", _data, "show what data is found and whether it is sound")
    audit = command(parsers, "audit", _audit, "count duplicates, leaks, faceless and doubtful images")
    audit.add_argument("--csv", metavar="FILE", help="list them, too: a table, one row an image")


def _data(chosen) -> None:
    from ferlib.data import fer2013, votes

    dataset = fer2013.load(chosen.data, own_classes=True)
    print(fer2013.describe(dataset, votes.describe(dataset)))


def _audit(chosen) -> None:
    from ferlib.data import audit, fer2013

    found = audit.audit(fer2013.load(chosen.data))
    print(found.describe())
    if chosen.csv:
        found.write_csv(chosen.csv)


# --- photos, video, webcam ------------------------------------------------------------------------


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


def _add_live_commands(parsers) -> None:
    told = "name the emotions in photos, folders and videos"
    predict = command(parsers, "predict", _predict, told, data=False, examples=PREDICT_EXAMPLES)
    add = predict.add_argument  # each goes to the parameter of predict_files that is called like its dest
    add("patterns", nargs="+", metavar="PATH", help="photos, videos, folders or globs")
    add("--out", metavar="DIR", help="folder for annotated copies; videos lose their sound")
    add("--json", dest="json_file", metavar="FILE", help="write JSON lines, one a photo or frame")
    add("--csv", dest="csv_file", metavar="FILE", help="write a table, one row a face")
    told = "write a table, one row a face of a video: seconds of each emotion"
    add("--summary", dest="summary_file", metavar="FILE", help=told)
    add_number(predict, "--every", 1, "analyse every Nth frame of videos (default 1)")
    add("--crops", action="store_true", help="the photos are faces, cut out already")
    told = "call emotions less probable than P, 0 to 1, unsure"
    add("--min-confidence", type=share, default=0.0, metavar="P", help=told)
    told = "search this part only; finds smaller faces"
    add("--roi", type=region, metavar="X,Y,W,H", help=told)
    _add_network_and_detector(predict)
    add("--no-progress", dest="progress", action="store_false", help="show no progress bar")
    told = "name emotions live, in a page on 127.0.0.1"
    webcam = command(parsers, "webcam", _webcam, told, data=False, examples=WEBCAM_EXAMPLES)
    add = webcam.add_argument
    add_number(webcam, "--camera", 0, "which camera (default 0)", INDEX)
    add("--source", metavar="FILE_OR_URL", help="a video file or stream instead of a camera")
    add("--record", metavar="FILE", help="MP4 file to keep what is shown")
    add_number(webcam, "--port", 0, "port of the page (default: any)", INDEX)
    _add_network_and_detector(webcam)


def _add_network_and_detector(parser) -> None:
    parser.add_argument(
        "--network",
        dest="model",
        metavar="NAME",
        help="crowd, taught what ten people see in the faces of FER-2013 (default); labels, taught its "
        "labels; or the folder of a network of your own",
    )
    told = "face detector: yunet, a small network (default), or haar, the classic cascade"
    parser.add_argument("--detector", choices=("yunet", "haar"), default="yunet", help=told)


def _options(chosen) -> dict[str, object]:
    return {name: value for name, value in vars(chosen).items() if name not in ("command", "run")}


def _predict(chosen) -> int:
    from ferlib.live import files

    summary = files.predict_files(**_options(chosen))
    if summary.frames:
        rate = summary.frames / summary.seconds
        silent = "; annotated copies of videos have no sound" if chosen.out else ""
        print(f"{summary.frames} frames analysed, {rate:.0f} a second{silent}", file=sys.stderr)
    return 1 if summary.failed else 0


def _webcam(chosen) -> None:
    from ferlib.live import webcam

    webcam.webcam(**_options(chosen))


# --- report ---------------------------------------------------------------------------------------


def _add_report_commands(parsers) -> None:
    report = command(parsers, "report", _report, "run outdated notebooks and render HTML and PDF")
    add_number(report, "--seeds", 1, "seeds of each run (default 1, at most 1,000)", COUNT)
    told = "forget executed notebooks (and quick runs) first"
    report.add_argument("--fresh", action="store_true", help=told)
    add_profile(report)


def _report(chosen) -> None:
    from ferlib.report import pipeline

    pipeline.build(chosen.data, profile=chosen.profile, seeds=tuple(range(chosen.seeds)), fresh=chosen.fresh)


if __name__ == "__main__":
    sys.exit(main())
