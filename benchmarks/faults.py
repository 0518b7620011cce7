"""The fault tests with their counts: what was killed, switched and read, and how many errors there were.

    python benchmarks/faults.py            # run them (minutes), keep the counts, put the table into docs/releases.md
    python benchmarks/faults.py FILE …     # only these tests; the other counts stay as they were
    python benchmarks/faults.py --again    # only the table, from the counts of the last run

A test tells its counts as a property called `fault`, a mapping: `fault` says what is done, `seen` what became of it,
and the columns below are numbers. Rows with the same `fault`, of a test with several parameters, are added up. Nothing
is kept of a file of which a test fails.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from twinvec import files

ROOT = Path(__file__).parents[1]
TESTS = (
    "tests/releases/test_publish_killed.py",
    "tests/releases/test_crashes.py",
    "tests/releases/test_promoters.py",
    "tests/releases/test_readers.py",
    "tests/vectors/test_readers.py",
    "tests/registry/test_concurrency.py",
    "tests/registry/test_journal.py",
)
COLUMNS = ("killed", "switches", "readers", "reads", "errors")
SWITCHES = 20
BEGIN, END = "<!-- made by `python benchmarks/faults.py` -->", "<!-- end -->"
Row = dict[str, Any]


def run(test: str) -> list[Row]:
    """Run the tests of a file; what they told.

    Raises:
        SystemExit: With pytest's status, if one fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *options, test],
            cwd=ROOT,
            env={**os.environ, "FAULT_SWITCHES": str(SWITCHES)},
            check=False,
        )
        if ended.returncode:
            sys.exit(ended.returncode)
        found = ElementTree.parse(report).iter("property")
        told = [ast.literal_eval(each.get("value", "")) for each in found if each.get("name") == "fault"]
    return merge(told)


def merge(told: list[Row]) -> list[Row]:
    """One row a fault, its numbers added up, in the order in which they came."""
    rows: dict[str, Row] = {}
    for each in told:
        row = rows.setdefault(each["fault"], {"fault": each["fault"], "seen": each["seen"]})
        for name in COLUMNS:
            if each.get(name) is not None:
                row[name] = row.get(name, 0) + each[name]
    return list(rows.values())


def table(rows: list[Row]) -> str:
    """The rows as Markdown, with what they come to."""
    total = {"fault": "all", "seen": ""} | {
        name: sum(row.get(name, 0) for row in rows) for name in COLUMNS if name != "readers"
    }
    lines = [f"| fault | {' | '.join(COLUMNS)} | seen |", f"| --- |{' ---: |' * len(COLUMNS)} --- |"]
    for row in [*rows, total]:
        numbers = [f"{row[name]:,}" if name in row else "" for name in COLUMNS]
        lines.append(f"| {row['fault']} | {' | '.join(numbers)} | {row['seen']} |")
    return "\n".join(lines)


def put(path: Path, text: str) -> None:
    """Put a text between the two marks of a document."""
    document = path.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        sys.exit(f"{path} does not have the marks {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run, keep, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tests", nargs="*", choices=[*TESTS, []], help="files to run; all if none is named")
    parser.add_argument("--again", action="store_true", help="run none: make the table from the last counts")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/faults.json")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/releases.md")
    arguments = parser.parse_args()
    for test in () if arguments.again else arguments.tests or TESTS:
        rows = run(test)
        kept = read(arguments.output) | {test: rows}  # read now: another run may have written since
        ordered = {name: kept[name] for name in TESTS if name in kept}
        files.write_text(arguments.output, json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")
    text = table([row for rows in read(arguments.output).values() for row in rows])
    put(arguments.document, text)
    print(text)


def read(path: Path) -> dict[str, list[Row]]:
    """The counts that were kept, by file; none at first."""
    found: dict[str, list[Row]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


if __name__ == "__main__":
    main()
