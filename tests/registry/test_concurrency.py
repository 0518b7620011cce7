from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import Engine, select

from registry import operations
from registry.database import transaction
from registry.models import Release, Snapshot, State, Version
from registry.snapshots import all_snapshots

WORKERS = 6


def together(work: Callable[[int], int]) -> list[int]:
    """Run `work` in several threads that start at the same moment."""
    barrier = Barrier(WORKERS)

    def start(worker: int) -> int:
        barrier.wait()
        return work(worker)

    with ThreadPoolExecutor(WORKERS) as threads:
        return list(threads.map(start, range(WORKERS)))


def test_versions_begun_together(engine: Engine, new_version: Callable[..., Version]) -> None:
    def begin(worker: int) -> int:
        with transaction(engine) as session:
            # Reading first is what a pipeline does; it must not make the write fail.
            operations.latest_version(session, "text")
            return new_version(session, "text", state=State.BUILDING).number

    assert sorted(together(begin)) == list(range(1, WORKERS + 1))


def test_releases_begun_and_promoted_together(
    engine: Engine, new_release: Callable[..., Release], record_property: Callable[[str, object], None]
) -> None:
    def promote(worker: int) -> int:
        with transaction(engine) as session:
            number = new_release(session).number
        with transaction(engine) as session:
            release = operations.releases(session, "related_products")[number - 1]
            operations.make_live(session, release)
        return number

    assert sorted(together(promote)) == list(range(1, WORKERS + 1))
    with transaction(engine) as session:
        live = session.scalars(select(Release).where(Release.state == State.LIVE)).one()
        retired = session.scalars(select(Release).where(Release.state == State.RETIRED)).all()
        assert len(retired) == WORKERS - 1
        assert operations.aliases(session) == {"related_products": live.collection}
    record_property(
        "fault",
        {
            "fault": f"{WORKERS} threads make a release live in the registry at the same moment; SQLite and PostgreSQL",
            "switches": WORKERS,
            "seen": "each number once, one live in the end",
        },
    )


def test_one_snapshot_recorded_together(engine: Engine, new_snapshot: Callable[..., Snapshot]) -> None:
    def record(worker: int) -> int:
        with transaction(engine) as session:
            return new_snapshot(session).products

    assert together(record) == [7] * WORKERS
    with transaction(engine) as session:
        assert len(all_snapshots(session)) == 1
