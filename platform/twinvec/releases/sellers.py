"""Releases of the sellers' space: candidates in Qdrant under an alias of their own, sellers in the online store.

They are numbered, recorded, kept from being pruned and registered in Feast like those of `related`, under another name.
What those have for taking each other's place is not here: gates, a journal of switches, aliases of models.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from registry import operations
from registry.database import transaction
from registry.models import WHOLE, Release, State, Version, utc_now
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import NotFoundError, StateError, TwinvecError
from twinvec.features.manifest import Manifest
from twinvec.releases.attempts import begin, end
from twinvec.releases.lookup import lineage
from twinvec.releases.points import read_points
from twinvec.releases.publishing import collection_metadata
from twinvec.vectors import publish as publish_points
from twinvec.vectors.locks import take_lock
from twinvec.vectors.publish import Progress, SupersededError, silent
from twinvec.vectors.verify import Verification
from twinvec.workspace import Workspace

SPACE = "sellers"
NAME = "seller_recommendations"
"""Of the releases, of the alias in Qdrant and of the live feature service."""


def live_release(workspace: Workspace) -> Release | None:
    """The release that serves sellers now, or None."""
    with transaction(workspace.engine) as session:
        return operations.live_release(session, NAME)


def products_of(workspace: Workspace, version: Version) -> Version:
    """The version of `seller_products` that the vectors of a version of `sellers` are compared with.

    Raises:
        StateError: if `version` is of another space.
    """
    if version.space != SPACE:
        raise StateError(f"{version.name} has no sellers", f"name a version of the space {SPACE}")
    (name,) = Manifest.from_json(version.manifest).inputs
    return workspace.version(name)


def publish_sellers(workspace: Workspace, version: Version, progress: Progress = silent) -> Release:
    """Make a release of a version, unless there is one, and let it serve.

    Points are compared by their vector `target`; `source` is the same. Sellers are read from the online store, by the
    feature service of the release. Publishing a version again goes back to its release, or goes on where a publish was
    interrupted; one that fails leaves what served serving.

    Returns:
        The release, live.

    Raises:
        StateError: if the version is of another space.
        VerificationError: if the index is not what was sent.
        StoreError: if another process of this machine is publishing, or a store refuses.
    """
    from twinvec.features.store import apply_release, materialize_release

    products = products_of(workspace, version)
    lock = workspace.settings.paths.publish_lock(NAME)
    with take_lock(lock, f"a new release of {NAME}", exclusive=True):
        release = _whole(workspace, version) or _make(workspace, version, products, progress)
        apply_release(workspace.features, release, lineage(workspace, version.id), live=False)
        materialize_release(workspace.features, release, progress)
        workspace.index.switch_alias(NAME, release.collection)
        apply_release(workspace.features, release, lineage(workspace, version.id), live=True)
        return _record_live(workspace, release)


def _whole(workspace: Workspace, version: Version) -> Release | None:
    """The newest release of a version whose points are all there, or None."""
    with transaction(workspace.engine) as session:
        known = [
            release
            for release in operations.releases(session, NAME)
            if release.version_id == version.id and release.state in WHOLE
        ]
    for release in reversed(known):
        with suppress(NotFoundError):
            if workspace.index.count(release.collection) == release.verification["points"]:
                return release
    return None


def _make(workspace: Workspace, version: Version, products: Version, progress: Progress) -> Release:
    release, attempt = begin(workspace, version, NAME)
    try:
        verification = _fill(workspace, release, products, attempt, progress)
    except Exception as error:  # whatever it was, it is recorded and goes on
        with suppress(SupersededError):
            end(workspace, release, attempt, State.FAILED, f"{type(error).__name__}: {error}"[:500])
            with suppress(TwinvecError):
                workspace.index.drop(release.collection)
        raise
    return end(workspace, release, attempt, State.READY, "published and verified", asdict(verification))


def _fill(
    workspace: Workspace, release: Release, products: Version, attempt: int, progress: Progress
) -> Verification:
    settings, version = workspace.settings, release.version
    snapshot = open_snapshot(Path(version.snapshot.path))
    memory = settings.ingest.memory_limit
    batches = read_points(snapshot, products, release.collection, settings.qdrant.batch, memory, part=True)
    return publish_points(
        workspace.index,
        release.collection,
        batches,
        expected=products.rows or 0,
        dimension=products.dimension or 0,
        metadata=collection_metadata(release),
        settings=settings.qdrant,
        progress=progress,
        attempt=attempt,
    )


def _record_live(workspace: Workspace, release: Release) -> Release:
    who = workspace.settings.registry.user
    with transaction(workspace.engine) as session:
        row, live = session.get_one(Release, release.id), operations.live_release(session, NAME)
        if live is not None and live.id != row.id:
            operations.move(session, live, State.RETIRED, f"{row.label} took its place", who)
        if row.state != State.LIVE:
            operations.move(session, row, State.LIVE, "published", who)
            row.promoted_at = utc_now()
        return row
