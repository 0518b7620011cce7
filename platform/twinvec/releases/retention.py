"""Retention: what is neither among the newest, nor serves, nor went into something that is kept, is removed.

Removing is publishing backwards: the registry is told first, so that whoever finds a row finds all that it names,
and nobody takes up what is going; then the stores are emptied. What a kill leaves belongs to rows that say `removed`,
and is taken away by the next call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import journal, operations
from registry.database import held, lock, transaction
from registry.models import WHOLE, Release, Snapshot, State, Version
from twinvec.errors import StateError, TwinvecError
from twinvec.releases.storage import Holding, holdings
from twinvec.releases.switching import settle_alone
from twinvec.settings.stores import RetentionSettings
from twinvec.spaces import release_names
from twinvec.vectors.publish import Progress, silent
from twinvec.workspace import Workspace

# Of these, the rows stay, and nothing else should.
GONE = (State.REMOVED, State.FAILED)


@dataclass(frozen=True)
class Plan:
    """What is removed, and why the rest is not."""

    releases: Sequence[Release]
    versions: Sequence[Version]
    snapshots: Sequence[Snapshot]
    """Those that no version needs which is kept; only removed if that is asked for."""
    kept: Mapping[str, str]
    """Name of a release, version or snapshot → why it is kept."""


@dataclass(frozen=True)
class Left:
    """Something that could not be taken away, and why."""

    holding: Holding
    why: str


@dataclass(frozen=True)
class Pruned:
    """What was done, or would be."""

    plan: Plan
    taken: Sequence[Holding]
    """What the stores held of what is removed now, or was before without being finished."""
    left: Sequence[Left]


def prune(
    workspace: Workspace,
    keep: RetentionSettings,
    snapshots: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Pruned:
    """Remove what need not be kept, from all stores; the rows stay, with their metrics, lineage and history.

    Killed at any point, it is finished by the next call. Nothing that is live, or in the making, is touched, and
    a collection that somebody reads stays until the next call.

    Args:
        keep: how many.
        snapshots: whether those that no kept version needs go, too; never the newest.
        dry_run: whether only to tell.

    Raises:
        StateError: if the live release is being switched, or another process is pruning.
        StoreError: if a store does not answer.
    """
    if dry_run:
        planned = _plan(workspace, keep)
        return Pruned(planned, _holdings(workspace, planned, snapshots), [])
    names = release_names(workspace.settings)
    with _alone(workspace, f"prune of {names[0]}", "another process is pruning"):
        # Only while it is decided: what is removed then cannot be promoted any more.
        with ExitStack() as switches:
            for name in names:
                message = f"the live release of {name} is being switched"
                switches.enter_context(_alone(workspace, journal.lock_name(name), message))
                settle_alone(workspace, name)
            planned = _plan(workspace, keep, decided=True)
        taken, left = take_away(_holdings(workspace, planned, snapshots), progress)
        return Pruned(planned, taken, left)


def take_away(found: Sequence[Holding], progress: Progress = silent) -> tuple[list[Holding], list[Left]]:
    """Take these away, one after another; those that a store refuses are left."""
    taken: list[Holding] = []
    left: list[Left] = []
    for place, holding in enumerate(found):
        try:
            holding.remove()
            taken.append(holding)
        except TwinvecError as error:
            left.append(Left(holding, str(error)))
        progress("removing", place + 1, len(found))
    return taken, left


def leftovers(workspace: Workspace) -> list[Holding]:
    """What the stores still hold of what was removed, or failed."""
    with transaction(workspace.engine) as session:
        releases, versions = _gone(session)
    return holdings(workspace, releases, versions)


def plan(
    session: Session, names: Collection[str], keep: RetentionSettings, aliased: Mapping[str, Sequence[str]]
) -> Plan:
    """Return what can be removed, as the registry stands.

    Args:
        session: Registry.
        names: Names of the releases; those of other names are all kept.
        keep: How many of each name and space are kept.
        aliased: URI of a model → its aliases in MLflow; the version that it belongs to is kept.
    """
    kept = {
        label: why for name in names for label, why in _kept_releases(session, name, keep.releases).items()
    }
    every = session.scalars(select(Release).where(Release.state.not_in(GONE)).order_by(Release.id)).all()
    ready, building = (operations.versions(session, [state]) for state in (State.READY, State.BUILDING))
    reasons: dict[str, str] = {}
    for release in every:
        if release.name not in names or release.label in kept or release.state == State.BUILDING:
            _keep(reasons, release.version, f"{release.label} serves it")
    for version in building:
        _keep(reasons, version, "in the making")
    for space in {version.space for version in ready}:
        for version in [version for version in ready if version.space == space][-keep.versions :]:
            _keep(reasons, version, f"among the last {keep.versions} of {space}")
    for version in ready:
        if version.model_uri in aliased:
            _keep(reasons, version, f"MLflow's {' and '.join(aliased[str(version.model_uri)])} is its model")
    removed = [version for version in ready if version.name not in reasons]
    needed = {version.snapshot_id for version in {*ready, *building} - {*removed}}
    newest = operations.latest_snapshot(session)
    return Plan(
        [each for each in every if each.name in names and each.state in WHOLE and each.label not in kept],
        removed,
        [each for each in operations.snapshots(session) if each.id not in needed and each is not newest],
        {**kept, **reasons},
    )


def _kept_releases(session: Session, name: str, last: int) -> dict[str, str]:
    found: dict[str, str] = {}
    live, previous = operations.live_release(session, name), operations.previous_release(session, name)
    if live is not None:
        found[live.label] = "live"
    if previous is not None:
        found[previous.label] = "what a rollback goes back to"
    whole = [release for release in operations.releases(session, name) if release.state in WHOLE]
    for release in whole[-last:]:
        found.setdefault(release.label, f"among the last {last}")
    return found


def _keep(reasons: dict[str, str], version: Version, why: str) -> None:
    for each in operations.lineage(version):
        reasons.setdefault(each.name, why if each is version else f"{version.name} was made from it")


def _plan(workspace: Workspace, keep: RetentionSettings, decided: bool = False) -> Plan:
    """The plan; if it is decided, the registry is told in the same transaction."""
    aliased = _aliased(workspace)
    names, who = release_names(workspace.settings), workspace.settings.registry.user
    with transaction(workspace.engine) as session:
        if decided:
            # Who begins a version or a release meanwhile comes after us, and is told if an input is gone.
            lock(session.connection(), operations.REMOVALS)
        found = plan(session, names, keep, aliased)
        if decided:
            why = f"not among the last {keep.releases} releases, nor needed"
            for release in found.releases:
                operations.move(session, release, State.REMOVED, why, who)
            why = f"not among the last {keep.versions} of its space, nor needed"
            for version in found.versions:
                operations.move(session, version, State.REMOVED, why, who)
        return found


def _aliased(workspace: Workspace) -> Mapping[str, Sequence[str]]:
    with transaction(workspace.engine) as session:
        versions = operations.versions(session, [State.READY])
    spaces = {version.space for version in versions if version.model_uri is not None}
    if not spaces:
        return {}
    from twinvec.tracking import aliased_models

    return aliased_models(workspace.settings, spaces)


def _holdings(workspace: Workspace, found: Plan, snapshots: bool) -> list[Holding]:
    with transaction(workspace.engine) as session:
        releases, versions = _gone(session)
    going = {release.id for release in releases}, {version.id for version in versions}
    return holdings(
        workspace,
        [*releases, *(release for release in found.releases if release.id not in going[0])],
        [*versions, *(version for version in found.versions if version.id not in going[1])],
        found.snapshots if snapshots else [],
    )


def _gone(session: Session) -> tuple[list[Release], list[Version]]:
    releases = session.scalars(select(Release).where(Release.state.in_(GONE)).order_by(Release.id)).all()
    return list(releases), list(operations.versions(session, GONE))


@contextmanager
def _alone(workspace: Workspace, lock_name: str, otherwise: str) -> Iterator[None]:
    with held(workspace.engine, lock_name) as ours:
        if not ours:
            raise StateError(otherwise, "wait for it to end, then prune again")
        yield
