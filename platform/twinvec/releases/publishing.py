"""Publishing: a version's vectors become a collection and a feature service that nobody reads yet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from registry import operations
from registry.database import transaction
from registry.models import Release, State, Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import StateError, TwinvecError
from twinvec.releases.lookup import all_releases, lineage
from twinvec.releases.points import read_points
from twinvec.vectors import publish as publish_points
from twinvec.vectors.locks import take_lock
from twinvec.vectors.publish import Progress, silent
from twinvec.workspace import Workspace

SPACE = "related"


def publish(workspace: Workspace, version: Version, progress: Progress = silent) -> Release:
    """Make a release of a `related` version: its points in Qdrant, verified, and its service in Feast.

    Nothing that is live is touched. A publish that was interrupted is gone on with, under the same number; one
    that fails leaves a release in state `failed`, with the error, and no collection.

    Returns:
        The release, in state `ready`, with what was verified.

    Raises:
        StateError: if the version is not a usable one of the space `related`.
        VerificationError: if the version and its snapshot differ in products, or the index is not what was sent
            or finds too little of what an exact search finds.
        StoreError: if another process is publishing, or a store refuses.
    """
    if version.space != SPACE or version.state != State.READY:
        raise StateError(
            f"{version.name} ({version.state}) cannot be published",
            f"publish a version of the space {SPACE} that is ready; `twinvec status` lists them",
        )
    name = workspace.settings.release
    lock_file = workspace.settings.home / "releases" / f".{name}.publish"
    with take_lock(lock_file, f"a new release of {name}", exclusive=True):
        release = _reserve(workspace, version)
        try:
            verification = _fill(workspace, release, progress)
        except Exception as error:  # whatever it was, it is recorded and goes on
            _record(workspace, release, State.FAILED, error=f"{type(error).__name__}: {error}"[:500])
            with suppress(TwinvecError):
                workspace.index.drop(release.collection)
            raise
        return _record(workspace, release, State.READY, verification=verification)


def _reserve(workspace: Workspace, version: Version) -> Release:
    """The release of this version that an interrupted publish left, or the next number."""
    for release in reversed(all_releases(workspace)):
        if release.version_id == version.id and release.state == State.BUILDING:
            return release
    with transaction(workspace.engine) as session:
        name = workspace.settings.release
        return operations.begin_release(session, name, session.get_one(Version, version.id))


def _fill(workspace: Workspace, release: Release, progress: Progress) -> dict[str, Any]:
    """Write the release to Qdrant and Feast; returns what was verified."""
    from twinvec.features.store import apply_release

    version, settings = release.version, workspace.settings
    snapshot = open_snapshot(Path(version.snapshot.path))
    verification = publish_points(
        workspace.index,
        release.collection,
        read_points(
            snapshot, version, release.collection, settings.qdrant.batch, settings.ingest.memory_limit
        ),
        expected=snapshot.tables["products"],
        dimension=version.dimension or 0,
        metadata={
            "manifest": version.digest or "",
            "version": version.name,
            "snapshot": snapshot.id,
            "release": str(release.number),
        },
        settings=settings.qdrant,
        progress=progress,
    )
    apply_release(workspace.features, release, lineage(workspace, version.id), live=False)
    return asdict(verification)


def _record(workspace: Workspace, release: Release, state: State, **values: object) -> Release:
    with transaction(workspace.engine) as session:
        row = session.get_one(Release, release.id)
        row.state = state
        for name, value in values.items():
            setattr(row, name, value)
        return row
