"""Data that each store holds of versions, releases and snapshots: its size, and how to remove it.

Each holding is removed in steps that can be repeated. They begin with the data and end with the name, so that the next
call finds and removes what a killed process left.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from registry import operations
from registry.database import transaction
from registry.models import Release, Snapshot, State, Version
from twinvec.errors import StateError
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Holding:
    """One item in one store."""

    store: str
    """`Feast`, `online store`, `Qdrant`, `MLflow` or `files`."""
    what: str
    """Item, such as `view text__v3`."""
    of: str
    """Version, release or snapshot that it belongs to, such as `text@v3`."""
    size: int | None
    """Bytes on disk; None if the store is on another machine."""
    remove: Callable[[], None]
    """Removes it.

    Raises:
        TwinvecError: if the store refuses, such as for a collection that somebody reads.
    """


def holdings(
    workspace: Workspace,
    releases: Iterable[Release],
    versions: Iterable[Version],
    snapshots: Iterable[Snapshot] = (),
    transfers: Sequence[str] = (),
) -> list[Holding]:
    """Return all that the stores hold of these rows, in an order of removal in which no name outlives its data.

    Services come before their views, views before their files, and the largest items last.
    """
    releases, versions, snapshots = list(releases), list(versions), list(snapshots)
    paths = workspace.settings.paths
    lent = [
        Holding(
            "files",
            str(folder),
            f"transfer {name}",
            size_of(folder),
            partial(remove_folder, folder, paths.home),
        )
        for name in transfers
        if (folder := paths.transfers / name).is_dir()
    ]
    if not (releases or versions or snapshots):
        return lent
    return [
        *lent,
        *_features(workspace, releases, versions, snapshots),
        *_collections(workspace, releases),
        *_models(workspace, versions),
        *_folders(workspace, releases, versions, snapshots),
    ]


def _features(
    workspace: Workspace,
    releases: Sequence[Release],
    versions: Sequence[Version],
    snapshots: Sequence[Snapshot],
) -> list[Holding]:
    from twinvec.features import removal
    from twinvec.features.definitions import scalars_name

    store = workspace.features
    services = {service.name for service in store.list_feature_services()}
    views = {view.name: view for view in store.list_feature_views()}
    names = {version.view: version.name for version in versions}
    names |= {scalars_name(snapshot.id): f"snapshot {snapshot.id}" for snapshot in snapshots}
    held = [
        Holding(
            "Feast",
            f"service {release.collection}",
            release.label,
            0,
            partial(store.delete_feature_service, release.collection),
        )
        for release in releases
        if release.collection in services
    ]
    return held + [
        Holding(
            "online store",
            f"view {name} and its rows",
            of,
            removal.online_size(store, views[name]),
            partial(removal.remove_view, store, views[name]),
        )
        for name, of in names.items()
        if name in views
    ]


def _collections(workspace: Workspace, releases: Sequence[Release]) -> list[Holding]:
    existing = set(workspace.index.collections()) if releases else set()
    return [
        Holding(
            "Qdrant",
            f"collection {release.collection}",
            release.label,
            collection_size(workspace, release.collection),
            partial(workspace.index.drop, release.collection),
        )
        for release in releases
        if release.collection in existing
    ]


def collection_size(workspace: Workspace, collection: str) -> int | None:
    """Return the bytes of a collection on this disk; None if a Qdrant server holds it."""
    if workspace.settings.qdrant.url is not None:
        return None
    return size_of(workspace.settings.paths.qdrant / collection)


def _models(workspace: Workspace, versions: Sequence[Version]) -> list[Holding]:
    removable = [version for version in versions if version.model_uri is not None]
    shared = _models_in_use(workspace, removable)
    by_uri = {
        str(version.model_uri): version for version in removable if str(version.model_uri) not in shared
    }
    if not by_uri:
        return []
    from twinvec.tracking import find_models, remove_model

    return [
        Holding(
            "MLflow",
            f"model {uri}",
            by_uri[uri].name,
            size_of(model.folder) if model.folder is not None else None,
            partial(remove_model, workspace.settings, model),
        )
        for uri, model in find_models(workspace.settings, by_uri.keys()).items()
    ]


def _models_in_use(workspace: Workspace, removable: Sequence[Version]) -> set[str]:
    """Return the models that other versions share, or that a version in the making may reuse."""
    ids = {version.id for version in removable}
    with transaction(workspace.engine) as session:
        others = [
            version
            for version in operations.versions(session, [State.READY, State.BUILDING])
            if version.id not in ids
        ]
    making = {version.space for version in others if version.state == State.BUILDING}
    return {str(version.model_uri) for version in others} | {
        str(version.model_uri) for version in removable if version.space in making
    }


def _folders(
    workspace: Workspace,
    releases: Sequence[Release],
    versions: Sequence[Version],
    snapshots: Sequence[Snapshot],
) -> list[Holding]:
    paths = workspace.settings.paths
    places = [(version.name, Path(version.path)) for version in versions]
    for snapshot in snapshots:
        name = f"snapshot {snapshot.id}"
        places += [(name, paths.product_scalars(snapshot.id)), (name, Path(snapshot.path))]
    existing = [(name, folder) for name, folder in places if folder.is_dir()]
    places += [(release.label, paths.qdrant / release.collection) for release in releases]
    # Hidden folders of a killed process: being deleted, or not yet complete.
    existing += [
        (name, hidden)
        for name, folder in places
        for hidden in folder.parent.glob(f".{folder.name}.{'[0-9a-f]' * 32}")
    ]
    return [
        Holding("files", str(folder), name, size_of(folder), partial(remove_folder, folder, paths.home))
        for name, folder in existing
    ]


def remove_folder(folder: Path, home: Path) -> None:
    """Delete a folder of the home. It is renamed first, so that its name disappears in one step.

    Raises:
        StateError: If it is outside the home, as the paths of a copied home may be.
    """
    if not folder.resolve().is_relative_to(home.resolve()):
        raise StateError(
            f"{folder} is not in the home {home}", "if nothing else needs it, delete it yourself: `rm -r`"
        )
    hidden = folder
    if not folder.name.startswith("."):
        hidden = folder.rename(folder.with_name(f".{folder.name}.{uuid.uuid4().hex}"))
    if hidden.exists():
        shutil.rmtree(hidden)


def size_of(path: Path) -> int:
    """Return the bytes that a file, or all files of a folder, take on the disk."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(512 * file.stat().st_blocks for file in files)
