"""Checks of Feast: a view of each version and snapshot, a service of each release, the live vectors online."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from registry import operations
from registry.database import transaction
from registry.models import WHOLE, Release, State, Version
from registry.snapshots import first_time
from twinvec.doctor.finding import Finding
from twinvec.releases.lookup import release_lineage
from twinvec.spaces import release_names
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView

STORE = "Feast"
APPLY = "twinvec doctor --fix registers it anew from the registry"


def check_views(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Check that every usable version with rows has a view, with its manifest and over its files."""
    from twinvec.features.definitions import scalars_name

    views = {view.name: view for view in workspace.features.list_feature_views()}
    with transaction(workspace.engine) as session:
        versions = [each for each in operations.versions(session, [State.READY]) if each.has_view]
    for version in versions:
        fault = _fault(views.get(version.view), Path(version.path) / "vectors")
        if fault is None and views[version.view].tags.get("manifest") != version.digest:
            fault = f"is of manifest {views[version.view].tags.get('manifest')}, not {version.digest}"
        if fault is not None:
            exists = (Path(version.path) / "vectors").is_dir()
            fix = partial(_apply_version, workspace, version) if exists else None
            yield Finding(
                STORE, f"view {version.view}", fault, APPLY if exists else "mend its files first", fix
            )
    for snapshot in {version.snapshot_id: version.snapshot for version in versions}.values():
        name, folder = scalars_name(snapshot.id), workspace.settings.paths.product_scalars(snapshot.id)
        fault = _fault(views.get(name), folder)
        if fault is None and not folder.is_dir():
            fault = f"has no files in {folder}"
        if fault is not None:
            exists = Path(snapshot.path, "products.parquet").is_file()
            fix = partial(_apply_snapshot, workspace, snapshot) if exists else None
            yield Finding(STORE, f"view {name}", fault, APPLY if exists else "mend the snapshot first", fix)
    yield from _history(workspace, views)


def _history(workspace: Workspace, views: Mapping[str, FeatureView]) -> Iterator[Finding]:
    """Check the history of products, if there is one: homes of earlier versions have none before their next ingest."""
    from twinvec.features.definitions import HISTORY
    from twinvec.features.history import is_written

    folder = workspace.settings.paths.products_history
    if not folder.is_dir():
        return
    fault = _fault(views.get(HISTORY), folder)
    if fault is None and not is_written(workspace.engine, workspace.settings):
        fault = "lacks the latest snapshots"
    if fault is not None:
        yield Finding(STORE, f"view {HISTORY}", fault, APPLY, partial(_apply_history, workspace))


def check_services(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Check that every whole release has a service, and that the bare name is the live one's, online."""
    services = {service.name: service for service in workspace.features.list_feature_services()}
    for name in release_names(workspace.settings):
        yield from _services(workspace, services, name)


def _services(workspace: Workspace, services: Mapping[str, FeatureService], name: str) -> Iterator[Finding]:
    with transaction(workspace.engine) as session:
        releases = [each for each in operations.releases(session, name) if each.state in WHOLE]
    lineages = {release.id: release_lineage(workspace, release) for release in releases}
    for release in releases:
        names = [release.collection, name] if release.state == State.LIVE else [release.collection]
        for each in names:
            fault = _service_fault(services.get(each), release, lineages[release.id])
            if fault is not None:
                fix = partial(_apply_release, workspace, release, lineages[release.id])
                yield Finding(STORE, f"service {each}", fault, APPLY, fix)
    live = next((release for release in releases if release.state == State.LIVE), None)
    if live is None and name in services:
        yield Finding(
            STORE,
            f"service {name}",
            "is there, and no release is live",
            "twinvec doctor --fix deletes it; twinvec promote makes one live",
            partial(workspace.features.delete_feature_service, name),
        )
    # Releases that have been live were written to the online store, and stay there as long as they are kept.
    been_live = [each for each in releases if each.promoted_at is not None and each.collection in services]
    if been_live and workspace.settings.feast.materialize:
        views = {
            projection.name: release.label
            for release in sorted(been_live, key=lambda each: each.state == State.LIVE)
            for projection in services[release.collection].feature_view_projections
        }
        yield from _online(workspace, views)


def _fault(view: FeatureView | None, folder: Path) -> str | None:
    if view is None:
        return "is not there"
    path = getattr(view.batch_source, "path", "")
    return None if Path(path) == folder else f"is over {path}, not {folder}"


def _service_fault(
    service: FeatureService | None, release: Release, made_from: Sequence[Version]
) -> str | None:
    from twinvec.features.definitions import product_versions, scalars_name

    if service is None:
        return "is not there"
    if service.tags.get("collection") != release.collection:
        return f"is that of {service.tags.get('collection')}, not of {release.collection}"
    expected = {version.view for version in product_versions(made_from)}
    views = {projection.name for projection in service.feature_view_projections}
    if views - {scalars_name(release.version.snapshot_id)} != expected:
        return f"has the views {', '.join(sorted(views))}, not {', '.join(sorted(expected))}"
    return None


def _online(workspace: Workspace, served: Mapping[str, str]) -> Iterator[Finding]:
    """Read a row of each view of a release, view → release, from the online store, as readers do."""
    store = workspace.features
    views: Mapping[str, FeatureView] = {view.name: view for view in store.list_feature_views()}
    for name, label in served.items():
        view = views.get(name)
        if view is None or not Path(getattr(view.batch_source, "path", "")).is_dir():
            continue  # said elsewhere
        key, value = _first_row(view)
        field = next(iter(view.features)).name
        value_online = store.get_online_features([f"{name}:{field}"], [{key: value}]).to_dict()[field][0]
        if value_online is None:
            yield Finding(
                "online store",
                f"view {name}",
                f"has no row of {value}, and {label} serves it",
                "twinvec doctor --fix writes it again",
                partial(_write_online, workspace, view),
            )


def _first_row(view: FeatureView) -> tuple[str, str]:
    import pyarrow.parquet as pq

    key = view.join_keys[0]
    part = sorted(Path(getattr(view.batch_source, "path", "")).glob("*.parquet"))[0]
    with pq.ParquetFile(part) as file:
        return key, next(file.iter_batches(1, columns=[key]))[key][0].as_py()


def _apply_version(workspace: Workspace, version: Version) -> None:
    from twinvec.features.store import apply_version, find_view

    registered = find_view(workspace.features, version.view)
    if registered is not None and registered.tags.get("manifest") != version.digest:
        workspace.features.delete_feature_view(version.view)
    apply_version(workspace.features, version)


def _apply_snapshot(workspace: Workspace, snapshot: object) -> None:
    from registry.models import Snapshot
    from twinvec.features.store import apply_snapshot

    assert isinstance(snapshot, Snapshot)
    with transaction(workspace.engine) as session:
        as_of = first_time(session, snapshot)
    apply_snapshot(workspace.features, workspace.settings, snapshot, as_of)


def _apply_history(workspace: Workspace) -> None:
    from twinvec.features.store import apply_history

    apply_history(workspace.features, workspace.settings, workspace.engine)


def _apply_release(workspace: Workspace, release: Release, made_from: Sequence[Version]) -> None:
    from twinvec.features.store import apply_release

    apply_release(workspace.features, release, made_from, live=release.state == State.LIVE)


def _write_online(workspace: Workspace, view: FeatureView) -> None:
    from twinvec.features.store import write_online

    write_online(workspace.features, view)
