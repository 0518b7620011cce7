"""`twinvec update`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown
from pipelines.command.releases import ReleaseName

if TYPE_CHECKING:
    from pipelines.update.report import Report


def update(
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", help="The snapshot to go to; the latest if not given."),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compute every vector, not only what changes reach.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; change nothing.")] = False,
    name: ReleaseName = None,
    as_json: AsJson = False,
) -> None:
    """Bring the live release to a later snapshot with the models it has: nothing is trained.

    New and changed products are embedded, delisted ones leave; all else is taken over. Killed at any point, it is
    finished by running it again.
    """
    workspace = open_workspace()
    with shown() as progress:
        from pipelines.update.pipeline import update as bring

        report = bring(workspace, workspace.snapshot(snapshot), full, dry_run, progress, progress.count, name)
    if as_json:
        print_json(report)
        return
    title = f"{report.release} would go" if dry_run else f"{report.release} is live, and went"
    print_table(f"{title} from snapshot {report.before} to {report.snapshot}", ["", "value"], _rows(report))
    for reason in report.advice:
        typer.echo(f"training is due: {reason}")
    if report.advice:
        typer.echo("`twinvec run` trains, publishes and promotes")


def _rows(report: Report) -> Iterator[tuple[str, object]]:
    changes, stale = report.changes, report.staleness
    yield "products that are new", changes.new
    yield "of a category that is new", changes.new_category
    yield "changed", changes.changed
    yield "delisted", changes.delisted
    yield "unchanged", changes.unchanged
    yield "pairs that are new", changes.new_pairs
    yield "pairs that are gone", changes.gone_pairs
    if report.version is not None:
        yield "texts encoded", report.encoded_texts
        yield "images encoded", report.encoded_images
        yield "aligned vectors computed", report.aligned
        yield "related vectors computed", report.affected
        yield "related vectors taken over", report.taken_over
    yield f"days since {stale.model} was trained", round(stale.age_days, 2)
    yield "share of products since", stale.untrained
    yield "share of pairs since", stale.new_pairs
    yield "MRR@10 at training", stale.trained_mrr_at_10
    if stale.held_out_edges is not None:
        yield f"MRR@10 on {stale.held_out_edges:,} held-out edges since", stale.mrr_at_10
