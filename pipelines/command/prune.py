"""`twinvec prune`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.progress import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twinvec.releases.retention import Pruned
    from twinvec.releases.storage import Holding


def prune(
    keep_releases: Annotated[
        int | None,
        typer.Option(min=1, help="Newest releases that stay; retention.releases if not given."),
    ] = None,
    keep_versions: Annotated[
        int | None,
        typer.Option(min=1, help="Newest versions of each space that stay; retention.versions if not given."),
    ] = None,
    snapshots: Annotated[
        bool, typer.Option("--snapshots", help="Remove snapshots that nothing needs, too; never the newest.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove old releases, versions and transfers from all stores; what is kept, and what that was made from, stays.

    The live release stays, and the one that a rollback goes back to. Of what is removed, the registry keeps the rows,
    with metrics, lineage and history. Killed, it is finished by running it again.
    """
    workspace = open_workspace()
    set_here = {"releases": keep_releases, "versions": keep_versions}
    keep = workspace.settings.retention.model_copy(
        update={name: number for name, number in set_here.items() if number is not None}
    )
    with shown() as progress:
        progress("looking at what can be removed")
        from twinvec.releases import retention

        pruned = retention.prune(workspace, keep, snapshots, dry_run, progress.count)
    if as_json:
        print_json(_record(pruned, dry_run))
    else:
        _print(pruned, dry_run, snapshots)
    if pruned.left:
        raise typer.Exit(1)


def _record(pruned: Pruned, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "releases": [release.label for release in pruned.plan.releases],
        "versions": [version.name for version in pruned.plan.versions],
        "spare_snapshots": [snapshot.id for snapshot in pruned.plan.snapshots],
        "transfers": list(pruned.plan.transfers),
        "kept": pruned.plan.kept,
        "freed": [_holding(holding) for holding in pruned.taken],
        "bytes": sum(holding.size or 0 for holding in pruned.taken),
        "left": [{**_holding(left.holding), "why": left.why} for left in pruned.left],
    }


def _holding(holding: Holding) -> dict[str, object]:
    return {"store": holding.store, "what": holding.what, "of": holding.of, "bytes": holding.size}


def _print(pruned: Pruned, dry_run: bool, snapshots: bool) -> None:
    names = [*(each.label for each in pruned.plan.releases), *(each.name for each in pruned.plan.versions)]
    names += [f"transfer {name}" for name in pruned.plan.transfers]
    typer.echo(f"{'Would be removed' if dry_run else 'Removed'}: {', '.join(names) or 'nothing'}")
    print_table("Kept", ["what", "why"], list(pruned.plan.kept.items()))
    if pruned.taken:
        print_table(
            "Disk space that would be freed" if dry_run else "Disk space freed",
            ["store", "things", "MB", "of"],
            _by_store(pruned.taken),
        )
    if pruned.plan.snapshots and not snapshots:
        ids = ", ".join(snapshot.id for snapshot in pruned.plan.snapshots)
        typer.echo(f"Snapshots that nothing needs stay without --snapshots: {ids}")
    for left in pruned.left:
        typer.echo(f"left: {left.holding.what} of {left.holding.of}: {left.why}", err=True)


def _by_store(taken: Iterable[Holding]) -> list[tuple[object, ...]]:
    stores: dict[str, list[Holding]] = defaultdict(list)
    for holding in taken:
        stores[holding.store].append(holding)
    return [
        (
            store,
            len(held),
            _megabytes(held),
            ", ".join(dict.fromkeys(holding.of for holding in held)),
        )
        for store, held in [*stores.items(), ("all", [each for held in stores.values() for each in held])]
    ]


def _megabytes(held: list[Holding]) -> float | None:
    """Return the size in megabytes; None if it cannot be measured from here."""
    sizes = [holding.size for holding in held if holding.size is not None]
    return sum(sizes) / 1e6 if sizes else None
