"""All objects of the Feast repository, for `feast apply`."""

from __future__ import annotations

from pathlib import Path

from feast import Entity, FeatureService, FeatureView
from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from registry import operations
from registry.database import open_engine
from registry.models import WHOLE, Release, State
from registry.snapshots import all_snapshots
from twinvec.columns import PRODUCT_ID
from twinvec.errors import StoreError
from twinvec.features.definitions import (
    entities,
    history_view,
    product_versions,
    release_services,
    released_entity,
    scalars_view,
    version_view,
)
from twinvec.features.spark import spark_view
from twinvec.paths import HomePaths
from twinvec.place import require_place
from twinvec.settings import Settings, load_settings

FeastObject = Entity | FeatureView | FeatureService


def home_objects(home: Path) -> list[FeastObject]:
    """Return the objects of a home, for `feast apply` in its folder; see `feast_objects`.

    Raises:
        StoreError: If the home was moved or copied: its configuration of Feast may name the stores of another home.
    """
    settings = load_settings(home=home)
    require_place(settings)
    return feast_objects(settings)


def feast_objects(settings: Settings) -> list[FeastObject]:
    """Return every entity, view and service that the registry gives rise to.

    The registry is only read; the folder of Feast's own databases is made, since Feast does not make it.

    Raises:
        StoreError: If there is no registry, or it cannot be read.
    """
    url = make_url(settings.registry_url())
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise StoreError(
            f"there is no registry at {url.database}", "set TWINVEC_HOME, or ingest a catalogue first"
        )
    settings.paths.feast.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings.registry_url(), settings.home)
    try:
        with Session(engine) as session:
            return _objects(session, settings.paths, spark=settings.feast.sources == "spark")
    except SQLAlchemyError as error:
        raise StoreError(
            f"the registry at {url.render_as_string()} cannot be read: {error}", "bring its tables up to date"
        ) from error
    finally:
        engine.dispose()


def _objects(session: Session, paths: HomePaths, *, spark: bool) -> list[FeastObject]:
    usable = operations.versions(session, [State.READY])
    over = spark_view if spark else lambda view: view
    views = {version.view: over(version_view(version)) for version in usable if version.has_view}
    scalars = {
        snapshot.id: over(scalars_view(snapshot.id, paths.product_scalars(snapshot.id)))
        for snapshot in all_snapshots(session)
        if paths.product_scalars(snapshot.id).is_dir()
    }
    services: list[FeatureService] = []
    for release in session.scalars(select(Release).where(Release.state.in_(WHOLE)).order_by(Release.id)):
        lineage = operations.release_parts(release)
        pinned = [version.view for version in product_versions(lineage)]
        if all(view in views for view in pinned):
            parts = [views[view] for view in pinned]
            if release.version.snapshot_id in scalars and released_entity(lineage) == PRODUCT_ID:
                parts.append(scalars[release.version.snapshot_id])
            services += release_services(release, parts, live=release.state == State.LIVE)
    written = any(paths.products_history.glob("*.parquet"))
    history = [over(history_view(paths.products_history))] if written else []
    return [*entities().values(), *views.values(), *scalars.values(), *history, *services]
