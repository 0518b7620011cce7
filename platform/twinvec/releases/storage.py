"""What each store holds of versions, releases and snapshots, how much that is, and how it is taken away.

Each holding is taken away in steps that can be repeated, and that begin with the data and end with the name under
which the next call finds it: so what a kill leaves is found and taken away again.
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
    """One thing in one store."""

    store: str
    """`Feast`, `online store`, `Qdrant`, `MLflow` or `files`."""
    what: str
    """Such as `view text__v3`."""
    of: str
    """The version, release or snapshot that it belongs to, such as `text@v3`."""
    size: int | None
    """Bytes on the disk; None if it is kept where that cannot be seen from here."""
    remove: Callable[[], None]
    """Takes it away.

    Raises:
        TwinvecError: if the store refuses, such as for a collection that somebody reads.
    """


def holdings(
    workspace: Workspace,
    releases: Iterable[Release],
    versions: Iterable[Version],
    snapshots: Iterable[Snapshot] = (),
) -> list[Holding]:
    """All that the stores hold of these, in an order in which nothing names what is gone already.

    Services before their views, views before their files, and what is largest last.
    """
    releases, versions, snapshots = list(releases), list(versions), list(snapshots)
    if not (releases or versions or snapshots):
        return []
    return [
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
    wanted = {version.view: version.name for version in versions}
    wanted |= {scalars_name(snapshot.id): f"snapshot {snapshot.id}" for snapshot in snapshots}
    found = [
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
    return found + [
        Holding(
            "online store",
            f"view {name} and its rows",
            of,
            removal.online_size(store, views[name]),
            partial(removal.remove_view, store, views[name]),
        )
        for name, of in wanted.items()
        if name in views
    ]


def _collections(workspace: Workspace, releases: Sequence[Release]) -> list[Holding]:
    there = set(workspace.index.collections()) if releases else set()
    return [
        Holding(
            "Qdrant",
            f"collection {release.collection}",
            release.label,
            collection_size(workspace, release.collection),
            partial(workspace.index.drop, release.collection),
        )
        for release in releases
        if release.collection in there
    ]


def collection_size(workspace: Workspace, collection: str) -> int | None:
    """Bytes of a collection on this disk; None if a server has it."""
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
    """Those of their models that other versions have, too, or that one in the making may find and take."""
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
    found = [(name, folder) for name, folder in places if folder.is_dir()]
    places += [(release.label, paths.qdrant / release.collection) for release in releases]
    # What was hidden for being deleted, or not yet whole, when a process was killed.
    found += [
        (name, hidden)
        for name, folder in places
        for hidden in folder.parent.glob(f".{folder.name}.{'[0-9a-f]' * 32}")
    ]
    return [
        Holding("files", str(folder), name, size_of(folder), partial(remove_folder, folder, paths.home))
        for name, folder in found
    ]


def remove_folder(folder: Path, home: Path) -> None:
    """Delete a folder of the home, which goes in one step for whoever looks for it by its name.

    Raises:
        StateError: if it is elsewhere: another home may have been copied, with paths into the first.
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
    """Bytes that a file, or all files of a folder, take on the disk."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(512 * each.stat().st_blocks for each in files)
