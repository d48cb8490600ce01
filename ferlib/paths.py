"""Where data, caches, figures, reports and runs live, and how files are written safely."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PACKAGE = Path(__file__).parent
"""Folder of the library itself, which its weights lie in."""


def offline() -> bool:
    """Say whether the network must not be asked: ``FERLIB_OFFLINE`` is 1, true or anything but no."""
    return os.environ.get("FERLIB_OFFLINE", "").lower() not in ("", "0", "false", "no")


def root() -> Path:
    """Return the project folder.

    ``FERLIB_ROOT`` wins; otherwise the nearest folder at or above the working directory that holds
    ``notebooks/`` and ``ferlib/``; otherwise the working directory itself (an installed ferlib).
    """
    if override := os.environ.get("FERLIB_ROOT"):
        return Path(override).expanduser().resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "ferlib").is_dir():
            return folder
    return here


def data() -> Path:
    """Return the folder for data the user places by hand (``data/``, ignored by git)."""
    return root() / "data"


def cache() -> Path:
    """Return the folder for decoded images and audits (``FERLIB_CACHE``, else the user's cache)."""
    if override := os.environ.get("FERLIB_CACHE"):
        return Path(override).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser() / "ferlib"


def figs() -> Path:
    """Return the folder of the report's figures (``FERLIB_FIGS``, else ``figs/``)."""
    override = os.environ.get("FERLIB_FIGS")
    return Path(override).expanduser().resolve() if override else root() / "figs"


def notebooks() -> Path:
    """Return the folder of the notebook sources (``notebooks/``)."""
    return root() / "notebooks"


def reports() -> Path:
    """Return the folder of the rendered reports (``FERLIB_REPORTS``, else ``reports/``)."""
    override = os.environ.get("FERLIB_REPORTS")
    return Path(override).expanduser().resolve() if override else root() / "reports"


def executed() -> Path:
    """Return the folder of executed notebooks (``reports/executed/``, ignored by git)."""
    return reports() / "executed"


def record() -> Path:
    """Return the folder of the committed results (``FERLIB_RECORD``, else ``reports/record/``)."""
    override = os.environ.get("FERLIB_RECORD")
    return Path(override).expanduser().resolve() if override else root() / "reports" / "record"


def runs() -> Path:
    """Return the folder of training runs (``FERLIB_RUNS``, else ``runs/``, ignored by git)."""
    override = os.environ.get("FERLIB_RUNS")
    return Path(override).expanduser().resolve() if override else root() / "runs"


@contextmanager
def written_atomically(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` and rename it onto ``target`` on success.

    A reader sees the old file or the new one, never half of one; an interrupted writer leaves
    nothing under the final name.

    Args:
        target: Final path; its folder is made if missing. The temporary path keeps the suffix,
            which some writers (NumPy, Keras) insist on.

    Raises:
        OSError: It can't be written; the error names ``target``, not the temporary file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(temporary):
            error.strerror, error.filename = error.strerror or str(error), str(target)
        raise
    finally:
        with suppress(OSError):  # what could not be made is not to be removed either
            temporary.unlink()


def kept(read: Callable[[], T], make: Callable[[], object]) -> T:
    """Read what a cache holds; make it first where it is missing or damaged.

    Args:
        read: Returns what is kept. Damage makes readers raise errors of any kind.
        make: Writes it anew.
    """
    with suppress(Exception):
        return read()
    make()
    return read()
