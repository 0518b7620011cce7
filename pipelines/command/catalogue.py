"""`twinvec ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from twinvec.text import printable

if TYPE_CHECKING:
    from twinvec.catalogue.ingest import IngestReport


def ingest(
    source: Annotated[Path, typer.Argument(help="File or folder, as the format requires.")],
    format_: Annotated[
        str,
        typer.Option("--format", "-f", help="Format of the source. {loaders}"),
    ],
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="Time that the data are of, the event_timestamp of their features: 2026-01-31, 2026-01-31T18:30 "
            "(both UTC) or 2026-01-31T18:30+01:00. The present if not given.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a snapshot of a catalogue and its behaviour logs."""
    workspace = open_workspace()
    with shown() as progress:
        from twinvec.ingesting import ingest_into

        report = ingest_into(workspace, source, format_, as_of, progress)
    print_json(_record(report)) if as_json else _print(report)
    for warning in report.warnings:
        typer.echo(f"warning: {printable(warning)}", err=True)


def _record(report: IngestReport) -> dict[str, object]:
    snapshot = report.snapshot
    return {
        "snapshot": snapshot.id,
        "new": report.new,
        "as_of": report.as_of,
        "source": report.source,
        "format": report.format,
        "rows": report.rows,
        "tables": snapshot.tables,
        "quarantined": report.quarantined,
        "left_out": report.left_out,
        "lost": report.lost,
        "fields": report.fields,
        "unread": report.unread,
        "edition": report.edition,
        "warnings": report.warnings,
    }


def _print(report: IngestReport) -> None:
    state = "new" if report.new else "known already"
    tables = sorted(report.rows.keys() | report.snapshot.tables.keys())
    print_table(
        f"Snapshot {report.snapshot.id} ({state}) of {report.source}, as of {report.as_of:%Y-%m-%d %H:%M:%S} UTC",
        ["table", "rows read", "quarantined", "left out", "rows kept"],
        [
            (
                table,
                report.rows.get(table),
                sum(report.quarantined.get(table, {}).values()),
                sum(report.left_out.get(table, {}).values()),
                report.snapshot.tables.get(table),
            )
            for table in tables
        ],
    )
    products = report.snapshot.tables["products"]
    print_table(
        "Products with a value",
        ["field", "products", "share"],
        [(name, count, f"{count / products:.0%}") for name, count in report.fields["products"].items()],
    )
    for title, counts in (
        ("Quarantined: rows that break the contract", report.quarantined),
        ("Left out: no errors of the source", report.left_out),
        ("Lost: values that cannot be used, of rows that were kept", report.lost),
    ):
        reasons = [(table, why, count) for table, each in counts.items() for why, count in each.items()]
        if reasons:
            print_table(title, ["table", "reason", "rows"], reasons)
    if any(map(len, (*report.quarantined.values(), *report.left_out.values()))):
        print_table(f"Such rows are in {report.snapshot.path / 'quarantine.parquet'}", [], [])
    if report.edition is not None:
        print_table(f"Edition by its keys: {report.edition}", [], [])
    if report.unread:
        print_table(f"Nothing was read from: {', '.join(report.unread)}", [], [])
