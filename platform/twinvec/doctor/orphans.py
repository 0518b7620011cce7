"""Checks for orphans: data without a row in the registry, or whose row says removed or failed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from registry import operations
from registry.database import transaction
from registry.models import State
from registry.snapshots import all_snapshots
from twinvec.doctor.finding import Finding
from twinvec.paths import HomePaths
from twinvec.spaces import release_names
from twinvec.workspace import Workspace

VERSION = re.compile(r"v(\d+)")
VIEW = re.compile(r"([a-z_]+)__v(\d+)")
SCALARS = re.compile(r"products__([0-9a-f]{16})")
SNAPSHOT = re.compile(r"[0-9a-f]{16}")


def check_leftovers(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Find the data of versions and releases that were removed, or failed."""
    from twinvec.releases.retention import leftovers

    for holding in leftovers(workspace):
        size = "" if holding.size is None else f" ({holding.size / 1e6:.1f} MB)"
        yield Finding(
            holding.store,
            holding.what,
            f"is left of {holding.of}, which was removed or failed{size}",
            "twinvec doctor --fix deletes it, as does twinvec prune",
            holding.remove,
        )


def check_collections(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Find collections that are named like releases and have no row."""
    with transaction(workspace.engine) as session:
        collections = {
            name: {release.collection for release in operations.releases(session, name)}
            for name in release_names(workspace.settings)
        }
    for collection in workspace.index.collections():
        name, _, number = collection.rpartition("__")
        if name not in collections or not VERSION.fullmatch(number) or collection in collections[name]:
            continue
        # On a server, it may be that of another registry; and without any release, this may be the wrong one.
        url = workspace.settings.qdrant.url
        ours = (
            url is None and bool(collections[name]) and collection not in workspace.index.aliases().values()
        )
        yield Finding(
            "Qdrant",
            f"collection {collection}",
            "is of no release in the registry",
            "twinvec doctor --fix deletes it; publishing its version makes it again"
            if ours
            else "see that registry.url is right"
            + (f"; then: curl -X DELETE {url}/collections/{collection}" if url else ""),
            partial(workspace.index.drop, collection) if ours else None,
        )


def check_features(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Find views of versions and services of releases that have no row."""
    store, names = workspace.features, release_names(workspace.settings)
    with transaction(workspace.engine) as session:
        versions = operations.versions(session)
        snapshots = {snapshot.id for snapshot in all_snapshots(session)}
        releases = {release.collection for name in names for release in operations.releases(session, name)}
    if not versions:
        return  # this may be the wrong registry
    views = {version.view for version in versions}
    for view in store.list_feature_views():
        scalars = SCALARS.fullmatch(view.name)
        unknown = scalars[1] not in snapshots if scalars else view.name not in views
        if unknown and (scalars or VIEW.fullmatch(view.name)):
            yield Finding(
                "Feast",
                f"view {view.name}",
                "is of no version or snapshot in the registry",
                "twinvec doctor --fix deletes it, with its rows online",
                partial(_remove_view, workspace, view.name),
            )
    for service in store.list_feature_services():
        name, _, number = service.name.rpartition("__")
        if name in names and VERSION.fullmatch(number) and service.name not in releases:
            yield Finding(
                "Feast",
                f"service {service.name}",
                "is of no release in the registry",
                "twinvec doctor --fix deletes it",
                partial(store.delete_feature_service, service.name),
            )


def check_folders(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Find folders of versions and snapshots without a row, and checkpoints of finished versions."""
    paths = workspace.settings.paths
    with transaction(workspace.engine) as session:
        versions = operations.versions(session)
        snapshots = {snapshot.id for snapshot in all_snapshots(session)}
    named = {f"{version.space}/v{version.number}" for version in versions}
    for folder in sorted(paths.versions.glob("*/*")):
        scalars = folder.parent.name == "products" and SNAPSHOT.fullmatch(folder.name)
        if scalars and folder.name in snapshots:
            continue
        if scalars or (VERSION.fullmatch(folder.name) and f"{folder.parent.name}/{folder.name}" not in named):
            yield _aside(paths, folder, "version")
    for folder in sorted(paths.snapshots.glob("*")):
        if SNAPSHOT.fullmatch(folder.name) and folder.name not in snapshots:
            yield _aside(paths, folder, "snapshot")
    done = {f"{each.space}-{each.fingerprint}": each for each in versions if each.state == State.READY}
    making = {version.space for version in versions if version.state == State.BUILDING}
    for folder in sorted(paths.checkpoints.glob("*")):
        version = done.get(folder.name)
        if version is not None and version.space not in making:
            yield Finding(
                "files",
                str(folder),
                f"has checkpoints of {version.name}, which is ready",
                f"rm -r {folder}",
                partial(_delete, folder, paths.home),
            )


def _aside(paths: HomePaths, folder: Path, what: str) -> Finding:
    return Finding(
        "files",
        str(folder),
        f"is of no {what} in the registry",
        f"see that registry.url is right; twinvec doctor --fix moves it into {paths.orphans}, then delete it",
        partial(_move_aside, paths, folder),
    )


def _move_aside(paths: HomePaths, folder: Path) -> None:
    # Not deleted: what no row names cannot be made again, and may be another registry's.
    target = paths.orphans / folder.relative_to(paths.home)
    while target.exists():
        target = target.with_name(f"{target.name}_again")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)


def _remove_view(workspace: Workspace, name: str) -> None:
    from twinvec.features.removal import remove_view

    remove_view(workspace.features, workspace.features.get_feature_view(name))


def _delete(folder: Path, home: Path) -> None:
    from twinvec.releases.storage import remove_folder

    remove_folder(folder, home)
