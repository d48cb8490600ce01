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

Table = dict[tuple[str, str, str], float]
"""What was tried, its kind and its outcome, to how often."""


def tried() -> Table:
    """Return what the tests of this process tried so far."""
    found = {(INPUTS, *kind): number for kind, number in OUTCOMES.items()}
    found |= {(KILLS, kind, "survived"): number for kind, number in SURVIVED.items()}
    found |= {(PAGE, f"{width} pixels, {mode}", "in order"): n for (width, mode), n in PAGES.items()}
    return found | {(BACKEND, name, "passed"): number for name, number in BACKENDS.items()}


def rows(file: Path) -> dict[tuple[str, str, str], str]:
    """Return the rows of a file, their first three columns to the last; none where it is not there."""
    if not file.exists():
        return {}
    with file.open(newline="") as opened:
        _, *lines = csv.reader(opened)
    return {tuple(key): last for *key, last in lines}


def write(file: Path, columns: Iterable[str], lines: Iterable[Iterable]) -> None:
    """Write such rows, sorted."""
    with file.open("w", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows([columns, *sorted(lines)])


def read(file: Path) -> Table:
    """Return the table as it stands in a file."""
    return {key: float(number) for key, number in rows(file).items()}


def keep(file: Path, new: Table) -> None:
    """Write into a table what was tried in full; of the same nothing older stays."""
    tried_again = {what for what, *_ in new}
    old = {key: number for key, number in read(file).items() if key[0] not in tried_again}
    write(file, COLUMNS, ((*key, f"{number:g}") for key, number in (old | new).items()))


def quoted(table: Table) -> list[str]:
    """Return the lines of the table in tests/README.md."""

    def of(what: str) -> Table:
        return {key: number for key, number in table.items() if key[0] == what}

    kills, damaged = of(KILLS), sum(of(INPUTS).values())
    each = ", ".join(f"{kind} {number:.0f}" for (_, kind, _), number in kills.items())
    least = f"{damaged // 100 * 100:,.0f}"  # inputs are drawn, and some of them twice
    pages = [kind.split(" pixels, ") for _, kind, _ in of(PAGE)]
    widths, colours = sorted({width for width, _ in pages}, key=int), sorted({colour for _, colour in pages})
    seen = f"{' and '.join(colours)}, {', '.join(widths)} pixels wide"
    well = "nothing serious found by axe, no link lost, nothing cut off or loaded"
    on_jax = sum(of(BACKEND).values())
    shares = ", ".join(f"{wing} {number:.1f} %" for (_, wing, _), number in of(COVERAGE).items())
    kinds = len({kind for _, kind, _ in of(INPUTS)})
    lines = {
        KILLS: f"| killed at random moments: {each} | all {sum(kills.values()):.0f} survived |",
        INPUTS: f"| damaged inputs of {kinds} kinds, more than {least} | each read right or refused |",
        PAGE: f"| the report in a browser, {seen} | {well} |",
        COVERAGE: f"| lines and branches that tests run, {on_jax:.0f} tests on JAX, too | {shares} |",
        MUTANT: _of_mutants(of(MUTANT)),
    }
    return [line for what, line in lines.items() if of(what)]


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
    for file, about in files.items():
        told, name = about["summary"], Path(file).resolve().relative_to(PACKAGE).as_posix()
        lines = told["num_statements"] + told["num_branches"]
        modules[name] = (lines, told["covered_lines"] + told["covered_branches"])
    return {name: counts for name, counts in modules.items() if counts[0]}


def by_wing(modules: dict[str, tuple[int, int]]) -> Table:
    """Return the share of lines and branches run in each wing, %; modules of no wing are the ground."""
    wings: dict[str, list[tuple[int, int]]] = {}
    for name, counts in modules.items():
        wings.setdefault(name.split("/")[0] if "/" in name else "ground", []).append(counts)
    sums = {wing: [sum(column) for column in zip(*counts, strict=True)] for wing, counts in wings.items()}
    return {(COVERAGE, wing, "run"): round(100 * run / lines, 1) for wing, (lines, run) in sums.items()}


def main(file: str) -> None:
    """Add what of the code the tests run, and print all there is, and the modules below 90 %."""
    modules = measured()
    keep(Path(file), by_wing(modules))
    for (what, kind, outcome), number in read(Path(file)).items():
        print(f"{what:28}{kind:26}{outcome:12}{number:8,g}")
    for name, (lines, run) in modules.items():
        if run < 0.9 * lines:
            print(f"{name:32}{100 * run / lines:6.1f} % of {lines} lines and branches")


if __name__ == "__main__":
    main(*sys.argv[1:])
