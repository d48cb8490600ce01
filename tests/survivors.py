"""Counts which of mutmut's changes of single places tests noticed, and which others were looked at.

`make mutants` pipes in what `mutmut results --all true` says.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import trust

FILE = Path(__file__).with_suffix(".csv")
COLUMNS = ("module", "before", "after", "why")
"""A change that no test noticed, and why none need to; "" where nobody has looked at it yet."""

Change = tuple[str, str, str]
"""A module's path in the package, the lines taken out and those put in."""


def survivors(said: Iterable[str], shown: Callable[[str], str]) -> tuple[trust.Table, list[Change]]:
    """Return how many changes of each module were noticed, and which were not.

    What is said are lines such as ``ferlib.data.readers.x_read__mutmut_7: survived``; shown for such a name
    is the difference that a change makes.
    """
    noticed, others = Counter(), []
    for name, _, status in (line.strip().rpartition(": ") for line in said if ": " in line):
        module = "/".join(name.split(".")[1:-1]) + ".py"
        if status in ("killed", "timeout"):
            noticed[trust.MUTANT, module, "noticed"] += 1
        elif status != "not checked":
            lines = [line for line in shown(name).splitlines() if not line.startswith(("---", "+++"))]
            both = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
            others.append((module, *both))
    return dict(noticed), others


def keep(file: Path, record: Path, noticed: trust.Table, others: list[Change]) -> list[Change]:
    """Write survivors into a file, figures into the record; return survivors that nobody has looked at."""
    known = trust.rows(file)
    trust.write(file, COLUMNS, ((*change, known.get(change, "")) for change in set(others)))
    outcomes = ("looked at" if known.get(change) else "not looked at" for change in others)
    counts = Counter((trust.MUTANT, change[0], said) for change, said in zip(others, outcomes, strict=True))
    trust.keep(record, noticed | dict(counts))
    return [change for change in others if not known.get(change)]


def main(record: str) -> None:
    """Keep what came of the changes, and print those that somebody has to look at."""

    def shown(name):
        command = [Path(sys.executable).with_name("mutmut"), "show", name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    for module, before, after in keep(FILE, Path(record), *survivors(sys.stdin, shown)):
        print(f"{module}\n  - {before}\n  + {after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
