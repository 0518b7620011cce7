"""Checks for unfinished work: a switch, a publish, a version in the making, temporary folders."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

from registry import journal, operations
from registry.database import held, transaction
from registry.models import State, utc_now
from twinvec.doctor.finding import Finding
from twinvec.errors import StoreError
from twinvec.releases.attempts import lock_file
from twinvec.spaces import release_names
from twinvec.vectors.locks import take_lock
from twinvec.workspace import Workspace

STORE = "releases"
# Temporary names of `files.new_folder`, `EdgeIndex.drop` and of ingesting.
HIDDEN = re.compile(r"\..+\.[0-9a-f]{32}|\.ingest-.+")
# A process may be writing into a temporary folder, but does not pause for so long.
IDLE_SECONDS = 3600.0
LONG = timedelta(days=1)


def switching(workspace: Workspace) -> bool:
    """Return True if a switch is unfinished: until it ends, the stores may name different live releases."""
    with transaction(workspace.engine) as session:
        names = release_names(workspace.settings)
        return any(journal.unfinished(session, name) is not None for name in names)


def check_switch(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Find switches that a crash left: unfinished, and held by no process."""
    for name in release_names(workspace.settings):
        yield from _switch(workspace, name)


def _switch(workspace: Workspace, name: str) -> Iterator[Finding]:
    with transaction(workspace.engine) as session:
        switch = journal.unfinished(session, name)
    if switch is None:
        return
    with held(workspace.engine, journal.lock_name(name)) as ours, transaction(workspace.engine) as session:
        crashed = ours and journal.unfinished(session, name) is not None  # else it has just ended
    if crashed:
        yield Finding(
            STORE,
            f"the switch to {switch.new.label}",
            f"was begun by {switch.who} at {switch.begun_at:%Y-%m-%d %H:%M} UTC and left at the step {switch.step}",
            "twinvec doctor --fix finishes or undoes it, as does the next promote, rollback or publish",
            partial(_settle, workspace, name),
        )


def check_building(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Find releases of an interrupted publish, and versions that have been in the making for long."""
    names = release_names(workspace.settings)
    with transaction(workspace.engine) as session:
        releases = [
            release
            for name in names
            for release in operations.releases(session, name)
            if release.state == State.BUILDING
        ]
        making = operations.versions(session, [State.BUILDING])
        ready = operations.versions(session, [State.READY])
    for release in releases:
        if _publishing(workspace, release.name):
            continue
        by = release.verification.get("by", "somebody")
        yield Finding(
            STORE,
            release.label,
            f"is building, begun by {by} at {release.verification.get('since', release.created_at)}, "
            "and no process of this machine publishes",
            f"twinvec publish {release.version.name} finishes it, unless another machine is doing that",
        )
    for version in making:
        newer = [other for other in ready if other.space == version.space and other.number > version.number]
        if newer or utc_now() - version.created_at > LONG:
            yield Finding(
                "registry",
                version.name,
                f"is building since {version.created_at:%Y-%m-%d %H:%M} UTC"
                + (f", and {newer[-1].name} is ready" if newer else "")
                + ": what it is made from is not removed",
                f"if no training makes it: twinvec doctor --abandon {version.name}",
            )


def check_temporary(workspace: Workspace, _deep: bool) -> Iterator[Finding]:
    """Find hidden folders and files into which nothing was written for an hour."""
    from twinvec.releases.storage import size_of

    paths = workspace.settings.paths
    kept = (paths.versions, paths.snapshots, paths.transfers, paths.qdrant, paths.checkpoints, paths.home)
    for folder in (*sorted(paths.versions.glob("*")), *kept):
        for leftover in sorted(folder.glob(".*")):
            if HIDDEN.fullmatch(leftover.name) and time.time() - _newest(leftover) > IDLE_SECONDS:
                yield Finding(
                    "files",
                    str(leftover),
                    f"was left by a process that was killed ({size_of(leftover) / 1e6:.1f} MB)",
                    f"rm -r {leftover}",
                    partial(_delete, leftover),
                )


def abandon(workspace: Workspace, name: str) -> None:
    """Mark a version in the making as failed. A training that still makes it fails at its end.

    Raises:
        NotFoundError: If there is none of this name.
        MoveError: If it is not in the making.
    """
    from twinvec.errors import NotFoundError

    with transaction(workspace.engine) as session:
        version = operations.find_version(session, name)
        if version is None:
            raise NotFoundError(f"there is no version {name}", "`twinvec status` lists those there are")
        version.error = "abandoned"
        operations.move(
            session, version, State.FAILED, "abandoned: twinvec doctor", workspace.settings.registry.user
        )


def _publishing(workspace: Workspace, name: str) -> bool:
    with ExitStack() as stack:
        try:
            stack.enter_context(take_lock(lock_file(workspace.settings, name), "publishing", exclusive=False))
        except StoreError:
            return True
        return False


def _settle(workspace: Workspace, name: str) -> None:
    from twinvec.releases import settle

    settle(workspace, name)


def _newest(path: Path) -> float:
    return max((each.lstat().st_mtime for each in [path, *path.rglob("*")]), default=0.0)


def _delete(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
