"""Update of the live release: publish a new release with the changes, and promote it.

The live collection is never written to. Readers of Qdrant Edge hold it open, a crash would leave it half written, and
it must match its digests, its feature service and its verification. So an update makes the next release, from the
unchanged and the changed points, and promotes it like any other. The release before it stays as it was until it is
pruned, and a rollback makes it live again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.database import transaction
from registry.models import Release, Version
from twinvec.errors import StateError
from twinvec.progress import Count, silent
from twinvec.releases.gates import Judge
from twinvec.releases.lookup import live
from twinvec.releases.promotion import promote
from twinvec.releases.publishing import publish
from twinvec.workspace import Workspace

# Key of an update's report in a release's verification.
RECORD = "update"


def publish_update(
    workspace: Workspace, base: Release, version: Version, progress: Count = silent
) -> Release:
    """Publish a version that an update of the live release made, and return its release.

    Args:
        workspace: Stores.
        base: Live release.
        version: Version that the models of the live release made.
        progress: Called with each step.

    Raises:
        StateError: If the dimensions of the vectors differ; and as `publish`.
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
    progress: Count = silent,
) -> Release:
    """Promote the release of an update, unless another release went live since the update began.

    Args:
        workspace: Stores.
        base: Release that was live when the update began.
        release: Release of the update.
        record: Report of the update, kept in the release's verification under `update`.
        judge: Function that compares the quality, as in `promote`.
        progress: Called with each step.

    Raises:
        StateError: If another release is live; and as `promote`.
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
