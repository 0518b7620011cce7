"""The few operations on the registry; each takes an open session and leaves the commit to its caller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from registry.database import lock
from registry.models import Alias, Release, Snapshot, State, Version, utc_now

VERSION_NAME = re.compile(r"(?P<space>[a-z_]+)@v(?P<number>\d+)")


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
    """
    lock(session.connection(), f"versions of {space}")
    highest = session.scalar(select(func.max(Version.number)).where(Version.space == space)) or 0
    number = highest + 1
    version = Version(
        space=space,
        number=number,
        state=State.BUILDING,
        snapshot_id=snapshot_id,
        fingerprint=fingerprint,
        path=path.replace("{number}", str(number)),
        inputs=list(inputs),
    )
    session.add(version)
    session.flush()
    return version


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


def begin_release(session: Session, name: str, version: Version) -> Release:
    """Reserve the next release of `name`, in state `building`; its collection is `<name>__v<number>`."""
    lock(session.connection(), f"releases of {name}")
    highest = session.scalar(select(func.max(Release.number)).where(Release.name == name)) or 0
    number = highest + 1
    release = Release(
        name=name, number=number, state=State.BUILDING, version=version, collection=f"{name}__v{number}"
    )
    session.add(release)
    session.flush()
    return release


def releases(session: Session, name: str) -> Sequence[Release]:
    """All releases of `name`, oldest first."""
    return session.scalars(select(Release).where(Release.name == name).order_by(Release.number)).all()


def live_release(session: Session, name: str) -> Release | None:
    """The release of `name` that serves now, or None."""
    return session.scalars(select(Release).where(Release.name == name, Release.state == State.LIVE)).first()


def make_live(session: Session, release: Release) -> None:
    """Retire the release that is live, make `release` live and remember where the alias points."""
    lock(session.connection(), f"releases of {release.name}")
    # One live release a name is all the unique index allows, so the old one goes first.
    session.execute(
        update(Release)
        .where(Release.name == release.name, Release.state == State.LIVE, Release.id != release.id)
        .values(state=State.RETIRED)
    )
    release.state = State.LIVE
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
