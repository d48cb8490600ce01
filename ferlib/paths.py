"""Where data, caches, figures, reports and runs live, and how files are written and read safely."""

import errno
import itertools
import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache as once
from pathlib import Path
from typing import TypeVar

from ferlib.labels import FerlibError

T = TypeVar("T")

PACKAGE = Path(__file__).parent
"""Folder of the library itself, which its weights lie in."""


def offline() -> bool:
    """Say whether the network must not be asked: ``FERLIB_OFFLINE`` is 1, true or anything but no."""
    return os.environ.get("FERLIB_OFFLINE", "").lower() not in ("", "0", "false", "no")


def number(setting: str, default: float, least: float = 0) -> float:
    """Return the number that ``FERLIB_<setting>`` says, of the type of its default.

    Raises:
        FerlibError: It is no such number, or below the least.
    """
    text = os.environ.get(f"FERLIB_{setting}") or default
    with suppress(ValueError):
        if least <= (value := type(default)(text)) < float("inf"):
            return value
    kind = "whole number" if type(default) is int else "number"
    raise FerlibError(f"FERLIB_{setting} is {text!r}, not a {kind} from {least} up; change or unset it")


def root() -> Path:
    """Return the project folder.

    ``FERLIB_ROOT`` wins; otherwise the nearest folder at or above the working directory that holds
    ``notebooks/`` and ``ferlib/``; otherwise the working directory itself (an installed ferlib).
    """
    if override := _chosen("ROOT"):
        return override
    here = Path.cwd().resolve()
    return next((folder for folder in (here, *here.parents) if is_project(folder)), here)


def is_project(folder: Path) -> bool:
    """Say whether a folder holds the project's notebooks and library."""
    return all(os.path.isdir(folder / name) for name in ("notebooks", "ferlib"))


def data() -> Path:
    """Return the folder for data the user places by hand (``data/``, ignored by git)."""
    return root() / "data"


def cache() -> Path:
    """Return the folder for decoded images and audits (``FERLIB_CACHE``, else the user's cache)."""
    if override := _chosen("CACHE"):
        return override
    base = expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if base.parts[:1] == ("~",):
        raise FerlibError("there is no home folder for the cache; choose a folder with FERLIB_CACHE")
    return base / "ferlib"


def figs() -> Path:
    """Return the folder of the report's figures (``FERLIB_FIGS``, else ``figs/``)."""
    return _chosen("FIGS") or root() / "figs"


def notebooks() -> Path:
    """Return the folder of the notebook sources (``notebooks/``)."""
    return root() / "notebooks"


def reports() -> Path:
    """Return the folder of the rendered reports (``FERLIB_REPORTS``, else ``reports/``)."""
    return _chosen("REPORTS") or root() / "reports"


def executed() -> Path:
    """Return the folder of executed notebooks (``reports/executed/``, ignored by git)."""
    return reports() / "executed"


def record() -> Path:
    """Return the folder of the committed results (``FERLIB_RECORD``, else ``reports/record/``)."""
    return _chosen("RECORD") or root() / "reports" / "record"


def runs() -> Path:
    """Return the folder of training runs (``FERLIB_RUNS``, else ``runs/``, ignored by git)."""
    return _chosen("RUNS") or root() / "runs"


def _chosen(folder: str) -> Path | None:
    """Return the folder that the user's environment names, if it does."""
    override = os.environ.get(f"FERLIB_{folder}")
    return expanded(override).resolve() if override else None


def expanded(path: str | Path) -> Path:
    """Return a path whose ``~`` stands for a home folder, or as it is where there is no such home.

    Files of editors have such names: ``~report.jpg`` is the home of no user ``report.jpg``.
    """
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError):
        return Path(path)


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors after which nothing else can be written to that place either."""

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_OWNER = re.compile(r"\.ferlib-([0-9a-f]{8})-(\d+)-")
_NUMBERS = itertools.count()


def destination(target: Path) -> Path:
    """Return the file that is to be replaced where a path is to be written: links stay and lead to it.

    Raises:
        OSError: There is something else than a file, which must not be replaced.
    """
    real = Path(os.path.realpath(target)) if os.path.islink(target) else target
    if (os.path.exists(target) or os.path.lexists(real)) and not os.path.isfile(target):
        kind = "a folder" if os.path.isdir(target) else "a pipe, a device or an endless link"
        raise OSError(errno.EEXIST, f"it is {kind}", str(target))
    return real


@contextmanager
def written_atomically(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` and rename it onto ``target`` on success.

    A reader sees the old file or the new one, never half of one; an interrupted writer leaves
    nothing under the final name. What a killed one leaves, the next process that writes there removes.

    Args:
        target: Final path, as for `destination`; its folder is made if missing. The temporary path keeps the
            suffix, which some writers (NumPy, Keras) insist on.

    Raises:
        OSError: It can't be written; the error names ``target``, not the temporary file.
    """
    target = destination(target)
    temporary = beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _cleared(target.parent)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.filename is None or Path(str(error.filename)) in (temporary, *target.parents):
            error.strerror, error.filename = error.strerror or str(error), str(target)
        raise
    finally:
        with suppress(OSError):  # what could not be made is not to be removed either
            temporary.unlink()


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder for intermediate files, removed at the end; after a kill, by the next process."""
    place = Path(tempfile.gettempdir())
    _cleared(place)
    with tempfile.TemporaryDirectory(prefix=_prefix(), dir=place) as folder:
        yield Path(folder)


def refuse_unwritable(folder: Path) -> None:
    """Make a folder, and raise OSError if that or writing a file there is not possible."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def beside(target: Path) -> Path:
    """Return a temporary path in the folder of ``target`` that tells whose it is and ends like it."""
    return target.with_name(_prefix() + target.name[-40:])  # more would make long names too long


def _prefix() -> str:
    return f".ferlib-{_HOST}-{os.getpid()}-{next(_NUMBERS)}-"


def reserve(file: Path, size: int) -> None:
    """Write as many zeros as HDF5 will need at most: where the disk is full, it would end the process.

    Raises:
        OSError: There is no room for them.
    """
    with file.open("wb") as opened:
        opened.write(bytes(size))


def remove_leftovers(folder: Path, pattern: str = ".ferlib-*") -> None:
    """Remove temporary files and folders of processes of this computer that were killed.

    The pattern ``**/.ferlib-*`` also looks in the folders below.
    """
    for path in folder.glob(pattern):
        owner = _OWNER.match(path.name)
        if owner and owner[1] == _HOST and not _runs(int(owner[2])):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@once
def _cleared(folder: Path) -> None:
    """Clear a folder once a process: one with thousands of files takes a while to list."""
    remove_leftovers(folder)


def _runs(process: int) -> bool:
    if os.name != "posix":
        return True  # there, asking about a process might end it
    try:
        with suppress(PermissionError):
            os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    return True


def kept(read: Callable[[], T], make: Callable[[], object]) -> T:
    """Read what a cache holds; make it first where reading raises, of missing or damaged files, any error."""
    for _ in range(2):  # another process may take it away at once, for a source that has changed since
        with suppress(Exception):
            return read()
        make()
    return read()


def arrays(file: Path) -> dict:
    """Read the arrays of an npz file by name, none of them pickled; damage makes NumPy raise any error."""
    import numpy as np  # commands that read no arrays start without it

    with file.open("rb") as opened, np.load(opened) as stored:
        return dict(stored)
