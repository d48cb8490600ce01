"""Where data, caches, figures, reports and runs live, and how files are written safely."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
