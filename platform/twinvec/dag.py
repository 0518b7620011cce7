"""DAG of the spaces: run them in order, each only if it has no up-to-date version."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from registry import operations
from registry.database import transaction
from registry.models import Version
from twinvec import digest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import StateError
from twinvec.nn import processes
from twinvec.plugins import load_reference
from twinvec.settings import Settings
from twinvec.spaces import Space, spaces, stage_of
from twinvec.stage import Inputs, fingerprint, help_train, make_versions
from twinvec.tracking.naming import differences
from twinvec.workspace import Workspace

# Changed settings that a reason names.
SHOWN_SETTINGS = 2
NOTHING: Mapping[str, Version] = MappingProxyType({})


@dataclass(frozen=True)
class Step:
    """Result of one space in a run.

    Attributes:
        space: Name of the space.
        version: Version that is up to date now; None if the space was skipped.
        made: True if this run made it.
        seconds: Time of the training.
        reason: Reason why it was made or not.
    """

    space: str
    version: Version | None
    made: bool
    seconds: float
    reason: str


@dataclass(frozen=True)
class Standing:
    """State of one space for a snapshot.

    Attributes:
        space: Name of the space.
        version: Latest usable version, whatever it was made from; None if there is none.
        stale: True if a run would make another version.
        reason: Reason of the state.
    """

    space: str
    version: Version | None
    stale: bool
    reason: str


def run(
    workspace: Workspace,
    snapshot: Snapshot,
    names: Collection[str] | None = None,
    force: bool = False,
    progress: Callable[[str], None] = lambda message: None,
    given: Mapping[str, Version] = NOTHING,
) -> list[Step]:
    """Run every space that is out of date, in order.

    Args:
        workspace: Stores.
        snapshot: Snapshot to make versions of.
        names: Spaces to run; all that the snapshot has the tables for if not given. Spaces that these need, and that
            are out of date, run too.
        force: Make new versions of these spaces even if nothing changed.
        progress: Called with messages.
        given: Space → version to take in place of the latest; what only that one needs is not run.

    Returns:
        Result of each space that was checked.

    Raises:
        NotFoundError: If there is no such space.
        StateError: If a given version was made from another snapshot.
    """
    for version in given.values():
        if version.snapshot_id != snapshot.id:
            raise StateError(
                f"{version.name} was made from snapshot {version.snapshot_id}, not from {snapshot.id}",
                f"name a version of this snapshot, or choose the other with --snapshot {version.snapshot_id}",
            )
    requested = {stage_of(name).name for name in names} if names else _possible(snapshot)
    needed = _with_inputs(requested, given)
    versions: dict[str, Version] = {}
    steps = []
    for space in spaces():
        taken = {made.name: given[made.name] for made in space.outcomes if made.name in given}
        if taken:
            versions |= taken
        elif space.name in needed:
            made = _run_space(
                workspace, snapshot, space, versions, force and space.name in requested, progress
            )
            steps += made
            versions |= {step.space: step.version for step in made if step.version is not None}
    return steps


def standing(workspace: Workspace, snapshot: Snapshot) -> list[Standing]:
    """Return the state of every space for the snapshot; nothing is run, and nothing heavy imported."""
    current: dict[str, Version] = {}
    stale: set[str] = set()
    standings = []
    possible = _possible(snapshot)
    for space in spaces():
        if space.name not in possible:
            continue
        current_versions, _ = up_to_date(workspace, snapshot, space, current)
        # An input that it was made without, and that a run would make first, is to be read too.
        imported = _imported(workspace, snapshot, space) is not None
        if current_versions and (imported or stale.isdisjoint(space.inputs)):
            current |= current_versions
            standings += [
                Standing(name, each, False, _reason_to_keep(snapshot, each))
                for name, each in current_versions.items()
            ]
            continue
        with transaction(workspace.engine) as session:
            latest = {made.name: operations.latest_version(session, made.name) for made in space.outcomes}
        reason = _missing(space, current.keys() | stale)
        reason = reason or _reason_to_skip(space, snapshot, workspace.settings)
        if reason is not None:
            standings += [Standing(name, each, False, f"skipped: {reason}") for name, each in latest.items()]
        else:
            standings += [
                Standing(
                    name,
                    each,
                    True,
                    _reason_to_make(workspace.settings, snapshot, space, each, current, stale),
                )
                for name, each in latest.items()
            ]
            stale.update(latest)
    return standings


def parameters(space: Space, settings: Settings) -> dict[str, Any]:
    """Return the settings that decide the vectors of a space, by group."""
    values = {name: getattr(settings, name).deciding() for name in space.settings}
    return {**values, "seed": settings.seed}


def up_to_date(
    workspace: Workspace, snapshot: Snapshot, space: Space, versions: Mapping[str, Version]
) -> tuple[dict[str, Version], str]:
    """Return the versions that a run would make again, by space, empty unless all are there; and the fingerprint.

    Versions that were made when operational settings were part of the fingerprint are found by that one. An imported
    version of a space of content stands in for those of the space's own training while it is the newest.
    """
    inputs = {name: versions[name] for name in space.inputs if name in versions}
    settings = workspace.settings
    before = {name: getattr(settings, name).deciding_as_before() for name in space.settings}
    first, *others = space.outcomes
    if (imported := _imported(workspace, snapshot, space)) is not None:
        own = fingerprint(space.name, snapshot.id, inputs, parameters(space, settings), space.revision)
        return {space.name: imported}, own
    marks = []
    for values in (parameters(space, settings), {**before, "seed": settings.seed}):
        marks.append(fingerprint(first.name, snapshot.id, inputs, values, space.revision))
        with transaction(workspace.engine) as session:
            made = {first.name: operations.latest_version(session, first.name, marks[-1])}
            version = made[first.name]
            for other in others if version is not None else ():
                made_from = {first.name: version} if version is not None else {}
                own = fingerprint(other.name, snapshot.id, made_from, values, space.revision)
                made[other.name] = operations.latest_version(session, other.name, own)
        current = {name: version for name, version in made.items() if version is not None}
        if len(current) == len(space.outcomes):
            return current, marks[0]
    return {}, marks[0]


def import_mark(name: str, snapshot_id: str) -> str:
    """Return the fingerprint of all versions of a space that were imported for a snapshot."""
    return digest.of_json({"imported": name, "snapshot": snapshot_id})


def _imported(workspace: Workspace, snapshot: Snapshot, space: Space) -> Version | None:
    """Return the newest version of a space of content for a snapshot if it was imported."""
    if space.encoder is None:
        return None
    with transaction(workspace.engine) as session:
        version = operations.latest_version(session, space.name, snapshot_id=snapshot.id)
    if version is None or version.fingerprint != import_mark(space.name, snapshot.id):
        return None
    return version


def _reason_to_keep(snapshot: Snapshot, version: Version) -> str:
    imported = version.fingerprint == import_mark(version.space, snapshot.id)
    return "imported" if imported else "up to date"


def _reason_to_make(
    settings: Settings,
    snapshot: Snapshot,
    space: Space,
    version: Version | None,
    current: Mapping[str, Version],
    stale: Collection[str],
) -> str:
    """Return the reason why a run would make a version in place of the latest one."""
    if version is None:
        return "not made yet"
    if version.snapshot_id != snapshot.id:
        return f"made from the snapshot {version.snapshot_id}"
    if again := [name for name in space.inputs if name in stale]:
        return f"{' and '.join(again)} would be made again"
    before = {parent.digest for parent in version.inputs}
    inputs = [current[name] for name in space.inputs if name in current]
    newer = [parent.name for parent in inputs if parent.digest not in before]
    if newer and version.space == space.outcomes[0].name:
        return f"made before {' and '.join(newer)}"
    changed = changed_settings(version.settings, parameters(space, settings)) if version.settings else ""
    return f"settings changed: {changed}" if changed else "settings or code changed"


def changed_settings(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Return the settings that were others before, as text; empty if none were."""
    differing = differences(before, now)
    shown = [f"{name} was {old}, is {new}" for name, old, new in differing[:SHOWN_SETTINGS]]
    more = len(differing) - len(shown)
    return "; ".join(shown) + (f"; {more} more" if more else "")


def _run_space(
    workspace: Workspace,
    snapshot: Snapshot,
    space: Space,
    versions: Mapping[str, Version],
    force: bool,
    progress: Callable[[str], None],
) -> list[Step]:
    current, mark = up_to_date(workspace, snapshot, space, versions)
    if current and not force:
        return [
            Step(name, version, False, 0.0, _reason_to_keep(snapshot, version))
            for name, version in current.items()
        ]
    missing = _missing(space, versions)
    reason = missing or _reason_to_skip(space, snapshot, workspace.settings)
    if reason is not None:
        if missing is None:
            progress(f"{space.name}: skipped, {reason}")
        return [Step(made.name, None, False, 0.0, f"skipped: {reason}") for made in space.outcomes]
    started = time.perf_counter()
    inputs = Inputs(
        workspace,
        snapshot,
        {name: versions[name] for name in space.inputs if name in versions},
        workspace.settings.paths.checkpoints / f"{space.outcomes[0].name}-{mark}",
    )
    progress(f"{space.name}: training")
    train = load_reference(space.train)
    processes.wait()  # until all have seen that the version is not there
    if processes.is_first():
        made = make_versions(
            inputs,
            [each.name for each in space.outcomes],
            mark,
            parameters(space, workspace.settings),
            train,
            lambda message: progress(f"{space.name}: {message}"),
            space.revision,
        )
    else:
        help_train(inputs, train)
        made, _ = up_to_date(workspace, snapshot, space, versions)
    seconds, reason = time.perf_counter() - started, "forced" if current else "made"
    return [Step(each.name, made.get(each.name), True, seconds, reason) for each in space.outcomes]


def _missing(space: Space, available: Collection[str]) -> str | None:
    """Return which spaces without a version keep a space from being made; None if none do."""
    if missing := [name for name in space.needs if name not in available]:
        return f"there is no version of {', '.join(missing)}"
    if space.needs_one_of and not any(name in available for name in space.needs_one_of):
        return f"there is no version of {' or '.join(space.needs_one_of)}"
    return None


def _reason_to_skip(space: Space, snapshot: Snapshot, settings: Settings) -> str | None:
    lacking = [name for name in space.tables if name not in snapshot.tables and name not in space.derived]
    if lacking:
        return f"the source has no table `{lacking[0]}`"
    if space.reason_to_skip is None:
        return None
    reason: str | None = load_reference(space.reason_to_skip)(snapshot, settings)
    return reason


def _possible(snapshot: Snapshot) -> set[str]:
    """Return the spaces whose tables the snapshot has."""
    return {space.name for space in spaces() if set(space.tables) <= set(snapshot.tables)}


def _with_inputs(names: Collection[str], given: Collection[str]) -> set[str]:
    """Return the spaces and all that they read, but for what only given versions need."""
    needed = set(names)
    makers = {made.name: space.name for space in spaces() for made in space.outcomes}
    for space in reversed(spaces()):
        if space.name in needed and not any(made.name in given for made in space.outcomes):
            needed.update(makers[name] for name in space.inputs if name in makers)
    return needed
