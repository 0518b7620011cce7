"""Retention: remove releases, versions and snapshots that are not among the newest, not served and not needed.

Removal is the reverse of publishing. The registry changes first, so that every row that is found still has all its
data, and nobody begins to use what is being removed. Then the stores are emptied. If the process is killed in between,
the data belongs to rows in state `removed`, and the next call removes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import journal, operations
from registry.database import held, lock, transaction
from registry.models import WHOLE, Release, Snapshot, State, Version
from registry.snapshots import all_snapshots, latest_snapshot
from twinvec.catalogue.transfers import read_transfer, transfer_folders
from twinvec.errors import StateError, StoreError, TwinvecError
from twinvec.progress import Count, silent
from twinvec.releases.storage import Holding, holdings
from twinvec.releases.switching import settle_alone
from twinvec.settings import Settings
from twinvec.settings.stores import RetentionSettings
from twinvec.spaces import release_names
from twinvec.workspace import Workspace

# States whose rows stay, without any data.
GONE = (State.REMOVED, State.FAILED)


@dataclass(frozen=True)
class Plan:
    """The rows to remove, and the reasons why the others are kept."""

    releases: Sequence[Release]
    versions: Sequence[Version]
    snapshots: Sequence[Snapshot]
    """Snapshots that no kept version needs; removed only on request."""
    kept: Mapping[str, str]
    """Name of a release, version, snapshot or transfer → why it is kept."""
    transfers: Sequence[str] = ()
    """Names of transfers that no kept graph, setting or store needs; see `spare_transfers`."""


@dataclass(frozen=True)
class Left:
    """Data that could not be removed, and the reason."""

    holding: Holding
    why: str


@dataclass(frozen=True)
class Pruned:
    """Result of a prune, or of its dry run."""

    plan: Plan
    taken: Sequence[Holding]
    """Data that was removed, now or in place of an earlier prune that was interrupted."""
    left: Sequence[Left]


def prune(
    workspace: Workspace,
    keep: RetentionSettings,
    snapshots: bool = False,
    dry_run: bool = False,
    progress: Count = silent,
) -> Pruned:
    """Remove the data of old releases and versions from all stores; the rows stay, with metrics, lineage and history.

    If it is killed at any point, the next call finishes it. Nothing that is live or in the making is touched. A
    collection that a process reads stays until the next call.

    Args:
        workspace: Stores.
        keep: Numbers of releases and versions to keep.
        snapshots: Also remove snapshots that no kept version needs; never the newest.
        dry_run: Only return what would be removed.
        progress: Called with the number of removed holdings.

    Raises:
        StateError: If the live release is being switched, or another process is pruning.
        StoreError: If a store does not answer.
    """
    if dry_run:
        planned = _plan(workspace, keep)
        return Pruned(planned, _holdings(workspace, planned, snapshots), [])
    names = release_names(workspace.settings)
    with _alone(workspace, f"prune of {names[0]}", "another process is pruning"):
        # The locks are held only for the decision: releases in state `removed` cannot be promoted any more.
        with ExitStack() as switches:
            for name in names:
                message = f"the live release of {name} is being switched"
                switches.enter_context(_alone(workspace, journal.lock_name(name), message))
                settle_alone(workspace, name)
            planned = _plan(workspace, keep, decided=True)
        taken, left = take_away(_holdings(workspace, planned, snapshots), progress)
        return Pruned(planned, taken, left)


def take_away(data: Sequence[Holding], progress: Count = silent) -> tuple[list[Holding], list[Left]]:
    """Remove holdings one after another; return the removed ones, and those that a store refused to remove."""
    taken: list[Holding] = []
    left: list[Left] = []
    for place, holding in enumerate(data):
        try:
            holding.remove()
            taken.append(holding)
        except TwinvecError as error:
            left.append(Left(holding, str(error)))
        progress("removing", place + 1, len(data))
    return taken, left


def leftovers(workspace: Workspace) -> list[Holding]:
    """Return the data that the stores still hold of removed and failed releases and versions."""
    with transaction(workspace.engine) as session:
        releases, versions = _gone(session)
    return holdings(workspace, releases, versions)


def plan(
    session: Session, names: Collection[str], keep: RetentionSettings, aliased: Mapping[str, Sequence[str]]
) -> Plan:
    """Return the rows that can be removed, by the state of the registry.

    Args:
        session: Session of the registry.
        names: Names of the releases; releases of other names are all kept.
        keep: Numbers of releases of each name and of versions of each space to keep.
        aliased: URI of a model → its aliases in MLflow; the model's version is kept.
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
            if release.lists is not None:
                _keep(reasons, release.lists, f"{release.label} answers from it")
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
    newest = latest_snapshot(session)
    return Plan(
        [each for each in every if each.name in names and each.state in WHOLE and each.label not in kept],
        removed,
        [each for each in all_snapshots(session) if each.id not in needed and each is not newest],
        {**kept, **reasons},
    )


def _kept_releases(session: Session, name: str, last: int) -> dict[str, str]:
    kept: dict[str, str] = {}
    live, previous = operations.live_release(session, name), operations.previous_release(session, name)
    if live is not None:
        kept[live.label] = "live"
    if previous is not None:
        kept[previous.label] = "what a rollback goes back to"
    whole = [release for release in operations.releases(session, name) if release.state in WHOLE]
    for release in whole[-last:]:
        kept.setdefault(release.label, f"among the last {last}")
    return kept


def _keep(reasons: dict[str, str], version: Version, why: str) -> None:
    for each in operations.lineage(version):
        reasons.setdefault(each.name, why if each is version else f"{version.name} was made from it")


def _plan(workspace: Workspace, keep: RetentionSettings, decided: bool = False) -> Plan:
    """Return the plan; if it is decided, record it in the registry in the same transaction."""
    aliased = _aliased(workspace)
    names, who = release_names(workspace.settings), workspace.settings.registry.user
    with transaction(workspace.engine) as session:
        if decided:
            # A process that begins a version or a release meanwhile waits, and learns if an input is gone.
            lock(session.connection(), operations.REMOVALS)
        planned = plan(session, names, keep, aliased)
        if decided:
            why = f"not among the last {keep.releases} releases, nor needed"
            for release in planned.releases:
                operations.move(session, release, State.REMOVED, why, who)
            why = f"not among the last {keep.versions} of its space, nor needed"
            for version in planned.versions:
                operations.move(session, version, State.REMOVED, why, who)
        staying = {*operations.versions(session, [State.READY, State.BUILDING])} - {*planned.versions}
        spare, kept = spare_transfers(workspace.settings, staying)
        return replace(planned, transfers=spare, kept={**planned.kept, **kept})


def spare_transfers(settings: Settings, versions: Iterable[Version]) -> tuple[list[str], dict[str, str]]:
    """Return the names of transfers that can be removed, and why each of the others is kept.

    Args:
        settings: Settings, which may name transfers in `graph.transferred`.
        versions: Versions that stay; a graph of lent behaviour is made again from the transfers that it names.
    """
    folders = {folder.name: folder for folder in transfer_folders(settings.paths)}
    newest: dict[str, str] = {}
    for name, folder in folders.items():
        with suppress(StoreError):  # a damaged record: the doctor names it
            newest[read_transfer(folder).to] = name
    kept = {name: f"the last one to {store}" for store, name in newest.items()}
    for version in versions:
        for name in (version.settings or {}).get("graph", {}).get("transferred", ()):
            kept[name] = f"{version.name} was made with it"
    kept |= dict.fromkeys(settings.graph.transferred, "graph.transferred names it")
    spare = [name for name in folders if name not in kept]
    return spare, {f"transfer {name}": why for name, why in kept.items() if name in folders}


def _aliased(workspace: Workspace) -> Mapping[str, Sequence[str]]:
    with transaction(workspace.engine) as session:
        versions = operations.versions(session, [State.READY])
    spaces = {version.space for version in versions if version.model_uri is not None}
    if not spaces:
        return {}
    from twinvec.tracking import aliased_models

    return aliased_models(workspace.settings, spaces)


def _holdings(workspace: Workspace, planned: Plan, snapshots: bool) -> list[Holding]:
    with transaction(workspace.engine) as session:
        releases, versions = _gone(session)
    going = {release.id for release in releases}, {version.id for version in versions}
    return holdings(
        workspace,
        [*releases, *(release for release in planned.releases if release.id not in going[0])],
        [*versions, *(version for version in planned.versions if version.id not in going[1])],
        planned.snapshots if snapshots else [],
        planned.transfers,
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
