"""The ``ferlib`` command; each subcommand imports only what it needs, so that help is instant."""

import argparse
import os
import sys
import tempfile
import time

from ferlib import __version__, arguments
from ferlib.labels import FerlibError
from ferlib.words import listed


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        words: Words of the command line; None takes ``sys.argv``.

    Returns:
        0 on success, 1 for a problem said in one sentence on stderr, 2 for wrong usage, 130 when
        the user interrupts.
    """
    parser = _parser()
    chosen = parser.parse_args(words)
    # Keras and TensorFlow write notices of their own to stderr; the user asked for ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return chosen.run(chosen) or 0
    except BrokenPipeError:  # `ferlib data | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FerlibError, ModuleNotFoundError, OSError) as error:
        print(f"ferlib: {_told(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        goes_on = chosen.command in ("train", "tune", "report")
        kept = "; finished work is kept, the same command goes on from here" if goes_on else ""
        print(f"ferlib: stopped{kept}", file=sys.stderr)
        return 130


def _told(error: Exception) -> str:
    """Say a problem in one sentence; a module of ferlib's own that is missing is raised again."""
    if isinstance(error, ModuleNotFoundError):
        if error.name is None or error.name.startswith("ferlib"):
            raise error
        extras = "report,jax" if error.name.startswith("jax") else "report,cpu"
        return f"this command needs {error.name}; in the project's folder run: pip install '.[{extras}]'"
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"{error.filename}: {error.strerror}; make room there or mend its permissions, or choose other "
            "folders with FERLIB_CACHE, FERLIB_RUNS and FERLIB_FIGS"
        )
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferlib", description="Facial-expression recognition with FER-2013."
    )
    parser.add_argument("--version", action="version", version=f"ferlib {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_data_commands(commands)
    _add_training_commands(commands)
    _add_live_commands(commands)
    _add_report_commands(commands)
    return parser


def _command(commands, name: str, run, help: str, data: bool = True) -> argparse.ArgumentParser:
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


def _import_keras_quietly() -> None:
    """Import Keras without the notices that TensorFlow's native code writes whatever its settings say."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            import keras  # noqa: F401
        except ValueError as error:
            raise FerlibError(f"KERAS_BACKEND must be tensorflow or jax: {error}") from None
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _add_number(parser, flag: str, default: int | None, help: str, kind=arguments.positive) -> None:
    parser.add_argument(flag, type=kind, default=default, metavar="N", help=help)


# --- data -----------------------------------------------------------------------------------------


def _add_data_commands(commands) -> None:
    _command(commands, "data", _data, "show what data is found and whether it is sound")
    audit = _command(commands, "audit", _audit, "count duplicates, leaks, faceless and doubtful images")
    audit.add_argument("--csv", metavar="FILE", help="list them, too: a table, one row an image")


def _data(chosen) -> None:
    from ferlib import data, votes

    dataset = data.load(chosen.data, own_classes=True)
    print(data.describe(dataset, votes.describe(dataset)))


def _audit(chosen) -> None:
    from ferlib import audit, data

    found = audit.audit(data.load(chosen.data))
    print(found.describe())
    if chosen.csv:
        found.write_csv(chosen.csv)


# --- training -------------------------------------------------------------------------------------


def _add_training_commands(commands) -> None:
    train = _command(commands, "train", _train, "train experiments, resuming what was stopped")
    train.add_argument("ids", nargs="*", metavar="ID", help="experiments; --list shows them")
    train.add_argument("--all", action="store_true", help="every experiment")
    train.add_argument("--list", action="store_true", help="list the experiments and stop")
    which = train.add_mutually_exclusive_group()
    _add_number(which, "--seeds", 1, "train seeds 0 to N-1 (default 1)")
    _add_number(which, "--seed", None, "train seed N alone", arguments.index)
    train.add_argument(
        "--dry-run", action="store_true", help="say what would run and how long it takes, then stop"
    )
    _add_number(train, "--seconds", None, "stop after N seconds; unfinished runs go on later")
    _add_number(train, "--workers", None, "share the runs among N local processes")
    train.add_argument("--scheduler", metavar="ADDRESS", help="share the runs through a dask scheduler")
    _add_profile(train)
    tune = _command(
        commands, "tune", _tune, "search learning rate, weight decay, dropout and augmentation strength"
    )
    tune.add_argument("id", metavar="ID", help="experiment to start from")
    _add_number(tune, "--trials", 30, "trials to add (default 30)")
    tune.add_argument(
        "--storage",
        metavar="URL",
        help="Optuna storage shared by machines, such as postgresql://… (default: a file in runs/)",
    )
    _add_profile(tune)
    evaluate = _command(
        commands, "evaluate", _evaluate, "hold finished networks against labels and ten people's votes"
    )
    evaluate.add_argument("ids", nargs="*", metavar="ID", help="experiments to tell class by class, too")
    bench = _command(
        commands, "bench", _bench, "measure speed on this machine, beside what is usual, as ratios"
    )
    scale = bench.add_mutually_exclusive_group()  # quick figures must not replace real ones
    scale.add_argument("--quick", action="store_true", help="fewer networks and repeats, about a minute")
    scale.add_argument("--save", action="store_true", help="keep the figures in the record")
    bench.add_argument("--live", action="store_true", help="measure photos and video beside the package fer")
    bench.add_argument("--fer", metavar="PYTHON", help="Python of an environment with fer, for --live")
    _command(
        commands,
        "record",
        _record,
        "test finished runs on PrivateTest and copy them into the record",
    )
    export = _command(commands, "export", _export, "make a finished run the network that ferlib ships")
    export.add_argument("id", metavar="ID", help="experiment; its best seed on PublicTest is taken")


def _add_profile(parser) -> None:
    parser.add_argument(
        "--profile",
        choices=("auto", "quick", "full"),
        default="auto",
        help="quick: a subset and few epochs; full: the real thing; auto: full on a GPU, else quick",
    )


def _train(chosen) -> int | None:
    _import_keras_quietly()
    from ferlib import cluster, data, experiments, planning

    if chosen.list:
        print(experiments.describe())
        return 0
    ids = experiments.TABLE if chosen.all else chosen.ids
    if not ids:
        print("ferlib train: name experiments or say --all; --list shows them", file=sys.stderr)
        return 2
    dataset = data.load(chosen.data, own_classes=True)
    seeds = tuple(range(chosen.seeds)) if chosen.seed is None else (chosen.seed,)
    if chosen.dry_run:
        print(planning.describe_plan(planning.plan(ids, seeds, chosen.profile, dataset)))
        return 0
    until = None if chosen.seconds is None else time.time() + chosen.seconds
    options = {"workers": chosen.workers, "scheduler": chosen.scheduler, "until": until}
    runs = cluster.train_matrix(ids, seeds, chosen.profile, dataset, **options)
    made = listed(sorted({run.profile for run in runs})) or "none"
    print(f"finished: {len(runs)} of {len(ids) * len(seeds)} runs, profile {made}")
    return 0


def _tune(chosen) -> None:
    _import_keras_quietly()
    from ferlib import data, tune

    options = {"trials": chosen.trials, "storage": chosen.storage, "profile": chosen.profile}
    print(tune.tune(chosen.id, data.load(chosen.data), **options))


def _evaluate(chosen) -> None:
    _import_keras_quietly()
    from ferlib import compare, crowd, data

    dataset = data.load(chosen.data)
    print(crowd.describe(crowd.judge(compare.every_run(dataset), dataset), chosen.ids))


def _bench(chosen) -> None:
    _import_keras_quietly()
    from ferlib import data

    dataset = data.load(chosen.data)
    if chosen.live:
        from skimage import data as photos

        from ferlib import bench, showcase

        picture = showcase.webcam_picture(photos.astronaut())
        measured = bench.live(dataset.valid, picture, fer=chosen.fer, quick=chosen.quick)
    else:
        from ferlib import speed as bench

        measured = bench.run(dataset, quick=chosen.quick)
    print(bench.describe(measured))
    if chosen.save:
        print(f"kept in {bench.save(measured)}")


def _record(chosen) -> None:
    _import_keras_quietly()
    from ferlib import audit, compare, data, finished, record

    dataset = data.load(chosen.data)
    waiting = [run for run in finished.runs(dataset) if run.profile != "quick"]
    if waiting:
        compare.open_private_test(waiting, dataset, audit.audit(dataset))
    print(record.publish_finished(dataset))


def _export(chosen) -> None:
    _import_keras_quietly()
    from ferlib import card, data

    print(card.ship(chosen.id, data.load(chosen.data)))


# --- photos, video, webcam ------------------------------------------------------------------------


PREDICT_EXAMPLES = """examples:
  ferlib predict party.jpg                          a table of faces and emotions
  ferlib predict holiday/ --out marked --csv h.csv  a folder, with annotated copies and a table
  ferlib predict film.mp4 --out marked --summary s.csv --every 3
  ferlib predict faces/*.png --crops                pictures that are nothing but a face
"""

WEBCAM_EXAMPLES = """examples:
  ferlib webcam                                     the first camera, in a page of this computer
  ferlib webcam --source film.mp4 --record view.mp4
  ferlib webcam --source rtsp://camera.local/live
"""


def _add_live_commands(commands) -> None:
    predict = _command(
        commands, "predict", _predict, "name the emotions in photos, folders and videos", data=False
    )
    predict.epilog, predict.formatter_class = PREDICT_EXAMPLES, argparse.RawDescriptionHelpFormatter
    predict.add_argument("paths", nargs="+", metavar="PATH", help="photos, videos, folders or globs")
    predict.add_argument("--out", metavar="DIR", help="folder for annotated copies; videos lose their sound")
    predict.add_argument("--json", metavar="FILE", help="write JSON lines, one a photo or frame")
    predict.add_argument("--csv", metavar="FILE", help="write a table, one row a face")
    predict.add_argument(
        "--summary", metavar="FILE", help="write a table, one row a face of a video: seconds of each emotion"
    )
    _add_number(predict, "--every", 1, "analyse every Nth frame of videos (default 1)")
    predict.add_argument("--crops", action="store_true", help="the photos are faces, cut out already")
    predict.add_argument(
        "--min-confidence",
        type=arguments.share,
        default=0.0,
        metavar="P",
        help="call emotions less probable than P, 0 to 1, unsure",
    )
    predict.add_argument(
        "--roi", type=arguments.region, metavar="X,Y,W,H", help="search this part only; finds smaller faces"
    )
    _add_detector(predict)
    predict.add_argument("--no-progress", action="store_true", help="show no progress bar")
    webcam = _command(commands, "webcam", _webcam, "name emotions live, in a page on 127.0.0.1", data=False)
    webcam.epilog, webcam.formatter_class = WEBCAM_EXAMPLES, argparse.RawDescriptionHelpFormatter
    _add_number(webcam, "--camera", 0, "which camera (default 0)", arguments.index)
    webcam.add_argument("--source", metavar="FILE_OR_URL", help="a video file or stream instead of a camera")
    webcam.add_argument("--record", metavar="FILE", help="MP4 file to keep what is shown")
    _add_number(webcam, "--port", 0, "port of the page (default: any)", arguments.index)
    _add_detector(webcam)


def _add_detector(parser) -> None:
    parser.add_argument(
        "--detector",
        choices=("yunet", "haar"),
        default="yunet",
        help="face detector: yunet, a small network (default), or haar, the classic cascade",
    )


def _predict(chosen) -> int:
    from ferlib import files

    summary = files.predict_files(
        chosen.paths,
        out=chosen.out,
        json_file=chosen.json,
        csv_file=chosen.csv,
        summary_file=chosen.summary,
        every=chosen.every,
        crops=chosen.crops,
        min_confidence=chosen.min_confidence,
        roi=chosen.roi,
        detector=chosen.detector,
        progress=not chosen.no_progress,
    )
    if summary.frames:
        rate = summary.frames / summary.seconds
        print(f"{summary.frames} frames analysed, {rate:.0f} a second", file=sys.stderr)
    return 1 if summary.failed else 0


def _webcam(chosen) -> None:
    from ferlib import webcam

    webcam.webcam(
        chosen.camera, source=chosen.source, record=chosen.record, detector=chosen.detector, port=chosen.port
    )


# --- report ---------------------------------------------------------------------------------------


def _add_report_commands(commands) -> None:
    report = _command(commands, "report", _report, "run outdated notebooks and render HTML and PDF")
    _add_number(report, "--seeds", 1, "seeds of each run (default 1)")
    report.add_argument(
        "--fresh", action="store_true", help="forget executed notebooks (and quick runs) first"
    )
    _add_profile(report)


def _report(chosen) -> None:
    from ferlib import pipeline

    pipeline.build(chosen.data, profile=chosen.profile, seeds=tuple(range(chosen.seeds)), fresh=chosen.fresh)


if __name__ == "__main__":
    sys.exit(main())
