from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from registry import operations
from registry.database import RegistryError, transaction
from registry.models import Move, Release, State, Version

NAME = "related_products"
NewVersion = Callable[..., Version]
NewRelease = Callable[..., Release]


def steps(session: Session, *rows: Version | Release) -> list[tuple[str | None, str]]:
    return [(move.before, move.after) for move in operations.moves(session, rows)]


def test_every_move_is_allowed_or_refused(session: Session, new_version: NewVersion) -> None:
    """All pairs of states, for both kinds; only what the table names is done, and only that is recorded."""
    allowed, refused = set(), []
    for before in State:
        for after in State:
            version = new_version(session, "related", state=before)
            # A name of its own: one name has one live release.
            release = operations.begin_release(session, f"{before}_{after}", new_version(session, "related"))
            release.state = before
            for row in (version, release):
                recorded = len(operations.moves(session, [row]))
                try:
                    operations.move(session, row, after, "because")
                except operations.MoveError as error:
                    refused.append(f"is {before} and cannot become {after}" in str(error))
                    assert row.state == before
                    assert len(operations.moves(session, [row])) == recorded
                else:
                    allowed.add(f"{type(row).__name__} {before} {after}")
                    assert row.state == after
                    assert steps(session, row)[-1] == (before, after)
    assert refused == [True] * 62
    assert allowed == {
        "Version building ready",
        "Version building failed",
        "Version ready removed",
        "Release building ready",
        "Release building failed",
        "Release ready live",
        "Release live retired",
        "Release retired live",
        "Release ready removed",
        "Release retired removed",
    }


def test_a_move_says_what_who_when_why_and_from_which_run(engine: Engine, new_version: NewVersion) -> None:
    with transaction(engine) as session:
        version = new_version(session, "related", state=State.BUILDING)
        version.run_id = "f00d"
        operations.move(session, version, State.READY, "trained")
        release = operations.begin_release(session, NAME, version)
        operations.move(session, release, State.READY, "verified", who="ada@engine", run="cafe")
    with transaction(engine) as session:
        found = operations.moves(session, [version, release])
        assert [(m.kind, m.what, m.before, m.after, m.why, m.run_id) for m in found] == [
            ("version", "related@v1", None, "building", "begun", None),
            ("version", "related@v1", "building", "ready", "trained", "f00d"),
            ("release", "related_products@v1", None, "building", "begun from related@v1", "f00d"),
            ("release", "related_products@v1", "building", "ready", "verified", "cafe"),
        ]
        myself = f"{getpass.getuser()}@{socket.gethostname()}"
        assert [m.who for m in found] == [myself, myself, myself, "ada@engine"]
        assert [m.at for m in found] == sorted(m.at for m in found)
        assert operations.moves(session, [release]) == found[2:]
        assert operations.moves(session, []) == []


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", unknown)
    user, _, host = operations.whoami().partition("@")
    assert user.isdigit()
    assert host == socket.gethostname()


def test_promotions_leave_both_releases_histories(session: Session, new_release: NewRelease) -> None:
    first, second = new_release(session), new_release(session)
    operations.make_live(session, first)
    operations.make_live(session, second, "better", "ada@engine")
    operations.make_live(session, second, "again")
    history = operations.moves(session, [first, second])
    told = [(m.what, m.after, m.why) for m in history if m.after in (State.LIVE, State.RETIRED)]
    assert told == [
        (f"{NAME}@v1", "live", "promoted"),
        (f"{NAME}@v1", "retired", f"{NAME}@v2 took its place"),
        (f"{NAME}@v2", "live", "better"),
    ], "what is live already does not move"


def test_a_failed_release_does_not_go_live(session: Session, new_release: NewRelease) -> None:
    live, failed = new_release(session), new_release(session)
    operations.make_live(session, live)
    failed.state = State.FAILED
    with pytest.raises(operations.MoveError, match=r"related_products@v2 is failed and cannot become live"):
        operations.make_live(session, failed)


def test_of_two_who_move_the_same_row_one_is_refused(engine: Engine, new_release: NewRelease) -> None:
    """Both have read `building` before either writes; the state is read again under the lock."""
    with transaction(engine) as session:
        operations.begin_release(session, NAME, new_release(session, "other").version)
    barrier = Barrier(6)

    def finish(worker: int) -> str:
        state = State.READY if worker % 2 else State.FAILED
        try:
            with transaction(engine) as session:
                release = operations.releases(session, NAME)[0]
                assert release.state == State.BUILDING
                barrier.wait()
                operations.move(session, release, state, f"worker {worker}")
        except operations.MoveError:
            return "refused"
        return "moved"

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(finish, range(6))) == ["moved"] + ["refused"] * 5
    with transaction(engine) as session:
        done = session.scalars(select(Move).where(Move.what == f"{NAME}@v1", Move.before.is_not(None))).all()
        assert len(done) == 1
        assert operations.releases(session, NAME)[0].state == done[0].after


def test_what_was_made_from_a_version(engine: Engine, new_version: NewVersion) -> None:
    with transaction(engine) as session:
        graph = new_version(session, "graph")
        text = new_version(session, "text", graph)
        image = new_version(session, "image", graph)
        aligned = new_version(session, "aligned", text, image)
        related = new_version(session, "related", graph, aligned)
        other = new_version(session, "related", new_version(session, "graph"))
        first, second = (operations.begin_release(session, NAME, version) for version in (related, other))
    with transaction(engine) as session:

        def names(version: Version) -> list[str]:
            return [made.name for made in operations.descendants(session, version)]

        assert names(graph) == ["text@v1", "image@v1", "aligned@v1", "related@v1"]
        assert names(image) == ["aligned@v1", "related@v1"]
        assert names(related) == []
        made = [graph, *operations.descendants(session, graph)]
        assert [release.label for release in operations.releases_of(session, made)] == [first.label]
        assert operations.releases_of(session, [text]) == []
        assert [release.label for release in operations.releases_of(session, [other])] == [second.label]


def test_nothing_is_made_of_what_was_removed(engine: Engine, new_version: NewVersion) -> None:
    with transaction(engine) as session:
        version = new_version(session, "related")
    with transaction(engine) as session:
        operations.move(session, session.get_one(Version, version.id), State.REMOVED, "old")
    assert version.state == State.READY, "as a pipeline holds it, which read it before"
    with pytest.raises(RegistryError, match=r"related@v1 was removed"), transaction(engine) as session:
        operations.begin_version(
            session, "related_onto", "0123456789abcdef", "f", [session.merge(version)], "/"
        )
    with pytest.raises(RegistryError, match=r"related@v1 was removed"), transaction(engine) as session:
        operations.begin_release(session, NAME, session.get_one(Version, version.id))
    with transaction(engine) as session:
        assert session.get_one(Version, version.id).state == State.REMOVED
