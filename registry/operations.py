"""The few operations on the registry; each takes an open session and leaves the commit to its caller."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable, Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from registry.database import RegistryError, lock
from registry.models import Alias, Move, Release, Snapshot, State, Version, VersionInput, utc_now

# Held alone while it is decided what is removed, and shared while something is made of what is there.
REMOVALS = "removals"
VERSION_NAME = re.compile(r"(?P<space>[a-z_]+)@v(?P<number>\d+)")

# What may follow what. Versions are made once and never serve by themselves; releases go live and come back.
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
    """A version or a release cannot go from the state it is in to the one that was asked for."""


def whoami() -> str:
    """Who runs this process, `user@host`."""
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
    """Change the state of `row`, and record it; nothing else changes a state.

    The state it is in is read from the database, under a lock that ends with the transaction: of two who move the
    same row, the second sees what the first made of it.

    Args:
        why: in a few words, for people who read the history.
        who: the process' `user@host` if not given.
        run: the MLflow run it comes from; the one that made the version if not given.

    Raises:
        MoveError: if `state` may not follow the present one.
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
    """All that was recorded of these versions and releases, oldest first."""
    wanted = [(Move.kind == _kind(row)) & (Move.what == _called(row)) for row in rows]
    return session.scalars(select(Move).where(or_(False, *wanted)).order_by(Move.id)).all()


def record_snapshot(session: Session, snapshot: Snapshot) -> Snapshot:
    """Record `snapshot` as the latest; if its contents are known already, give back the row that is there."""
    lock(session.connection(), "snapshots")
    known = session.get(Snapshot, snapshot.id)
    if known is not None:
        known.ingested_at = utc_now()
        return known
    session.add(snapshot)
    session.flush()
    return snapshot


def latest_snapshot(session: Session) -> Snapshot | None:
    """The snapshot ingested last, or None."""
    return session.scalars(select(Snapshot).order_by(Snapshot.ingested_at.desc()).limit(1)).first()


def snapshots(session: Session) -> Sequence[Snapshot]:
    """All snapshots, oldest first."""
    return session.scalars(select(Snapshot).order_by(Snapshot.created_at)).all()


def begin_version(
    session: Session,
    space: str,
    snapshot_id: str,
    fingerprint: str,
    inputs: Iterable[Version],
    path: str,
) -> Version:
    """Reserve the next number of `space`, in state `building`.

    Others who begin a version of `space` meanwhile wait for this transaction to end, and get another number.

    Args:
        path: where the files will be, with `{number}` in place of the number.

    Raises:
        RegistryError: if an input was removed meanwhile.
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
        wanted = [version.id for version in versions]
        statement = select(Version.space, Version.number).where(
            Version.id.in_(wanted), Version.state == State.REMOVED
        )
        removed = [f"{space}@v{number}" for space, number in session.execute(statement)]
    if removed:
        raise RegistryError(
            f"{', '.join(removed)} was removed by `twinvec prune`\n"
            "  hint: use a newer version; `twinvec status` lists those there are"
        )


def find_version(session: Session, name: str) -> Version | None:
    """The version called `name` (`text@v3`), or the latest usable one of a bare space (`text`), or None."""
    match = VERSION_NAME.fullmatch(name)
    if match is None:
        return latest_version(session, name)
    statement = select(Version).where(Version.space == match["space"], Version.number == int(match["number"]))
    return session.scalars(statement).first()


def latest_version(session: Session, space: str, fingerprint: str | None = None) -> Version | None:
    """The newest usable version of `space`, if asked for only among those with this fingerprint."""
    statement = select(Version).where(Version.space == space, Version.state == State.READY)
    if fingerprint is not None:
        statement = statement.where(Version.fingerprint == fingerprint)
    return session.scalars(statement.order_by(Version.number.desc()).limit(1)).first()


def versions(session: Session, states: Iterable[State] = tuple(State)) -> Sequence[Version]:
    """All versions in one of `states`, in the order they were made."""
    return session.scalars(select(Version).where(Version.state.in_(list(states))).order_by(Version.id)).all()


def lineage(version: Version) -> list[Version]:
    """`version` and everything it was made from, each once, inputs before what was made of them."""
    found: dict[int, Version] = {}

    def visit(node: Version) -> None:
        if node.id not in found:
            for parent in node.inputs:
                visit(parent)
            found[node.id] = node

    visit(version)
    return list(found.values())


def parts(version: Version) -> list[Version]:
    """`version` and what serves along with it: its lineage, without versions that another of their space was made from.

    A version that an update made has the older version of its space, whose model it shares, among its inputs.
    """
    found: dict[int, Version] = {}

    def visit(node: Version) -> None:
        if node.id not in found:
            for parent in node.inputs:
                if parent.space != node.space:
                    visit(parent)
            found[node.id] = node

    visit(version)
    return list(found.values())


def trained(version: Version) -> Version:
    """The version of the same space whose training made the model: itself, unless updates lie between."""
    while (older := next((each for each in version.inputs if each.space == version.space), None)) is not None:
        version = older
    return version


def descendants(session: Session, version: Version) -> list[Version]:
    """Everything that was made from `version`, and from that, each once, in the order it was made."""
    found: dict[int, Version] = {}
    newest: Iterable[int] = [version.id]
    while newest:
        children = session.scalars(
            select(Version)
            .join(VersionInput, VersionInput.version_id == Version.id)
            .where(VersionInput.input_id.in_(list(newest)))
        ).all()
        newest = {child.id for child in children} - found.keys()
        found |= {child.id: child for child in children}
    return [found[key] for key in sorted(found)]


def releases_of(session: Session, versions: Iterable[Version]) -> Sequence[Release]:
    """The releases, of any name, that serve one of these versions, oldest first."""
    wanted = [version.id for version in versions]
    return session.scalars(select(Release).where(Release.version_id.in_(wanted)).order_by(Release.id)).all()


def begin_release(session: Session, name: str, version: Version) -> Release:
    """Reserve the next release of `name`, in state `building`; its collection is `<name>__v<number>`.

    Raises:
        RegistryError: if the version was removed meanwhile.
    """
    lock(session.connection(), f"releases of {name}")
    _refuse_removed(session, [version])
    highest = session.scalar(select(func.max(Release.number)).where(Release.name == name)) or 0
    number = highest + 1
    release = Release(
        name=name, number=number, state=State.BUILDING, version=version, collection=f"{name}__v{number}"
    )
    session.add(release)
    session.flush()
    _record(session, release, None, State.BUILDING, f"begun from {version.name}")
    return release


def releases(session: Session, name: str) -> Sequence[Release]:
    """All releases of `name`, oldest first."""
    return session.scalars(select(Release).where(Release.name == name).order_by(Release.number)).all()


def live_release(session: Session, name: str) -> Release | None:
    """The release of `name` that serves now, or None."""
    return session.scalars(select(Release).where(Release.name == name, Release.state == State.LIVE)).first()


def make_live(session: Session, release: Release, why: str = "promoted", who: str | None = None) -> None:
    """Retire the release that is live, make `release` live and remember where the alias points.

    Making the live one live again only sets when it was promoted.

    Raises:
        MoveError: if the release is not whole.
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
    """What a rollback goes back to: of the releases before the live one, the one that was promoted last.

    Only lower numbers count: after a rollback, the release that was rolled back from is not what the next
    rollback should bring back.
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
    """Remember where the Qdrant alias `name` points."""
    session.merge(Alias(name=name, collection=collection, updated_at=utc_now()))


def aliases(session: Session) -> dict[str, str]:
    """Alias → collection."""
    return {alias.name: alias.collection for alias in session.scalars(select(Alias))}
