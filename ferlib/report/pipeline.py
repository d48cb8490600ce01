"""The numbered notebooks, executed by papermill and rendered as one report; only what changed runs again."""

import hashlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
import papermill
from jupyter_client import AsyncKernelManager

from ferlib import paths
from ferlib.data import fer2013
from ferlib.labels import FerlibError
from ferlib.report import copies, render
from ferlib.words import printable

_NOTICES = re.compile(
    r"^(?:[IWE]\d{4} .*\.cc:\d+\]|WARNING: All log messages before absl).*\n?", re.MULTILINE
)

_READ = (".py", ".json", ".npz", ".csv")
"""Files of the library, and of networks beside it, that chapters depend on."""


def build(
    source: str | None = None, profile: str = "auto", seeds: tuple[int, ...] = (0,), fresh: bool = False
):
    """Execute the notebooks that are out of date, then render ``report.html`` and ``report.pdf``.

    The profiles ``quick`` and ``full`` train for themselves; ``auto`` reuses finished runs. A
    quick report lives in ``reports/quick`` with its own runs and figures, so that trying the
    project out never overwrites the real report.

    Args:
        source: Data to use, as for :func:`ferlib.data.fer2013.load`; None searches the usual places.
        profile: ``auto``, ``quick`` or ``full``.
        seeds: Seeds every experiment must have.
        fresh: Forget executed notebooks first, and the runs of a quick report.

    Returns:
        Paths of the HTML and the PDF report. Copies of the executed notebooks lie in ``notebooks`` beside.

    Raises:
        FerlibError: If a notebook fails; its executed file is kept for reading.
    """
    if profile == "quick":
        _separate_quick_folders()
    if fresh:
        shutil.rmtree(paths.executed(), ignore_errors=True)
        if profile == "quick":
            shutil.rmtree(paths.runs(), ignore_errors=True)
    chapters = sources()
    inputs, before = _inputs(source, profile, seeds), _serious_runs()
    executed = [
        _execute_if_needed(path, inputs + before, profile, seeds, f"[{i + 1}/{len(chapters)}]")
        for i, path in enumerate(chapters)
    ]
    if (after := _serious_runs()) != before:  # which the chapters themselves have trained
        for path, copy in zip(chapters, executed, strict=True):
            _stamp(copy, _key(path, inputs + after))
    _copy_for_readers(executed)
    return _render_if_needed(executed)


def sources() -> list[Path]:
    """Return the notebooks of the chapters, in their order."""
    found = sorted(paths.notebooks().glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise FerlibError(
            f"no notebooks in {paths.notebooks()}: run inside the project folder or set FERLIB_ROOT"
        )
    return found


def _separate_quick_folders() -> None:
    """Point reports, figures and runs of this process and its kernels into ``reports/quick``."""
    quick = paths.reports() / "quick"
    for name, folder in (("REPORTS", quick), ("FIGS", quick / "figs"), ("RUNS", quick / "runs")):
        os.environ[f"FERLIB_{name}"] = str(folder)


def _inputs(source: str | None, profile: str, seeds: tuple[int, ...]) -> str:
    """Digest what every notebook depends on, runs aside: library, data, record, network, profile, seeds."""
    dataset = fer2013.load(source)
    where = f" ({dataset.location})" if dataset.location else ""
    print(printable(f"Data: {dataset.source}{where}"), file=sys.stderr)
    for note in dataset.notes:
        print(printable(f"Note: {note}"), file=sys.stderr)
    os.environ["FERLIB_DATA"] = str(dataset.location or "demo")  # also where it was downloaded
    digest = hashlib.sha256()
    settings = [os.environ.get("KERAS_BACKEND", ""), weights := os.environ.get("FERLIB_WEIGHTS", "")]
    for text in (dataset.fingerprint, profile, json.dumps(list(seeds)), *settings):
        digest.update(text.encode() + b"\0")
    kept = set(paths.record().glob("*")) - {paths.record() / "trust.csv"}  # of the tests, in no chapter
    recorded = (file for file in kept if file.suffix in (".csv", ".npz", ".h5"))
    places = [paths.PACKAGE, *([paths.expanded(weights)] if weights else [])]
    library = (file for place in places for file in place.rglob("*") if file.suffix in _READ)
    for path in (*sorted(library), *sorted(recorded)):
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def _serious_runs() -> str:
    """List the runs that may take the place of others: all but quick ones."""
    found = sorted(str(file.parent) for file in paths.runs().glob("*/*/seed*/run.npz"))
    return "\n".join(folder for folder in found if not Path(folder).parent.name.startswith("quick-"))


def _execute_if_needed(path: Path, inputs: str, profile: str, seeds: tuple[int, ...], place: str) -> Path:
    """Execute one notebook unless its executed copy was made from the same inputs."""
    target = paths.executed() / path.name
    key = _key(path, inputs)
    if _key_of(target) == key:
        return target
    try:
        execute(path, target, place, profile, seeds)
    except FerlibError as error:
        kept = f"What ran is kept at {target}; mend the cause and run the same command again"
        raise FerlibError(f"{error}. {kept}") from error
    _stamp(target, key)
    return target


def _key(path: Path, inputs: str) -> str:
    return hashlib.sha256(inputs.encode() + path.read_bytes()).hexdigest()


def _key_of(executed: Path) -> str | None:
    """Return the key of a completely executed notebook, None of a missing, broken or failed one."""
    try:
        return json.loads(executed.read_text(encoding="utf-8"))["metadata"]["ferlib"]["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def execute(
    path: Path, target: Path, place: str, profile: str = "auto", seeds: tuple[int, ...] = (0,)
) -> None:
    """Run one notebook with papermill, keep the result whatever happens, and tell how long it takes.

    It is said as ``[1/10]`` which chapter of how many it is; profile and seeds are those of `build`.
    """
    print(f"{place} {path.stem}", file=sys.stderr)
    start = time.perf_counter()
    with paths.written_atomically(target) as working:
        try:
            papermill.execute_notebook(
                path,
                working,
                {"PROFILE": profile, "SEEDS": list(seeds)},
                cwd=path.parent,
                kernel_name="python3",
                language="python",
                stderr_file=_Terminal(),  # progress of a training shows while its cell still runs
                extra_arguments=["--IPKernelApp.log_level=40"],  # no notice about the kernel's local sockets
                kernel_manager_class=_kernel_manager(target.with_name("kernel.log")),
            )
        except Exception as error:
            if getattr(error, "errno", None) in paths.NO_ROOM:
                raise
            if working.exists():
                os.replace(working, target)
            why = f"could not be executed to its end: {error}"  # such as of a dead kernel
            if isinstance(error, papermill.PapermillExecutionError):
                why = f"failed in cell {error.exec_count}: {error.ename}: {error.evalue}"
            raise FerlibError(f"{path.name} {why}") from None
    # A cell that exits ends the kernel cleanly, which papermill takes for success.
    cells = nbformat.read(target, 4).cells
    completed = [cell.metadata["papermill"]["status"] == "completed" for cell in cells]
    if not all(completed):
        raise FerlibError(f"{path.name} stopped early: cell {completed.index(False) + 1} did not complete")
    print(f"{place} {path.stem} took {time.perf_counter() - start:.0f} s", file=sys.stderr)


def _stamp(target: Path, key: str) -> None:
    """Write into an executed notebook what it was made from."""
    notebook = nbformat.read(target, 4)
    notebook.metadata["ferlib"] = {"key": key}
    _write(notebook, target)


def _write(notebook: nbformat.NotebookNode, target: Path) -> None:
    with paths.written_atomically(target) as temporary:
        nbformat.write(notebook, temporary)


def _copy_for_readers(executed: list[Path]) -> None:
    """Copy executed notebooks to where people read them."""
    notebooks = [nbformat.read(path, 4) for path in executed]
    copies.for_readers(notebooks)
    for path, notebook in zip(executed, notebooks, strict=True):
        _write(notebook, paths.reports() / "notebooks" / path.name)


class _Terminal:
    """Standard error without what TensorFlow's native code writes there whatever its settings say."""

    def write(self, text: str) -> None:
        sys.stderr.write(_NOTICES.sub("", text))

    def flush(self) -> None:
        sys.stderr.flush()


def _kernel_manager(log: Path) -> type:
    """Return a kernel manager that logs what native code writes; what Python prints stays in the notebook.

    TensorFlow greets every process with notices that no setting silences. And where it computes several
    operations at once, the gradients of a large network differ in their last digits from process to process.
    """

    class LoggingKernelManager(AsyncKernelManager):
        def __init__(self, **options):  # its connection file would stay in the user's home after a kill
            super().__init__(connection_file=str(paths.beside(log.with_name("kernel.json"))), **options)

        async def _async_launch_kernel(self, command, **options):
            environment = options["env"] | {"TF_NUM_INTEROP_THREADS": "1"}
            with open(log, "ab") as stderr:
                changed = options | {"stderr": stderr, "env": environment}
                await super()._async_launch_kernel(command, **changed)

    return LoggingKernelManager


def _render_if_needed(executed: list[Path]) -> tuple[Path, Path]:
    """Render both reports unless they were made from these very notebooks, templates and title page."""
    html, pdf = paths.reports() / "report.html", paths.reports() / "report.pdf"
    meta, stamp = paths.root() / "reports" / "meta.yaml", paths.executed() / "rendered.json"
    digest = hashlib.sha256()
    for path in (*executed, *sorted(render.TEMPLATES.iterdir()), meta):
        digest.update(path.read_bytes() if path.is_file() else b"")
    key = json.dumps({"key": digest.hexdigest()}).encode()
    if html.exists() and pdf.exists() and stamp.exists() and stamp.read_bytes() == key:
        print(f"Up to date: {html} and {pdf}", file=sys.stderr)
        return html, pdf
    start = time.perf_counter()
    print("Rendering HTML and PDF", file=sys.stderr)
    render.render(executed, paths.reports(), meta)
    with paths.written_atomically(stamp) as temporary:
        temporary.write_bytes(key)
    print(f"Wrote {html} and {pdf} in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return html, pdf
