from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from registry import operations
from registry.database import transaction
from registry.models import Alias, Release, Snapshot, State, Version, utc_now
from registry.snapshots import all_snapshots, latest_snapshot

NAME = "related_products"
NewSnapshot = Callable[..., Snapshot]
NewVersion = Callable[..., Version]
NewRelease = Callable[..., Release]


def test_numbers_count_up_a_space(session: Session, new_version: NewVersion) -> None:
    names = [new_version(session, space).name for space in ("text", "text", "image", "text")]
    assert names == ["text@v1", "text@v2", "image@v1", "text@v3"]
    latest = operations.latest_version(session, "text")
    assert latest is not None
    assert (latest.path, latest.view) == ("/text/v3", "text__v3")


def test_a_failed_number_is_not_given_again(session: Session, new_version: NewVersion) -> None:
    new_version(session, "text", state=State.FAILED)
    assert new_version(session, "text").number == 2


def test_a_rolled_back_number_is_given_again(engine: Engine, new_version: NewVersion) -> None:
    with Session(engine) as session:
        new_version(session, "text")
        session.rollback()
    with transaction(engine) as session:
        assert operations.versions(session) == []
        assert new_version(session, "text").number == 1


def test_latest_is_the_newest_usable(session: Session, new_version: NewVersion) -> None:
    assert operations.latest_version(session, "text") is None
    for state in (State.READY, State.READY, State.FAILED, State.BUILDING):
        new_version(session, "text", state=state)
    new_version(session, "image")
    latest = operations.latest_version(session, "text")
    assert latest is not None
    assert latest.name == "text@v2"


def test_latest_by_fingerprint(session: Session, new_version: NewVersion) -> None:
    new_version(session, "text", fingerprint="aaaa")
    new_version(session, "text", fingerprint="bbbb")
    new_version(session, "text", fingerprint="aaaa", state=State.FAILED)
    new_version(session, "image", fingerprint="cccc")
    found = operations.latest_version(session, "text", "aaaa")
    assert found is not None
    assert found.number == 1
    assert operations.latest_version(session, "text", "cccc") is None


def test_find_version(session: Session, new_version: NewVersion) -> None:
    new_version(session, "text")
    new_version(session, "text", state=State.FAILED)
    assert operations.find_version(session, "text@v2") is not None
    assert operations.find_version(session, "text@v3") is None
    assert operations.find_version(session, "text@v") is None
    bare = operations.find_version(session, "text")
    assert bare is not None
    assert bare.name == "text@v1"


def test_lineage_of_a_diamond(engine: Engine, new_version: NewVersion) -> None:
    with transaction(engine) as session:
        graph = new_version(session, "graph")
        text = new_version(session, "text", graph)
        image = new_version(session, "image", graph)
        aligned = new_version(session, "aligned", text, image)
        new_version(session, "related", graph, aligned)
        new_version(session, "text", graph)  # not an ancestor
    with transaction(engine) as session:
        related = operations.find_version(session, "related")
        assert related is not None
    names = [version.name for version in operations.lineage(related)]  # with the session closed
    assert sorted(names) == ["aligned@v1", "graph@v1", "image@v1", "related@v1", "text@v1"]
    assert names[0] == "graph@v1"
    assert names[-2:] == ["aligned@v1", "related@v1"]


def test_versions_by_state(session: Session, new_version: NewVersion) -> None:
    for state in (State.READY, State.FAILED, State.READY):
        new_version(session, "text", state=state)
    assert [version.number for version in operations.versions(session, [State.READY])] == [1, 3]
    assert len(operations.versions(session)) == 3


def test_states_come_back_as_states(engine: Engine, new_version: NewVersion) -> None:
    with transaction(engine) as session:
        new_version(session, "text", state=State.FAILED)
    with transaction(engine) as session:
        state = session.scalars(select(Version.state)).one()
    assert state is State.FAILED


def test_snapshots_are_recorded_once(engine: Engine, new_snapshot: NewSnapshot) -> None:
    with transaction(engine) as session:
        first = new_snapshot(session, "a" * 16)
        new_snapshot(session, "b" * 16)
    with transaction(engine) as session:
        latest = latest_snapshot(session)
        assert latest is not None
        assert latest.id == "b" * 16
        again = new_snapshot(session, "a" * 16)
        assert again.created_at == first.created_at
    with transaction(engine) as session:
        assert [snapshot.id[0] for snapshot in all_snapshots(session)] == ["a", "b"]
        latest = latest_snapshot(session)
        assert latest is not None
        assert latest.id == "a" * 16, "ingesting an older catalogue again makes it the latest"


def promote(session: Session, release: Release) -> None:
    operations.make_live(session, release)


def numbers(session: Session) -> tuple[int | None, int | None]:
    """Numbers of the live and of the previous release."""
    live = operations.live_release(session, NAME)
    previous = operations.previous_release(session, NAME)
    return live.number if live else None, previous.number if previous else None


def test_no_release(session: Session) -> None:
    assert numbers(session) == (None, None)
    assert operations.releases(session, NAME) == []


def test_make_live_retires_the_other(session: Session, new_release: NewRelease) -> None:
    first, second, other = new_release(session), new_release(session), new_release(session, "other")
    promote(session, first)
    promote(session, other)
    promote(session, second)
    assert [first.state, second.state, other.state] == [State.RETIRED, State.LIVE, State.LIVE]
    assert [release.number for release in operations.releases(session, NAME)] == [1, 2]
    assert operations.aliases(session) == {NAME: f"{NAME}__v2", "other": "other__v1"}


def test_make_live_again_changes_nothing_else(session: Session, new_release: NewRelease) -> None:
    first, second = new_release(session), new_release(session)
    promote(session, first)
    promote(session, second)
    promote(session, second)
    assert numbers(session) == (2, 1)


def test_previous_release_through_rollbacks(session: Session, new_release: NewRelease) -> None:
    releases = [new_release(session) for _ in range(4)]
    steps = [
        # promoted, then the live and the previous release
        (1, (1, None)),
        (2, (2, 1)),
        (1, (1, None)),  # back from 2: nothing older, and not 2 again
        (3, (3, 1)),  # 1 was live before 3, 2 was not
        (2, (2, 1)),
        (4, (4, 2)),
        (2, (2, 1)),
        (1, (1, None)),
    ]
    for number, expected in steps:
        promote(session, releases[number - 1])
        assert numbers(session) == expected


def test_a_release_never_promoted_is_not_gone_back_to(session: Session, new_release: NewRelease) -> None:
    first, second = new_release(session), new_release(session)
    first.state = State.FAILED
    promote(session, second)
    assert numbers(session) == (2, None)


def test_a_release_holds_its_lineage(engine: Engine, new_release: NewRelease) -> None:
    with transaction(engine) as session:
        promote(session, new_release(session))
    with transaction(engine) as session:
        release = operations.live_release(session, NAME)
    assert release is not None
    assert release.version.name == "related@v1"
    assert release.version.snapshot.products == 7


def test_time_zones_are_kept(engine: Engine, new_release: NewRelease) -> None:
    lima = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    before = utc_now()
    with transaction(engine) as session:
        new_release(session).promoted_at = lima
    with transaction(engine) as session:
        release = operations.releases(session, NAME)[0]
        assert release.promoted_at == lima
        assert before <= release.created_at <= utc_now()
        assert release.created_at.utcoffset() is not None


def test_a_moment_without_time_zone_is_refused(session: Session, new_release: NewRelease) -> None:
    new_release(session).promoted_at = datetime(2026, 3, 1)
    with pytest.raises(StatementError, match="has no time zone"):
        session.flush()


def test_an_alias_is_moved(engine: Engine) -> None:
    for collection in ("a__v1", "a__v2"):
        with transaction(engine) as session:
            operations.set_alias(session, "a", collection)
    with transaction(engine) as session:
        alias = session.scalars(select(Alias)).one()
        assert alias.collection == "a__v2"
        assert alias.updated_at.astimezone(UTC) <= utc_now()
