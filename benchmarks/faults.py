"""The fault tests with their counts: what was killed, switched and read, and how many errors there were.

    python benchmarks/faults.py            # run them (minutes), keep the counts, put the table into docs/releases.md
    python benchmarks/faults.py --again    # only the table, from the counts of the last run

A test tells its counts as a property called `fault`, a mapping: `fault` says what is done, `seen` what became of it,
and the columns below are numbers. Rows with the same `fault`, of a test with several parameters, are added up. Nothing
is written if a test fails.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

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


def run() -> list[Row]:
    """Run the tests; what they told.

    Raises:
        SystemExit: with pytest's status, if one fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *TESTS]
        ended = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "FAULT_SWITCHES": str(SWITCHES)}, check=False
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
    parser.add_argument("--again", action="store_true", help="make the table from the last counts")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/faults.json")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/releases.md")
    arguments = parser.parse_args()
    if not arguments.again:
        began = time.monotonic()
        rows = run()
        record = {"seconds": round(time.monotonic() - began), "cores": os.cpu_count(), "rows": rows}
        arguments.output.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    text = table(json.loads(arguments.output.read_text(encoding="utf-8"))["rows"])
    put(arguments.document, text)
    print(text)


if __name__ == "__main__":
    main()
