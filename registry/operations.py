"""Operations on the registry. Each takes an open session and leaves the commit to its caller."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable, Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from registry.database import RegistryError, lock
from registry.models import (
    Alias,
    Move,
    Release,
    State,
    Version,
    VersionInput,
    utc_now,
)

# Locked exclusively while removals are decided, and shared while something is made from existing versions.
REMOVALS = "removals"
VERSION_NAME = re.compile(r"(?P<space>[a-z_]+)@v(?P<number>\d+)")

# State → states that may follow. Only releases become live; a retired one may become live again.
MOVES: dict[type[Version] | type[Release], dict[State, tuple[State, ...]]] = {
    Version: {State.BUILDING: (State.READY, State.FAILED), State.READY: (State.REMOVED,)},
    Release: {
        State.BUILDING: (State.READY, State.FAILED),
        State.READY: (State.LIVE, State.REMOVED),
        State.LIVE: (State.RETIRED,),
        State.RETIRED: (State.LIVE, State.REMOVED),
    },
}


class MoveError(RegistryError):
    """A version or a release cannot change from its state to the requested one."""


def whoami() -> str:
    """Return the user of this process, `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number and no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def move(
    session: Session,
    row: Version | Release,
    state: State,
    why: str,
    who: str | None = None,
    run: str | None = None,
) -> None:
    """Change the state of `row`, and record the change. No other function changes a state.

    The present state is read from the database, under a lock that ends with the transaction: of two processes that
    move the same row, the second sees the change of the first.

    Args:
        why: Reason in a few words, for readers of the history.
        who: Author of the change; `user@host` of the process if not given.
        run: MLflow run that causes it; the run that made the version if not given.

    Raises:
        MoveError: If `state` may not follow the present state.
    """
    lock(session.connection(), "moves")
    session.flush()
    session.refresh(row, ["state"])
    allowed = MOVES[type(row)].get(row.state, ())
    if state not in allowed:
        raise MoveError(
            f"{_called(row)} is {row.state} and cannot become {state}\n"
            f"  hint: from {row.state} it can become {' or '.join(allowed) or 'nothing else'}; "
            "`twinvec lineage` shows what became of it, and why"
        )
    _record(session, row, row.state, state, why, who, run)
    row.state = state
    session.flush()


def _record(
    session: Session,
    row: Version | Release,
    before: State | None,
    after: State,
    why: str,
    who: str | None = None,
    run: str | None = None,
) -> None:
    made_by = row.run_id if isinstance(row, Version) else row.version.run_id
    session.add(
        Move(
            kind=_kind(row),
            what=_called(row),
            before=before,
            after=after,
            who=who or whoami(),
            why=why,
            run_id=run or made_by,
        )
    )


def _kind(row: Version | Release) -> str:
    return type(row).__name__.lower()


def _called(row: Version | Release) -> str:
    return row.name if isinstance(row, Version) else row.label


def moves(session: Session, rows: Iterable[Version | Release]) -> Sequence[Move]:
    """Return the recorded changes of these versions and releases, oldest first."""
    conditions = [(Move.kind == _kind(row)) & (Move.what == _called(row)) for row in rows]
    return session.scalars(select(Move).where(or_(False, *conditions)).order_by(Move.id)).all()


def begin_version(
    session: Session,
    space: str,
    snapshot_id: str,
    fingerprint: str,
    inputs: Iterable[Version],
    path: str,
) -> Version:
    """Reserve the next number of `space`, in state `building`.

    Other processes that begin a version of `space` wait until this transaction ends, and get another number.

    Args:
        path: Folder of the files, with `{number}` in place of the number.

    Raises:
        RegistryError: If an input was removed meanwhile.
    """
    lock(session.connection(), f"versions of {space}")
    inputs = list(inputs)
    _refuse_removed(session, inputs)
    highest = session.scalar(select(func.max(Version.number)).where(Version.space == space)) or 0
    number = highest + 1
    version = Version(
        space=space,
        number=number,
        state=State.BUILDING,
        snapshot_id=snapshot_id,
        fingerprint=fingerprint,
        path=path.replace("{number}", str(number)),
        inputs=inputs,
    )
    session.add(version)
    session.flush()
    _record(session, version, None, State.BUILDING, "begun")
    return version


def _refuse_removed(session: Session, versions: Iterable[Version]) -> None:
    # Whoever removes versions has this lock alone. What the session was given may be older than the row.
    lock(session.connection(), REMOVALS, shared=True)
    with session.no_autoflush:
        ids = [version.id for version in versions]
        statement = select(Version.space, Version.number).where(
            Version.id.in_(ids), Version.state == State.REMOVED
        )
        removed = [f"{space}@v{number}" for space, number in session.execute(statement)]
    if removed:
        raise RegistryError(
            f"{', '.join(removed)} was removed by `twinvec prune`\n"
            "  hint: use a newer version; `twinvec status` lists those there are"
        )


def find_version(session: Session, name: str) -> Version | None:
    """Return the version called `name` (`text@v3`), or the latest usable one of a bare space (`text`), or None."""
    match = VERSION_NAME.fullmatch(name)
    if match is None:
        return latest_version(session, name)
    statement = select(Version).where(Version.space == match["space"], Version.number == int(match["number"]))
    return session.scalars(statement).first()


def latest_version(
    session: Session, space: str, fingerprint: str | None = None, snapshot_id: str | None = None
) -> Version | None:
    """Return the newest usable version of `space`; if given, of those with this fingerprint and of this snapshot."""
    statement = select(Version).where(Version.space == space, Version.state == State.READY)
    if snapshot_id is not None:
        statement = statement.where(Version.snapshot_id == snapshot_id)
    if fingerprint is not None:
        statement = statement.where(Version.fingerprint == fingerprint)
    return session.scalars(statement.order_by(Version.number.desc()).limit(1)).first()


def made_from(session: Session, space: str, version: Version) -> Version | None:
    """Return the newest usable version of `space` that was made from `version`, or from an equal one, or None."""
    parent = aliased(Version)
    statement = (
        select(Version)
        .join(VersionInput, VersionInput.version_id == Version.id)
        .join(parent, parent.id == VersionInput.input_id)
        .where(
            parent.space == version.space,
            (parent.id == version.id) | (parent.digest == version.digest),
            Version.space == space,
            Version.state == State.READY,
        )
    )
    return session.scalars(statement.order_by(Version.number.desc()).limit(1)).first()


def versions(session: Session, states: Iterable[State] = tuple(State)) -> Sequence[Version]:
    """Return all versions in one of `states`, in the order they were made."""
    return session.scalars(select(Version).where(Version.state.in_(list(states))).order_by(Version.id)).all()


def lineage(version: Version) -> list[Version]:
    """Return `version` and everything it was made from, each once, inputs first."""
    visited: dict[int, Version] = {}

    def visit(node: Version) -> None:
        if node.id not in visited:
            for parent in node.inputs:
                visit(parent)
            visited[node.id] = node

    visit(version)
    return list(visited.values())


def parts(version: Version) -> list[Version]:
    """Return `version` and the versions that serve with it: its lineage without older versions of the same spaces.

    A version that an update made has the older version of its space, whose model it shares, among its inputs.
    """
    visited: dict[int, Version] = {}

    def visit(node: Version) -> None:
        if node.id not in visited:
            for parent in node.inputs:
                if parent.space != node.space:
                    visit(parent)
            visited[node.id] = node

    visit(version)
    return list(visited.values())


def release_parts(release: Release) -> list[Version]:
    """Return all versions that serve in a release: `parts` of its version and of its lists, inputs first.

    Lists may have been made from an equal version, of the same space and digest, which then is not named twice.
    """
    heads = [release.version] if release.lists is None else [release.version, release.lists]
    serving: dict[tuple[str, str | None], Version] = {}
    for part in (part for head in heads for part in parts(head)):
        serving.setdefault((part.space, part.digest), part)
    return list(serving.values())


def trained(version: Version) -> Version:
    """Return the version of the same space whose training made the model: itself, unless updates lie between."""
    while (older := next((each for each in version.inputs if each.space == version.space), None)) is not None:
        version = older
    return version


def descendants(session: Session, version: Version) -> list[Version]:
    """Return everything that was made from `version`, directly or not, each once, in the order of making."""
    visited: dict[int, Version] = {}
    newest: Iterable[int] = [version.id]
    while newest:
        children = session.scalars(
            select(Version)
            .join(VersionInput, VersionInput.version_id == Version.id)
            .where(VersionInput.input_id.in_(list(newest)))
        ).all()
        newest = {child.id for child in children} - visited.keys()
        visited |= {child.id: child for child in children}
    return [visited[key] for key in sorted(visited)]


def releases_of(session: Session, versions: Iterable[Version]) -> Sequence[Release]:
    """Return the releases, of any name, that serve one of these versions, oldest first."""
    ids = [version.id for version in versions]
    served = Release.version_id.in_(ids) | Release.lists.has(Version.id.in_(ids))
    return session.scalars(select(Release).where(served).order_by(Release.id)).all()


def begin_release(session: Session, name: str, version: Version, lists: Version | None = None) -> Release:
    """Reserve the next release of `name`, in state `building`; its collection is `<name>__v<number>`.

    Args:
        lists: Version that lists the answers of `version`, if there is one.

    Raises:
        RegistryError: If a version was removed meanwhile.
    """
    lock(session.connection(), f"releases of {name}")
    _refuse_removed(session, [version] if lists is None else [version, lists])
    highest = session.scalar(select(func.max(Release.number)).where(Release.name == name)) or 0
    number = highest + 1
    release = Release(
        name=name,
        number=number,
        state=State.BUILDING,
        version=version,
        lists=lists,
        collection=f"{name}__v{number}",
    )
    session.add(release)
    session.flush()
    _record(session, release, None, State.BUILDING, f"begun from {version.name}")
    return release


def releases(session: Session, name: str) -> Sequence[Release]:
    """Return all releases of `name`, oldest first."""
    return session.scalars(select(Release).where(Release.name == name).order_by(Release.number)).all()


def release_of_collection(session: Session, collection: str) -> Release | None:
    """Return the release that a collection belongs to, or None."""
    return session.scalars(select(Release).where(Release.collection == collection)).first()


def live_release(session: Session, name: str) -> Release | None:
    """Return the release of `name` that serves now, or None."""
    return session.scalars(select(Release).where(Release.name == name, Release.state == State.LIVE)).first()


def make_live(session: Session, release: Release, why: str = "promoted", who: str | None = None) -> None:
    """Retire the live release, make `release` live, and record the collection of the alias.

    For the release that is live already, only the time of promotion changes.

    Raises:
        MoveError: If the release is not whole.
    """
    lock(session.connection(), f"releases of {release.name}")
    session.flush()
    session.refresh(release, ["state"])
    if release.state != State.LIVE:
        # One live release a name is all the unique index allows, so the old one goes first.
        live = live_release(session, release.name)
        if live is not None:
            move(session, live, State.RETIRED, f"{release.label} took its place", who)
        move(session, release, State.LIVE, why, who)
    release.promoted_at = utc_now()
    set_alias(session, release.name, release.collection)
    session.flush()


def previous_release(session: Session, name: str) -> Release | None:
    """Return the release that a rollback restores: of those before the live one, the one promoted last.

    Only lower numbers count: after a rollback, the next rollback must not restore the release that was rolled back.
    """
    live = live_release(session, name)
    statement = select(Release).where(
        Release.name == name, Release.state == State.RETIRED, Release.promoted_at.is_not(None)
    )
    if live is not None:
        statement = statement.where(Release.number < live.number)
    statement = statement.order_by(Release.promoted_at.desc(), Release.number.desc())
    return session.scalars(statement.limit(1)).first()


def set_alias(session: Session, name: str, collection: str) -> None:
    """Record the collection that the Qdrant alias `name` points at."""
    session.merge(Alias(name=name, collection=collection, updated_at=utc_now()))


def aliases(session: Session) -> dict[str, str]:
    """Return alias → collection."""
    return {alias.name: alias.collection for alias in session.scalars(select(Alias))}
