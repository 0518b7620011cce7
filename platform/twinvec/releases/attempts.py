"""Attempts to publish a release. The registry counts them, so that two machines know which attempt is newer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry import operations
from registry.database import lock, transaction
from registry.models import Release, State, Version, utc_now
from twinvec.settings import Settings
from twinvec.vectors.publish import SupersededError
from twinvec.workspace import Workspace


def lock_file(settings: Settings, name: str) -> Path:
    """Return the file that a process of this machine locks while it publishes a release of this name."""
    return settings.paths.publish_lock(name)


def begin(
    workspace: Workspace, version: Version, name: str, lists: Version | None = None
) -> tuple[Release, int]:
    """Begin an attempt: continue the release that an interrupted publish left, or take the next number.

    Args:
        workspace: Stores.
        version: Version to release.
        name: Name of the releases.
        lists: Version that lists the answers of `version`, if there is one.

    Returns:
        The release, in state `building`, and the number of this attempt to publish it.
    """
    with transaction(workspace.engine) as session:
        lock(session.connection(), f"releases of {name}")
        interrupted = [
            release
            for release in operations.releases(session, name)
            if _serves(release, version, lists) and release.state == State.BUILDING
        ]
        release = (
            interrupted[-1]
            if interrupted
            else operations.begin_release(
                session,
                name,
                session.get_one(Version, version.id),
                session.get_one(Version, lists.id) if lists is not None else None,
            )
        )
        attempt = int(release.verification.get("attempt", 0)) + 1
        release.verification = {
            "attempt": attempt,
            "by": workspace.settings.registry.user or operations.whoami(),
            "since": utc_now().isoformat(timespec="seconds"),
        }
        return release, attempt


def _serves(release: Release, version: Version, lists: Version | None) -> bool:
    return release.version_id == version.id and release.lists_id == (lists.id if lists is not None else None)


def end(
    workspace: Workspace,
    release: Release,
    attempt: int,
    state: State,
    why: str,
    verification: dict[str, Any] | None = None,
) -> Release:
    """Record how an attempt ended, unless a newer attempt has taken over.

    Args:
        workspace: Stores.
        release: Release that was published.
        attempt: Number of the attempt.
        state: Ready or failed.
        why: Reason for the history; the error if it failed.
        verification: Figures of the verified collection; none if it failed.

    Raises:
        SupersededError: If another attempt has taken the release over, or finished it.
    """
    with transaction(workspace.engine) as session:
        lock(session.connection(), f"releases of {release.name}")
        row = session.get_one(Release, release.id)
        held = row.verification
        if row.state != State.BUILDING or held.get("attempt") != attempt:
            raise SupersededError(
                f"attempt {attempt} to publish {row.label} stops: it is {row.state}"
                + (f", by {held['by']} since {held['since']}" if "by" in held else ""),
                "the other attempt decides what becomes of it; `twinvec status` shows it",
            )
        row.verification = verification or {}
        row.error = why if state == State.FAILED else None
        operations.move(session, row, state, why, workspace.settings.registry.user)
        return row
