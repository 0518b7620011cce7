"""Run small inputs that failed once, and homes that were moved, copied or attacked; write what happens now.

    python benchmarks/cases.py [FOLDER OF CASES] [PAGE]

The folder is `../shared/cases` beside the repository, the page `docs/results/cases.md`. Without the folder nothing is
written, and the exit status is 0. With a folder, the cases of homes, which take a few minutes, are left out.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from pipelines.command import app
from pipelines.command.output import markdown_table
from pipelines.image.decoding import ImageError, decode

ROOT = Path(__file__).resolve().parents[1]
CASES, PAGE = ROOT.parent / "shared" / "cases", ROOT / "docs" / "results" / "cases.md"
MIXED = {"TWINVEC_INGEST__MAX_QUARANTINED": "0.5"}
RETAIL = {
    "TWINVEC_INGEST__COLUMNS": '{"title": "Description"}',
    "TWINVEC_INGEST__EXCLUDE": '["POST", "B"]',
}
HEAD = """# Inputs as people have them

Made by `python benchmarks/cases.py`: what `twinvec ingest` says of small inputs, each of which stands for a kind that
[catalogue.md](../catalogue.md) describes. Settings are given as in the environment.

"""
HOMES = """
# Homes as people treat them

F: homes that move. G: each store's own client. H: readers and full disks. I: attacks. Each has a copy of a home with
200 products, two versions of `related` and a live release; see [operations.md](../operations.md).

"""


class Case(NamedTuple):
    """A source below the folder of cases, its format, and settings."""

    source: str
    format: str
    settings: Mapping[str, str] = {}


RUNS = (
    Case("01-amz2018-junk/meta_Kettles.json", "amazon-2018"),
    Case("02-amz2023-hf/meta.jsonl", "amazon-2023"),
    Case("03-json-nan/m.jsonl", "amazon-2023"),
    Case("03-json-nan/m.jsonl", "amazon-2023", MIXED),
    Case("05-csv-cr/orders.csv", "orders"),
    Case("06-csv-huge-field", "orders"),
    Case("07e-german-thousands", "orders"),
    Case("07e-german-thousands", "orders", {"TWINVEC_INGEST__DECIMAL": ","}),
    Case("08-online-retail/online_retail.csv", "orders"),
    Case("08-online-retail/online_retail.csv", "orders", RETAIL),
    Case("09-float-ids", "orders"),
    *(Case(f"10-timestamps/t{number}", "orders") for number in range(11)),
    Case("10-timestamps/t7", "orders", {"TWINVEC_INGEST__TIME_FORMATS": '["%m/%d/%Y %H:%M"]'}),
    Case("11-instacart", "orders"),
    Case("11-instacart", "orders", {"TWINVEC_INGEST__COLUMNS": '{"title": "product_nam"}'}),
    Case("12-multilocale", "orders"),
    Case("14-wrong-format/meta2018.json", "amazon-2014"),
    Case("17-missing-words", "orders"),
    Case("24-amz2018-duplicates/meta.json", "amazon-2018"),
    Case("50-lost-zeros", "orders"),
    Case("57-prices", "orders"),
    Case("57-prices/meta.jsonl", "amazon-2023"),
)


def main(arguments: list[str]) -> None:
    """Run all cases and write the page."""
    cases, page = (
        Path(arguments[0]) if arguments else CASES,
        Path(arguments[1]) if len(arguments) > 1 else PAGE,
    )
    if not cases.is_dir():
        print(f"there are no cases at {cases}: nothing is written")
        return
    with tempfile.TemporaryDirectory() as home:
        ingests = [ingested(cases, case, Path(home)) for case in RUNS if (cases / case.source).exists()]
    columns = ("source", "format and settings", "exit", "what happens")
    pictures = list(decoded(cases / "20-images"))
    page.write_text(
        HEAD
        + markdown_table(columns, ingests)
        + "\nImages, decoded to 32 × 32:\n\n"
        + markdown_table(("file", "what happens"), pictures)
        + ("" if arguments else homes()),
        encoding="utf-8",
    )
    print(f"{len(ingests)} ingests and {len(pictures)} images: {page}")


def homes() -> str:
    """Return the part of the page on homes."""
    from benchmarks import home_cases

    with tempfile.TemporaryDirectory() as folder:
        rows = [
            (kind, done, outcome.replace("|", "\\|").replace("\n", "<br>"))
            for kind, done, outcome in home_cases.rows(Path(folder))
        ]
    return HOMES + markdown_table(("kind", "what was done", "what happens"), rows)


def ingested(cases: Path, case: Case, home: Path) -> tuple[str, str, str, str]:
    """Return the row of one ingest."""
    environment = {**os.environ, "TWINVEC_HOME": str(home), **case.settings}
    source = str(cases / case.source)
    result = CliRunner().invoke(app, ["ingest", source, "--format", case.format, "--json"], env=environment)
    given = "".join(f"<br>`{name}={value}`" for name, value in case.settings.items())
    said = told(json.loads(result.stdout)) if result.exit_code == 0 else errors(result.stderr)
    said = said.replace(f"{cases}/", "").replace("|", "\\|").replace("\n", "<br>")
    return f"`{case.source}`", f"`{case.format}`{given}", str(result.exit_code), said


def told(report: Mapping[str, Any]) -> str:
    """Return what an ingest kept, counted and warned of, as text."""
    tables, fields = report["tables"], report["fields"]["products"]
    lines = [
        ", ".join(f"{rows} {table}" for table, rows in tables.items() if rows),
        "with a value: " + ", ".join(f"{name} {count}" for name, count in fields.items()),
    ]
    if times := report["fields"].get("orders"):
        lines[1] += f", time of orders {times['time']}"
    for what in ("quarantined", "left_out", "lost"):
        counts = [f"{n} × {why}" for each in report[what].values() for why, n in each.items()]
        if counts:
            lines.append(f"{what.replace('_', ' ')}: {', '.join(counts)}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in report["warnings"])])


def errors(text: str) -> str:
    """Return the error of a command, without its progress; its examples shortened."""
    start = text.find("error: ")
    return "\n".join(line[:220] for line in text[max(start, 0) :].strip().splitlines())


def decoded(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield a row for each image: its values and those of its pixels, or why it is left out."""
    for path in sorted(folder.glob("*.*")):
        try:
            pixels = decode(path.read_bytes(), 32, 50_000_000)
        except ImageError as error:
            yield f"`{path.name}`", f"left out: {error}"
        else:
            seen = int((pixels != 255).any(axis=0).sum())
            yield (
                f"`{path.name}`",
                f"decoded: values {pixels.min()} to {pixels.max()}, {seen} of 1,024 pixels not white",
            )


if __name__ == "__main__":
    main(sys.argv[1:])
