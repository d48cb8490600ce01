"""What the slow tests tried and what of the code the tests run, in a table, and as tests/README.md quotes it.

Run as a program after the tests, it adds what `coverage` measured.
"""

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from sources import BACKENDS, OUTCOMES, PAGES, SURVIVED

PACKAGE = Path(__file__).parent.parent / "ferlib"
COLUMNS = ("what", "kind", "outcome", "number")
KILLS, INPUTS, PAGE, MUTANT = "kill", "damaged input", "page in a browser", "error put in"
BACKEND, COVERAGE = "tests on another backend", "lines and branches run, %"
BY_TESTS = (KILLS, INPUTS, PAGE, BACKEND)
"""What the slow suite tries."""

Table = dict[tuple[str, str, str], float]
"""What was tried, its kind and its outcome, to how often."""


def tried() -> Table:
    """Return what the tests of this process tried so far."""
    kills = {(KILLS, kind, "survived"): number for kind, number in SURVIVED.items()}
    pages = {
        (PAGE, f"{width} pixels, {colours}", "in order"): number for (width, colours), number in PAGES.items()
    }
    backends = {(BACKEND, name, "passed"): number for name, number in BACKENDS.items()}
    return kills | pages | backends | {(INPUTS, *kind): number for kind, number in OUTCOMES.items()}


def read(file: Path) -> Table:
    """Return the table as it stands in a file, empty where there is none."""
    if not file.exists():
        return {}
    with file.open(newline="") as opened:
        return {
            tuple(row[name] for name in COLUMNS[:3]): float(row["number"]) for row in csv.DictReader(opened)
        }


def keep(file: Path, new: Table, whole: Iterable[str] = ()) -> None:
    """Write a table; rows of other kinds stay, for a part of the tests may have run alone.

    Args:
        file: The table.
        new: What was tried now.
        whole: What was tried in full, so that nothing older stays of it.
    """
    measured, whole = {key[:2] for key in new}, set(whole)
    kept = {
        key: number for key, number in read(file).items() if key[:2] not in measured and key[0] not in whole
    }
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*key, f"{number:g}") for key, number in sorted((kept | new).items()))


def quoted(table: Table) -> list[str]:
    """Return the lines of the table in tests/README.md."""
    kills = {kind: number for (what, kind, _), number in table.items() if what == KILLS}
    inputs = {kind for what, kind, _ in table if what == INPUTS}
    damaged = sum(number for (what, *_), number in table.items() if what == INPUTS)
    each = ", ".join(f"{kind} {number:.0f}" for kind, number in kills.items())
    pages = [kind.split(" pixels, ") for what, kind, _ in table if what == PAGE]
    widths, colours = sorted({width for width, _ in pages}, key=int), sorted({colour for _, colour in pages})
    seen = f"{' and '.join(colours)}, {', '.join(widths)} pixels wide"
    well = "nothing serious found by axe, no link lost, nothing cut off or loaded"
    on_jax = sum(number for (what, *_), number in table.items() if what == BACKEND)
    wings = {wing: number for (what, wing, _), number in table.items() if what == COVERAGE}
    shares = ", ".join(f"{wing} {number:.1f} %" for wing, number in wings.items())
    least = f"{damaged // 100 * 100:,.0f}"  # inputs are drawn, and some of them twice
    mutants = {key: number for key, number in table.items() if key[0] == MUTANT}
    lines = {
        f"| killed at random moments: {each} | all {sum(kills.values()):.0f} survived |": kills,
        f"| damaged inputs of {len(inputs)} kinds, more than {least} | each read right or refused |": inputs,
        f"| the report in a browser, {seen} | {well} |": pages,
        f"| lines and branches that tests run, {on_jax:.0f} tests on JAX, too | {shares} |": wings,
        _of_mutants(mutants): mutants,
    }
    return [line for line, found in lines.items() if found]


def _of_mutants(mutants: Table) -> str:
    modules = {module for _, module, _ in mutants}
    noticed, left = (
        sum(number for (*_, outcome), number in mutants.items() if outcome == one)
        for one in ("noticed", "not looked at")
    )
    tried = f"{sum(mutants.values()):,.0f} small errors put into {len(modules)} modules, one at a time"
    rest = f"the others looked at{f', but for {left:.0f}' if left else ''}"
    return f"| {tried} | {noticed:,.0f} noticed by tests, {rest} |"


def measured() -> dict[str, tuple[int, int]]:
    """Return each module's path in the package with its lines and branches and how many of them were run."""
    from coverage import Coverage

    found = Coverage(branch=True)
    found.load()
    with TemporaryDirectory() as folder:
        found.json_report(outfile=f"{folder}/measured.json")
        files = json.loads(Path(folder, "measured.json").read_text())["files"]
    modules = {}
    for file, told in files.items():
        told = told["summary"]
        counts = (
            told["num_statements"] + told["num_branches"],
            told["covered_lines"] + told["covered_branches"],
        )
        if counts[0]:
            modules[Path(file).resolve().relative_to(PACKAGE).as_posix()] = counts
    return modules


def by_wing(modules: dict[str, tuple[int, int]]) -> Table:
    """Return the share of lines and branches run in each wing, %; modules of no wing are the ground."""
    wings: dict[str, list[tuple[int, int]]] = {}
    for name, counts in modules.items():
        wings.setdefault(name.split("/")[0] if "/" in name else "ground", []).append(counts)
    return {
        (COVERAGE, wing, "run"): round(
            100 * sum(run for _, run in counts) / sum(lines for lines, _ in counts), 1
        )
        for wing, counts in wings.items()
    }


def main(file: str) -> None:
    """Add what of the code the tests run, and print all there is, and the modules below 90 %."""
    modules = measured()
    keep(Path(file), by_wing(modules), [COVERAGE])
    for (what, kind, outcome), number in read(Path(file)).items():
        print(f"{what:28}{kind:26}{outcome:12}{number:8,g}")
    for name, (lines, run) in modules.items():
        if run < 0.9 * lines:
            print(f"{name:32}{100 * run / lines:6.1f} % of {lines} lines and branches")


if __name__ == "__main__":
    main(*sys.argv[1:])
