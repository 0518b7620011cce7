"""Finding releases in the registry."""

from __future__ import annotations

import re
from collections.abc import Sequence

from registry import operations
from registry.database import transaction
from registry.models import WHOLE, Release, State, Version
from twinvec.errors import NotFoundError
from twinvec.workspace import Workspace


def all_releases(workspace: Workspace) -> Sequence[Release]:
    """Every release of the configured name, oldest first."""
    with transaction(workspace.engine) as session:
        return operations.releases(session, workspace.settings.release)


def live(workspace: Workspace) -> Release | None:
    """The release that serves now, or None."""
    with transaction(workspace.engine) as session:
        return operations.live_release(session, workspace.settings.release)


def find(workspace: Workspace, name: str) -> Release:
    """The release called `related_products@v7`, or in short `v7` or `7`.

    Raises:
        NotFoundError: if there is none.
    """
    known = all_releases(workspace)
    match = re.fullmatch(rf"(?:{re.escape(workspace.settings.release)}(?:@|__))?v?(\d+)", name)
    for release in known:
        if match is not None and release.number == int(match[1]):
            return release
    names = ", ".join(release.label for release in known) or "none yet"
    raise NotFoundError(f"there is no release {name}", f"there are: {names}")


def waiting(workspace: Workspace) -> Release:
    """The newest release that is ready and newer than the live one: what a promotion takes by itself.

    Raises:
        NotFoundError: if there is none.
    """
    serving = live(workspace)
    for release in reversed(all_releases(workspace)):
        if release.state == State.READY and (serving is None or release.number > serving.number):
            return release
    where = f"{serving.label} is live, and nothing newer is ready" if serving else "none is ready"
    raise NotFoundError(
        f"there is no release of {workspace.settings.release} to promote: {where}",
        "`twinvec publish` makes one; name an older one to promote it again",
    )


def newest_of(workspace: Workspace, version: Version) -> Release | None:
    """The newest whole release of a version, live or not, or None."""
    found = [
        release
        for release in all_releases(workspace)
        if release.version_id == version.id and release.state in WHOLE
    ]
    return found[-1] if found else None


def lineage(workspace: Workspace, version_id: int) -> list[Version]:
    """A version and everything it was made from that serves with it, inputs first; see `operations.parts`."""
    with transaction(workspace.engine) as session:
        return operations.parts(session.get_one(Version, version_id))
