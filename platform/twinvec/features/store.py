"""Feast's store: open it, register views and services, and write a release to the online store."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import ibis
import pyarrow.parquet as pq
from feast import FeatureService, FeatureStore, FeatureView, FileSource
from feast.errors import FeastObjectNotFoundException
from sqlalchemy import Engine

import registry
from registry.models import Release, Snapshot, Version
from twinvec import files
from twinvec.columns import PRODUCT_ID
from twinvec.errors import NotFoundError, SettingsError, StateError
from twinvec.features.definitions import (
    entities,
    history_view,
    product_versions,
    release_services,
    released_entity,
    scalars_name,
    scalars_view,
    version_view,
)
from twinvec.features.history import write_history
from twinvec.features.scalars import time_of_scalars, write_scalars
from twinvec.place import ensure_place
from twinvec.settings import Settings

CONFIG = "feature_store.yaml"
# Without definitions, `feast apply` in the home would delete everything that is registered.
DEFINITIONS = '''"""Objects that `feast apply` registers in this home. Twinvec writes this file."""

from pathlib import Path

from twinvec.features.repository import home_objects

objects = home_objects(Path(__file__).parent.absolute())
globals().update({f"{type(each).__name__}_{each.name}": each for each in objects})
del objects
'''
# Feast imports every Python file below its folder. The only one of ours is that above.
IGNORED = "*/\n"
ASOF = "twinvec.features.asof.AsofDuckDBOfflineStore"
ONLINE_BATCH = 10_000


def close_duckdb() -> None:
    """Close the DuckDB connection through which Feast reads, if there is one; the next read opens another.

    It is ibis' default backend, which whoever else uses ibis in this process shares. The command calls this at its
    end, since DuckDB complains at length on stderr of a connection that is open when Python ends.
    """
    if ibis.options.default_backend is not None:
        ibis.options.default_backend.disconnect()
        ibis.options.default_backend = None


def open_store(settings: Settings) -> FeatureStore:
    """Open the feature store of the home, as `feast.FeatureStore(repo_path=<home>)` does.

    The configuration of `feature_repo/` (or the one named in the settings) is copied to the home with the
    home's path written in, so that a colleague needs no environment variable of Twinvec's. Other variables,
    passwords among them, stay variables in the copy. Definitions beside it let `feast apply` in the home register the
    same objects as in `feature_repo/`. That copy names Feast's own offline store in the place of
    ours, so that it opens where Twinvec is not installed; `feature_store.asof.yaml` beside it names ours.

    Raises:
        SettingsError: If the configuration is not there, or needs a variable that is not set.
    """
    ensure_place(settings)
    # `feature_repo` lies beside the `registry` package, in a checkout as in an installation.
    template = settings.feast.config or Path(registry.__file__).parent.parent / "feature_repo" / CONFIG
    if not template.is_file():
        raise SettingsError(
            f"feast.config names {template}, which is not a file", "name a feature_store.yaml"
        )
    text = re.sub(
        r"\$\{TWINVEC_HOME\}|\$TWINVEC_HOME\b", lambda _: str(settings.home), template.read_text("utf-8")
    )
    unset = sorted(set(re.findall(r"\$\{(\w+)\}", text)) - os.environ.keys())
    if unset:
        raise SettingsError(
            f"{template} needs the environment variable {unset[0]}", f"set {', '.join(unset)}"
        )
    paths = settings.paths
    for rendered, content in (
        (paths.feature_store, text.replace(ASOF, "duckdb")),
        (paths.feature_store_asof, text),
        (paths.definitions, DEFINITIONS),
        (paths.feast_ignore, IGNORED),
    ):
        if not rendered.is_file() or rendered.read_text("utf-8") != content:
            files.write_text(rendered, content)
    paths.feast.mkdir(exist_ok=True)
    return FeatureStore(repo_path=str(settings.home), fs_yaml_file=paths.feature_store_asof)


def apply_version(store: FeatureStore, version: Version) -> FeatureView:
    """Register the feature view of an embedding version; applying it again changes nothing.

    Raises:
        StateError: If a view of this name has another manifest: a version never changes.
    """
    view = version_view(version)
    registered = find_view(store, view.name)
    if registered is not None and registered.tags["manifest"] != view.tags["manifest"]:
        raise StateError(
            f"{version.name} is in the feature store with manifest {registered.tags['manifest']}, "
            f"not {view.tags['manifest']}",
            "a version never changes: make a new one",
        )
    return _apply_view(store, view, registered)


def apply_snapshot(
    store: FeatureStore, settings: Settings, snapshot: Snapshot, as_of: datetime
) -> FeatureView:
    """Write a snapshot's product scalars, unless they are there, and register their view.

    Args:
        store: Feature store.
        settings: Settings of the home.
        snapshot: Snapshot.
        as_of: First time that it is of: the `event_timestamp` of the rows.
    """
    folder = settings.paths.product_scalars(snapshot.id)
    if time_of_scalars(folder) != as_of:
        products = Path(snapshot.path) / "products.parquet"
        write_scalars(products, folder, as_of, settings.ingest.memory_limit)
    view = scalars_view(snapshot.id, folder)
    return _apply_view(store, view, find_view(store, view.name))


def apply_history(store: FeatureStore, settings: Settings, engine: Engine) -> None:
    """Bring the history of product scalars up to date, and register its view."""
    write_history(engine, settings)
    view = history_view(settings.paths.products_history)
    registered = find_view(store, view.name)
    if registered is None or registered.batch_source != view.batch_source:
        _apply_view(store, view, registered)


def _apply_view(store: FeatureStore, view: FeatureView, registered: FeatureView | None) -> FeatureView:
    if registered is not None:
        # Part of what Feast compares: without them, a view that is online counts as changed.
        view.materialization_intervals = registered.materialization_intervals
    store.apply([*entities().values(), view])
    return view


def apply_release(
    store: FeatureStore, release: Release, lineage: Sequence[Version], live: bool
) -> list[FeatureService]:
    """Register the service of a release, and also under the bare name if it is live.

    Args:
        store: Feature store.
        release: Release.
        lineage: The released version and all it was made from, that version last. The service pins the versions with
            the key of the release; for products also the scalars of the snapshot.
        live: True to register the bare name, too.

    Raises:
        NotFoundError: If the view of a version is not in the store.
        StateError: If two versions of one space come together.
    """
    views = [_view(store, version.view) for version in product_versions(lineage)]
    of_products = released_entity(lineage) == PRODUCT_ID
    scalars = find_view(store, scalars_name(release.version.snapshot_id)) if of_products else None
    services = release_services(release, [*views, scalars] if scalars is not None else views, live)
    store.apply([*services])
    return services


def materialize_release(
    store: FeatureStore, release: Release, progress: Callable[[str, int, int], None] | None = None
) -> int:
    """Write every view of a release to the online store; return the number of rows written.

    A view that is online already is left alone: versions never change. An interrupted one is written again
    from its start, over what was there.

    Args:
        progress: Called with a view's name, the rows of it that are written, and its rows.
    """
    service = find_service(store, release.collection)
    if service is None:
        raise NotFoundError(
            f"the feature store has no service {release.collection}", "apply the release first"
        )
    written = 0
    for name in [projection.name for projection in service.feature_view_projections]:
        view = _view(store, name)
        if not view.materialization_intervals:
            written += write_online(store, view, progress)
    return written


def write_online(
    store: FeatureStore, view: FeatureView, progress: Callable[[str, int, int], None] | None = None
) -> int:
    """Write all rows of a view to the online store, over existing rows; return their number."""
    # Feast's `materialize` reads the whole view into memory, sorts it to find each key's latest row, and
    # prints; here each key has one row, and a batch of rows is enough.
    source = view.batch_source
    assert isinstance(source, FileSource)  # all of ours are
    dataset = pq.ParquetDataset(source.path)
    total = sum(fragment.count_rows() for fragment in dataset.fragments)
    columns = [field.name for field in view.schema] + [source.timestamp_field]
    # Its copy may be from before another process registered the view.
    store.refresh_registry()  # type: ignore[no-untyped-call]
    rows = 0
    for fragment in dataset.fragments:
        for batch in fragment.to_batches(batch_size=ONLINE_BATCH, columns=columns):
            store.write_to_online_store(view.name, df=batch.to_pandas())
            rows += batch.num_rows
            if progress is not None:
                progress(view.name, rows, total)
    epoch, now = datetime.fromtimestamp(0, UTC), datetime.now(UTC)
    store.registry.apply_materialization(view, store.project, epoch, now)
    return rows


def find_view(store: FeatureStore, name: str) -> FeatureView | None:
    """Return the feature view called `name`, or None."""
    try:
        return store.get_feature_view(name)
    except FeastObjectNotFoundException:
        return None


def find_service(store: FeatureStore, name: str) -> FeatureService | None:
    """Return the feature service called `name`, or None."""
    try:
        return store.get_feature_service(name)
    except FeastObjectNotFoundException:
        return None


def _view(store: FeatureStore, name: str) -> FeatureView:
    view = find_view(store, name)
    if view is None:
        raise NotFoundError(f"the feature store has no view {name}", "apply the version first")
    return view
