from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from registry import operations
from registry.database import migrate, open_engine, transaction
from registry.models import Release, Snapshot, State, Version
from registry.snapshots import record_snapshot


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'registry.db'}"
    emptied: str = request.getfixturevalue("emptied_postgres")
    return emptied


@pytest.fixture
def empty(url: str) -> Iterator[Engine]:
    """An empty database, without tables."""
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty: Engine) -> Engine:
    """A migrated database."""
    migrate(empty)
    return empty


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with transaction(engine) as session:
        yield session


def _new_snapshot(session: Session, name: str = "0123456789abcdef") -> Snapshot:
    snapshot = Snapshot(
        id=name,
        path=f"/snapshots/{name}",
        source="shop.json",
        format="parquet",
        products=7,
        report={"read": 8},
    )
    return record_snapshot(session, snapshot)


def _new_version(
    session: Session,
    space: str,
    *inputs: Version,
    fingerprint: str = "f" * 16,
    state: State = State.READY,
) -> Version:
    snapshot = _new_snapshot(session)
    version = operations.begin_version(
        session, space, snapshot.id, fingerprint, inputs, f"/{space}/v{{number}}"
    )
    version.state = state
    session.flush()
    return version


def _new_release(session: Session, name: str = "related_products") -> Release:
    release = operations.begin_release(session, name, _new_version(session, "related"))
    release.state = State.READY
    return release


@pytest.fixture
def new_snapshot() -> Callable[..., Snapshot]:
    return _new_snapshot


@pytest.fixture
def new_version() -> Callable[..., Version]:
    return _new_version


@pytest.fixture
def new_release() -> Callable[..., Release]:
    return _new_release
