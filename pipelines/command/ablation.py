"""`twinvec ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, markdown_table, print_json, print_table
from pipelines.command.progress import shown
from pipelines.command.training import SnapshotId


def ablate(
    subject: Annotated[
        str,
        typer.Argument(
            help="Table of comparison. {comparisons} Other packages register theirs as entry points of the group "
            "`twinvec.comparisons`."
        ),
    ],
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            help="Judge encoders by `coviews` found with their vectors, or by `related` products found with the "
            "whole model. Default: coviews for text, related for image.",
        ),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--scheme",
            "--row",
            help="Row of the table; may be repeated. Default: the rows of the paper's table.",
        ),
    ] = None,
    snapshot: SnapshotId = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the table to this file, in Markdown.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the ways of training an encoder, or our models with each other and with the usual baselines.

    As the paper's Tables 6 (text), 7 (image), 2 and 3 (related), 4 and 5 (links) and 8 (alignment) do.
    """
    from pipelines.comparisons.registered import find_comparison

    comparison = find_comparison(subject)
    by = by or comparison.judged_by[0]
    if by not in comparison.judged_by:
        raise typer.BadParameter(
            f"{subject} is not judged by {by}, but by {' or '.join(comparison.judged_by)}", param_hint="--by"
        )
    workspace = open_workspace()
    with shown() as progress:
        chosen = workspace.snapshot(snapshot)
        from pipelines.comparisons.comparison import Request
        from pipelines.comparisons.runner import lay_out, run

        request = Request(workspace, chosen, progress, by)
        table = lay_out(comparison, request, run(comparison, request, rows))
    if output is not None:
        from twinvec.files import write_text

        text = markdown_table(table.headings, table.cells)
        write_text(output, f"{table.title}, on snapshot `{chosen.id}`.\n\n{text}")
    print_json(table.rows) if as_json else print_table(table.title, table.headings, table.cells)
