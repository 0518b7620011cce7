"""`twinvec ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown

if TYPE_CHECKING:
    from twinvec.catalogue.ingest import IngestReport


def ingest(
    source: Annotated[Path, typer.Argument(help="File or folder, as the format requires.")],
    format_: Annotated[
        str,
        typer.Option("--format", "-f", help="Format of the source. {loaders}"),
    ],
    as_json: AsJson = False,
) -> None:
    """Make a snapshot of a catalogue and its behaviour logs."""
    workspace = open_workspace()
    with shown() as progress:
        from twinvec.catalogue import ingest as catalogue

        report = catalogue.ingest(source, format_, workspace.settings, workspace.engine, progress)
    print_json(_record(report)) if as_json else _print(report)


def _record(report: IngestReport) -> dict[str, object]:
    snapshot = report.snapshot
    return {
        "snapshot": snapshot.id,
        "new": report.new,
        "source": report.source,
        "format": report.format,
        "rows": report.rows,
        "tables": snapshot.tables,
        "quarantined": report.quarantined,
    }


def _print(report: IngestReport) -> None:
    state = "new" if report.new else "known already"
    tables = sorted(report.rows.keys() | report.snapshot.tables.keys())
    print_table(
        f"Snapshot {report.snapshot.id} ({state}) of {report.source}",
        ["table", "rows read", "quarantined", "rows kept"],
        [
            (
                table,
                report.rows.get(table),
                sum(report.quarantined.get(table, {}).values()),
                report.snapshot.tables.get(table),
            )
            for table in tables
        ],
    )
    reasons = [
        (table, reason, count)
        for table, counts in report.quarantined.items()
        for reason, count in counts.items()
    ]
    if reasons:
        print_table(
            f"Quarantined; the rows are in {report.snapshot.path}", ["table", "reason", "rows"], reasons
        )
