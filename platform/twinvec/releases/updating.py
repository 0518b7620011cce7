"""An update of the live release: a new release that differs in what changed, and takes its place in one step.

The live collection itself is never written to. Readers of Qdrant Edge hold it, a crash would leave it half written,
and what a release holds is what its digests, its feature service and its verification say: so an update makes the
next release, of the points that stay and of those that changed, and promotes it as any other. The one before it stays
as it was until it is pruned, and a rollback brings it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.database import transaction
from registry.models import Release, Version
from twinvec.errors import StateError
from twinvec.releases.gates import Judge
from twinvec.releases.lookup import live
from twinvec.releases.promotion import promote
from twinvec.releases.publishing import publish
from twinvec.vectors.publish import Progress, silent
from twinvec.workspace import Workspace

# Where the report of an update is kept in a release's verification.
RECORD = "update"


def publish_update(
    workspace: Workspace, base: Release, version: Version, progress: Progress = silent
) -> Release:
    """Make a release of a version that an update of the live release made.

    Args:
        base: the live release.
        version: By the models of that release.

    Raises:
        StateError: if their vectors cannot be compared; and as `publish`.
    """
    if version.dimension != base.version.dimension:
        raise StateError(
            f"{version.name} has {version.dimension} dimensions and {base.label}, which is live, "
            f"{base.version.dimension}: it is of another model",
            "publish and promote it as a release of its own: `twinvec publish`, `twinvec promote`",
        )
    return publish(workspace, version, progress)


def take_place(
    workspace: Workspace,
    base: Release,
    release: Release,
    record: Mapping[str, Any],
    judge: Judge | None = None,
    progress: Progress = silent,
) -> Release:
    """Promote an update, unless another release went live since it was begun.

    Args:
        base: the release that was live then.
        release: of the update.
        record: kept in its verification, under `update`.
        judge: as in `promote`.

    Raises:
        StateError: if another release is live; and as `promote`.
    """
    serving = live(workspace, base.name)
    if serving is None or serving.id != base.id:
        raise StateError(
            f"{release.label} was not promoted: {serving.label if serving else 'no release'} is live now, and it "
            f"updates {base.label}",
            "run `twinvec update` again: it starts from what is live",
        )
    with transaction(workspace.engine) as session:
        row = session.get_one(Release, release.id)
        row.verification = {**row.verification, RECORD: dict(record)}
        release = row
    return promote(
        workspace,
        release,
        progress,
        f"updated from {base.label} to snapshot {release.version.snapshot_id}",
        judge,
    )
