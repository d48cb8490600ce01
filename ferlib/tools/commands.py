"""Commands: what kinds of argument they take, and those that train, measure and record networks.

Each imports only what it needs; what is no argument of its kind is told in a sentence.
"""

import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, HelpFormatter, RawDescriptionHelpFormatter

from ferlib.labels import FerlibError
from ferlib.train.experiments import PROFILES
from ferlib.words import listed

INDEX = (0, 65_535)
"""Least and most number of a camera, port or seed."""

COUNT = (1, 1_000)
"""Likewise of seeds or processes."""


def region(text: str) -> tuple[int, ...]:
    """Read left, top, width and height in pixels, such as ``0,0,320,240``."""
    parts = text.split(",")
    numbers = tuple(int(part) for part in parts if part.strip().isdecimal())
    if not len(numbers) == len(parts) == 4 or 0 in numbers[2:]:
        raise ArgumentTypeError(f"{text!r} is not left,top,width,height in pixels")
    return numbers


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    number = float(text)  # argparse tells what is none
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def command(parsers, name: str, run, help: str, *, data: bool = True, examples: str = "") -> ArgumentParser:
    """Add a command; ``run`` does it, given the parsed words, and returns an exit code or None."""
    form = RawDescriptionHelpFormatter if examples else HelpFormatter
    about = {"help": help, "description": help[0].upper() + help[1:] + ".", "epilog": examples}
    parser = parsers.add_parser(name, **about, formatter_class=form)
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
    """Import Keras without the notices that TensorFlow's native code writes whatever its settings say.

    Raises:
        FerlibError: Keras has, or was told, another backend than those that train here.
    """
    from ferlib.live.media import stderr_captured

    usable, backend = ("tensorflow", "jax"), os.environ.get("KERAS_BACKEND")
    if not backend or backend in usable:  # importing another one fails in ways of its own
        with stderr_captured():
            import keras
        backend = keras.backend.backend()  # as its own file of settings may say
    if backend not in usable:
        told = f"Keras must run on tensorflow or jax here, and is set otherwise ({backend})"
        raise FerlibError(f"{told}: set KERAS_BACKEND to one of them")


def add_number(parser, flag: str, default: int | None, help: str, limits=(1, 10**9)) -> None:
    """Add an option that takes a whole number from the first limit to the second."""
    least, most = limits

    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ArgumentTypeError(f"{text!r} is not a number from {least} to {most:,}")
        return int(text)

    parser.add_argument(flag, type=number, default=default, metavar="N", help=help)


def add_training(parsers) -> None:
    """Add the commands that train networks to what ``add_subparsers`` returned."""
    train = command(parsers, "train", _train, "train experiments, resuming what was stopped")
    train.add_argument("ids", nargs="*", metavar="ID", help="experiments; --list shows them")
    told = "every row of the results table, those taught by people's votes too"
    train.add_argument("--all", action="store_true", help=told)
    train.add_argument("--list", action="store_true", help="list the experiments and stop")
    which = train.add_mutually_exclusive_group()
    add_number(which, "--seeds", 1, "train seeds 0 to N-1 (default 1, at most 1,000)", COUNT)
    add_number(which, "--seed", None, "train seed N alone", INDEX)
    told = "say what would run and how long it takes, then stop"
    train.add_argument("--dry-run", action="store_true", help=told)
    add_number(train, "--seconds", None, "stop after N seconds; unfinished runs go on later")
    add_number(train, "--workers", None, "share the runs among N local processes", COUNT)
    train.add_argument("--scheduler", metavar="ADDRESS", help="share the runs through a dask scheduler")
    add_profile(train)
    told = "search learning rate, weight decay, dropout and augmentation strength"
    tune = command(parsers, "tune", _tune, told)
    tune.add_argument("id", metavar="ID", help="experiment to start from")
    add_number(tune, "--trials", 30, "trials to add (default 30)")
    told = "Optuna storage shared by machines, such as postgresql://… (default: a file in runs/)"
    tune.add_argument("--storage", metavar="URL", help=told)
    add_profile(tune)


def add_measuring(parsers) -> None:
    """Add those that measure and record networks."""
    told = "hold finished networks against labels and ten people's votes"
    evaluate = command(parsers, "evaluate", _evaluate, told)
    evaluate.add_argument("ids", nargs="*", metavar="ID", help="experiments to tell class by class, too")
    told = "measure speed on this machine, beside what is usual, as ratios"
    bench = command(parsers, "bench", _bench, told)
    scale = bench.add_mutually_exclusive_group()  # quick figures must not replace real ones
    scale.add_argument("--quick", action="store_true", help="fewer networks and repeats, about a minute")
    scale.add_argument("--save", action="store_true", help="keep the figures in the record")
    what = bench.add_mutually_exclusive_group()
    what.add_argument("--live", action="store_true", help="measure photos and video beside the package fer")
    what.add_argument("--faces", action="store_true", help="measure how many faces are found and read")
    what.add_argument("--race", action="store_true", help="measure how soon networks are as good as reported")
    bench.add_argument("--fer", metavar="PYTHON", help="Python of an environment with fer, for --live")
    command(parsers, "record", _record, "test finished runs on PrivateTest and copy them into the record")
    command(parsers, "reproduce", _reproduce, "recompute the figures of the record and of the chapters")
    export = command(parsers, "export", _export, "make a finished run the network that ferlib ships")
    export.add_argument("id", metavar="ID", help="experiment; its best seed on PublicTest is taken")


def add_profile(parser) -> None:
    """Add the option that chooses a scale of training."""
    parser.add_argument(
        "--profile",
        choices=("auto", *PROFILES),
        default="auto",
        help="quick: a subset and few epochs; full: the real thing; auto: full on a GPU, else quick",
    )


def _train(chosen) -> int | None:
    from ferlib.train import experiments

    if chosen.list:
        print(experiments.describe())
        return 0
    every = experiments.TABLE + experiments.CROWD_TABLE if chosen.all else ()
    ids = tuple(dict.fromkeys([*every, *chosen.ids]))
    if not ids:
        print("ferlib train: name experiments or say --all; --list shows them", file=sys.stderr)
        return 2
    import_keras_quietly()
    from ferlib.data import fer2013
    from ferlib.tools import matrix

    dataset = fer2013.load(chosen.data, own_classes=True)
    seeds = tuple(range(chosen.seeds)) if chosen.seed is None else (chosen.seed,)
    if chosen.dry_run:
        print(matrix.describe_plan(matrix.plan(ids, seeds, chosen.profile, dataset)))
        return 0
    until = None if chosen.seconds is None else time.time() + chosen.seconds
    where = {"workers": chosen.workers, "scheduler": chosen.scheduler}
    runs = matrix.train_matrix(ids, seeds, chosen.profile, dataset, until=until, **where)
    made = listed(sorted({run.profile for run in runs})) or "none"
    print(f"finished: {len(runs)} of {len(ids) * len(seeds)} runs, profile {made}")
    return 0


def _tune(chosen) -> None:
    import_keras_quietly()
    from ferlib.data import fer2013
    from ferlib.tools import tune

    options = {"trials": chosen.trials, "storage": chosen.storage, "profile": chosen.profile}
    print(tune.tune(chosen.id, fer2013.load(chosen.data), **options))


def _evaluate(chosen) -> None:
    import_keras_quietly()
    from ferlib.data import fer2013
    from ferlib.evaluate import crowd, summary

    dataset = fer2013.load(chosen.data)
    print(crowd.describe(crowd.judge(summary.every_run(dataset), dataset), chosen.ids))


def _bench(chosen) -> None:
    if chosen.fer and not chosen.live:
        raise FerlibError(f"--fer {chosen.fer} is for --live alone: give both, or neither")
    import_keras_quietly()
    from ferlib import paths
    from ferlib.data import fer2013

    dataset = fer2013.load(chosen.data)
    if chosen.save:
        if dataset.is_demo:
            raise FerlibError("what is kept is measured on FER-2013, not on drawn faces: name it with --data")
        paths.refuse_unwritable(paths.record())
    if chosen.live:
        from skimage import data as photos

        from ferlib.evaluate import live_chain
        from ferlib.tools import live_speed as bench

        picture = live_chain.webcam_picture(photos.astronaut())
        measured = bench.live(dataset.valid, picture, fer=chosen.fer, quick=chosen.quick)
    elif chosen.faces:
        from ferlib.data import votes
        from ferlib.evaluate import live_chain as bench
        from ferlib.live.network import load_model

        measured = bench.measure(load_model(), votes.as_people_see(dataset.valid), quick=chosen.quick)
    else:
        from ferlib.tools import training_speed as bench

        measured = bench.run(dataset, race=chosen.race, quick=chosen.quick)
    print(bench.describe(measured))
    if chosen.save:
        print(f"kept in {bench.save(measured)}")


def _record(chosen) -> None:
    import_keras_quietly()
    from ferlib import paths
    from ferlib.data import audit, fer2013
    from ferlib.evaluate import private_test
    from ferlib.train import record

    dataset = fer2013.load(chosen.data)
    if dataset.is_demo:
        raise FerlibError("runs on drawn faces are not recorded: name FER-2013 with --data")
    finished = [run for run in record.runs(dataset) if run.profile != "quick"]
    if not finished:
        raise FerlibError(f"nothing to record in {paths.runs()}: train with --profile full first")
    tested = private_test.open_private_test(finished, dataset, audit.audit(dataset))
    print(f"{len(tested)} runs are in {record.publish(tested).parent}")


def _export(chosen) -> None:
    import_keras_quietly()
    from ferlib.data import fer2013
    from ferlib.tools import card

    print(card.ship(chosen.id, fer2013.load(chosen.data, own_classes=True)))


def _reproduce(chosen) -> int:
    import_keras_quietly()
    import pandas as pd

    from ferlib.data import audit, fer2013
    from ferlib.live import network
    from ferlib.report import repeated
    from ferlib.tools import reproduce

    dataset = fer2013.load(chosen.data)
    shipped = [network.load_model(name) for name in network.SHIPPED]
    recorded = reproduce.reproduce(dataset, audit.audit(dataset), shipped)
    found = pd.concat([recorded, repeated.chapters(dataset)], ignore_index=True)
    print(reproduce.describe(found))
    return 0 if found["same"].all() else 1
