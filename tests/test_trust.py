"""The page for developers quotes what the slow tests tried as it is in the record."""

from pathlib import Path

import survivors
import trust

ROOT = Path(__file__).parent.parent


def test_the_page_for_developers_quotes_the_record():
    table = trust.read(ROOT / "reports" / "record" / "trust.csv")
    readme = (ROOT / "tests" / "README.md").read_text().splitlines()
    wanted = trust.quoted(table)
    assert wanted and [line for line in wanted if line not in readme] == [], "put these into tests/README.md"


def test_what_is_tried_again_takes_the_place_of_what_was_tried_before(tmp_path):
    file, kill = tmp_path / "trust.csv", ("kill", "training", "survived")
    trust.keep(file, {kill: 5, ("damaged input", "zip", "refused"): 90})
    again = {("damaged input", "zip", "read right"): 101, ("damaged input", "csv", "refused"): 7}
    trust.keep(file, again)
    assert trust.read(file) == again | {kill: 5}


def test_lines_are_added_up_by_wing():
    modules = {"cli.py": (10, 5), "paths.py": (30, 25), "live/a.py": (10, 10), "live/b.py": (30, 20)}
    assert trust.by_wing(modules) == {(trust.COVERAGE, wing, "run"): 75 for wing in ("ground", "live")}


def test_changes_that_no_test_noticed_stay_until_somebody_has_looked_at_them(tmp_path):
    said = [
        f"    ferlib.data.readers.x_read__mutmut_{n}: {status}"
        for n, status in enumerate(("killed", "timeout", "survived", "no tests", "killed", "not checked"), 1)
    ]
    found = survivors.survivors(
        ["", *said], lambda name: f"# {name}\n--- a\n+++ b\n@@ -1 +1 @@\n x\n-  n = 1\n+  n = {name[-1]}\n"
    )
    first, second = (("data/readers.py", "n = 1", f"n = {n}") for n in (3, 4))
    assert found == ({(trust.MUTANT, "data/readers.py", "noticed"): 3}, [first, second])
    files = file, record = tmp_path / "survivors.csv", tmp_path / "trust.csv"
    assert survivors.keep(*files, *found) == [first, second]
    file.write_text(file.read_text().replace("n = 3,", "n = 3,the same"))
    assert survivors.keep(*files, *found) == [second]
    assert trust.rows(file) == {first: "the same", second: ""}
    counted = {outcome: number for (*_, outcome), number in trust.read(record).items()}
    assert counted == {"noticed": 3, "looked at": 1, "not looked at": 1}
    assert survivors.keep(*files, found[0], [first]) == []
    (line,) = trust.quoted(trust.read(record))
    assert "| 4 small errors put into 1 modules" in line and "| 3 noticed" in line
