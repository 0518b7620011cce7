"""`twinvec status` and `twinvec settings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from pipelines.command.app import open_workspace
from pipelines.command.output import AsJson, print_json, print_table
from pipelines.command.releases import ReleaseName, record, settle
from twinvec.errors import StoreError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from registry.models import Version
    from twinvec.workspace import Workspace


def status(name: ReleaseName = None, as_json: AsJson = False) -> None:
    """Show snapshots, versions and releases: what is live, and what is out of date."""
    from registry import operations
    from registry.database import transaction
    from registry.snapshots import all_snapshots, latest_snapshot, snapshot_times
    from twinvec import dag
    from twinvec.releases.lookup import all_releases
    from twinvec.spaces import release_names, served_as

    workspace = open_workspace()
    try:
        settle(workspace)
    except StoreError as error:  # The rest of the status is shown all the same.
        typer.echo(f"warning: {error}", err=True)
    with transaction(workspace.engine) as session:
        snapshots = all_snapshots(session)
        latest = latest_snapshot(session)
        versions = operations.versions(session)
        times = snapshot_times(session)
    if name is not None:
        served_as(workspace.settings, name)  # refuses a name that nothing is released under
    names = (name,) if name is not None else release_names(workspace.settings)
    releases = [release for each in names for release in all_releases(workspace, each)]
    stages = dag.standing(workspace, workspace.snapshot(latest.id)) if latest else []
    report: dict[str, Any] = {
        "home": workspace.settings.home,
        "snapshots": [
            {
                "snapshot": snapshot.id,
                "latest": latest is not None and snapshot.id == latest.id,
                "products": snapshot.products,
                "format": snapshot.format,
                "source": snapshot.source,
                "as_of": [each.as_of for each in times if each.snapshot_id == snapshot.id],
                "created_at": snapshot.created_at,
                "ingested_at": snapshot.ingested_at,
            }
            for snapshot in snapshots
        ],
        "stages": [
            {
                "space": stage.space,
                "version": stage.version and stage.version.name,
                "stale": stage.stale,
                "reason": stage.reason,
            }
            for stage in stages
        ],
        "versions": [_version(version) for version in versions],
        "releases": [record(release) for release in releases],
        "live": next(
            (
                release.collection
                for release in releases
                if release.state == "live" and release.name == (name or workspace.settings.release)
            ),
            None,
        ),
    }
    print_json(report) if as_json else _print(report, workspace)


def settings(as_json: AsJson = False) -> None:
    """Show every setting with its effective value and its description. Secrets are masked."""
    from twinvec.settings import load_settings

    effective = load_settings()
    rows = list(_settings(type(effective), effective.masked()))
    if as_json:
        print_json({name: {"value": value, "description": text} for name, value, text in rows})
        return
    # As text: a setting is shown as it would be written, without a thousands separator.
    print_table(
        "Settings, from twinvec.toml and TWINVEC_… variables",
        ["setting", "value", "meaning"],
        [(name, None if value is None else str(value), text) for name, value, text in rows],
    )


def _settings(
    model: type[BaseModel], values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, object, str]]:
    for name, field in model.model_fields.items():
        group: Any = field.annotation
        if hasattr(group, "model_fields"):
            yield from _settings(group, values[name], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", values[name], field.description or ""


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.name,
        "state": version.state,
        "snapshot": version.snapshot_id,
        "rows": version.rows or None,  # a graph has none
        "dimension": version.dimension,
        "inputs": [parent.name for parent in version.inputs],
        "run": version.run_id,
        "metrics": version.metrics,
        "error": version.error,
        "created_at": version.created_at,
    }


def _print(report: Mapping[str, Any], workspace: Workspace) -> None:
    columns = {
        "snapshots": ["snapshot", "latest", "products", "format", "source", "as_of"],
        "stages": ["space", "version", "stale", "reason"],
        "versions": ["version", "state", "snapshot", "rows", "dimension", "created_at"],
        "releases": ["release", "state", "version", "snapshot", "collection", "promoted_at"],
    }
    live = [row["release"] for row in report["releases"] if row["state"] == "live"]
    titles = {
        "snapshots": f"Snapshots in {workspace.settings.home}",
        "stages": "Stages, for the latest snapshot",
        "versions": "Versions",
        "releases": f"Releases (live: {', '.join(live) or 'none'})",
    }
    for part, names in columns.items():
        rows = [[_shown(row[name]) for name in names] for row in report[part]]
        print_table(titles[part] if rows else f"{titles[part]}: none yet", names, rows)


def _shown(value: object) -> object:
    """Return the value of a cell: of several times the last one."""
    return value[-1] if isinstance(value, list) and value else value
