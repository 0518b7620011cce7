"""Snapshots and the times that they are of. Each function takes an open session and leaves the commit to its caller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from registry.database import RegistryError, lock
from registry.models import Snapshot, SnapshotTime, State, Version, utc_now


def record_snapshot(session: Session, snapshot: Snapshot, as_of: datetime | None = None) -> Snapshot:
    """Record `snapshot`, and return its row: the existing one if the contents are known.

    Args:
        session: Session of the registry.
        snapshot: Snapshot.
        as_of: Time from which the catalogue was so. If not given it is the time of the ingest, unless the latest
            snapshot is this one: then nothing has changed.

    Raises:
        RegistryError: If another snapshot has this time, or features of this one have a later time.
    """
    lock(session.connection(), "snapshots")
    existing = session.get(Snapshot, snapshot.id)
    if existing is None:
        session.add(snapshot)
        session.flush()
    else:
        existing.ingested_at = utc_now()
    _record_time(session, existing or snapshot, as_of)
    return existing or snapshot


def snapshot_times(session: Session) -> Sequence[SnapshotTime]:
    """Return from when the catalogue was as in which snapshot, oldest first."""
    return session.scalars(select(SnapshotTime).order_by(SnapshotTime.as_of)).all()


def first_time(session: Session, snapshot: Snapshot) -> datetime:
    """Return the first time that a snapshot is of: the `event_timestamp` of its features."""
    first = select(func.min(SnapshotTime.as_of)).where(SnapshotTime.snapshot_id == snapshot.id)
    return session.scalar(first) or snapshot.created_at


def latest_snapshot(session: Session) -> Snapshot | None:
    """Return the snapshot of the latest time, or None."""
    return session.scalars(
        select(Snapshot)
        .join(SnapshotTime, SnapshotTime.snapshot_id == Snapshot.id)
        .order_by(SnapshotTime.as_of.desc())
        .limit(1)
    ).first()


def all_snapshots(session: Session) -> Sequence[Snapshot]:
    """Return all snapshots, oldest first."""
    return session.scalars(select(Snapshot).order_by(Snapshot.created_at)).all()


def _record_time(session: Session, snapshot: Snapshot, as_of: datetime | None) -> None:
    """Record that the catalogue was as in `snapshot` from a time on; see `record_snapshot`."""
    times = snapshot_times(session)
    if as_of is not None:
        _state_time(session, snapshot.id, as_of, times)
    elif not times or times[-1].snapshot_id != snapshot.id:
        known = any(each.snapshot_id == snapshot.id for each in times)
        now = utc_now() if known else snapshot.created_at
        while any(each.as_of == now for each in times):
            now += timedelta(microseconds=1)
        session.add(SnapshotTime(as_of=now, snapshot_id=snapshot.id, stated=False))
    session.flush()


def _state_time(session: Session, snapshot_id: str, as_of: datetime, times: Sequence[SnapshotTime]) -> None:
    taken = next((each for each in times if each.as_of == as_of), None)
    if taken is not None:
        if taken.snapshot_id != snapshot_id:
            raise RegistryError(
                f"snapshot {taken.snapshot_id} is of {as_of.isoformat()} already, and this one has other contents\n"
                "  hint: two snapshots cannot be of one time; state the times to the minute or second"
            )
        taken.stated = True
        return
    own = [each for each in times if each.snapshot_id == snapshot_id]
    if own and as_of < own[0].as_of:
        _refuse_features(session, snapshot_id, as_of, own[0].as_of)
    after = next((each for each in own if each.as_of > as_of), None)
    if after is not None and not after.stated:
        session.delete(after)  # nobody named it, so the one named now is meant
    session.add(SnapshotTime(as_of=as_of, snapshot_id=snapshot_id, stated=True))


def _refuse_features(session: Session, snapshot_id: str, as_of: datetime, first: datetime) -> None:
    made = select(Version.space, Version.number).where(
        Version.snapshot_id == snapshot_id, Version.state.in_([State.BUILDING, State.READY])
    )
    names = [f"{space}@v{number}" for space, number in session.execute(made)]
    if names:
        raise RegistryError(
            f"snapshot {snapshot_id} holds the same data and is of {first.isoformat()}; {', '.join(names)} were made "
            f"from it with that time, and do not change to {as_of.isoformat()}\n"
            "  hint: state the time when you first ingest, or ingest into a new home"
        )
