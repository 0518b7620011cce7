"""The registry's database: open it, migrate its tables, lock and commit."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, make_url, select, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from registry.models import HOME

MIGRATIONS = Path(__file__).parent.parent / "migrations"


class RegistryError(Exception):
    """The registry refuses an operation; the message says why, and what to do."""


def open_engine(url: str, home: Path | None = None) -> Engine:
    """Open the database at `url` (SQLite or PostgreSQL); an SQLite file and its folder are created.

    Args:
        url: SQLAlchemy URL.
        home: Folder that paths in the rows are relative to; that of an SQLite file if not given.
    """
    parsed = make_url(url)
    # A file is opened again for each reader who may not write it: that nobody writes to it holds for a moment only.
    reader = (
        parsed.get_backend_name() == "sqlite"
        and bool(parsed.database)
        and _is_read_only(parsed.database or "")
    )
    engine = create_engine(parsed, pool_pre_ping=True, poolclass=NullPool if reader else None)
    if home is None and parsed.get_backend_name() == "sqlite" and parsed.database:
        home = Path(parsed.database).parent
    setattr(engine.dialect, HOME, home.absolute() if home is not None else None)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            with suppress(PermissionError):  # who may not write may read
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            event.listen(engine, "do_connect", _open_read_only)
        event.listen(engine, "connect", _configure_sqlite)
    return engine


def _is_read_only(database: str) -> bool:
    """Return whether the file exists and cannot be written, by its rights or because the disk is read-only."""
    file = Path(database)
    return file.is_file() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def _open_read_only(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
    """Open a file for reading if it cannot be written.

    Without a write-ahead log beside it, nobody writes to it now; SQLite would else want to make one.
    """
    if not _is_read_only(arguments[0]):
        return
    file = Path(arguments[0])
    log = file.with_name(f"{file.name}-wal")
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    arguments[0] = f"{file.absolute().as_uri()}?mode=ro{immutable}"
    options["uri"] = True


def _configure_sqlite(connection: Any, _record: object) -> None:
    # SQLite ignores foreign keys unless told; WAL and a busy timeout let readers go on beside one writer.
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA foreign_keys = ON")
    with suppress(sqlite3.OperationalError):  # opened for reading only
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def lock(connection: Connection, name: str, *, shared: bool = False) -> None:
    """Lock `name` until the transaction ends. A shared lock excludes only exclusive ones.

    PostgreSQL has named locks. SQLite has one writer at a time: the transaction becomes it now, before anything is
    read, so that what it reads does not change until it writes.
    """
    if connection.dialect.name == "postgresql":
        take = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        connection.execute(select(take(func.hashtext(f"twinvec {name}"))))
        return
    driver: Any = connection.connection.dbapi_connection
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def held(engine: Engine, name: str) -> Iterator[bool]:
    """Hold the lock `name` while the block runs, across transactions. It ends with its process.

    Yields:
        True if the lock was taken; False, at once, if another process, thread or machine holds it.
    """
    if engine.dialect.name == "postgresql":
        # A session's lock: the server lets it go when the connection ends, however it ends.
        key = func.hashtext(f"twinvec {name}")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            ours = bool(connection.scalar(select(func.pg_try_advisory_lock(key))))
            try:
                yield ours
            finally:
                if ours:
                    connection.execute(select(func.pg_advisory_unlock(key)))
        return
    database = Path(engine.url.database or "registry.db")
    with database.with_name(f".{database.name}.{name.replace(' ', '-')}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def latest_revision() -> str:
    """Return the newest revision of the tables that this code has: migrations are numbered `0001_…`, `0002_…`."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the tables, or None if there are none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def migrate(engine: Engine, revision: str = "head") -> None:
    """Migrate the tables to `revision`, up or down; `base` removes them all.

    Several processes may start at once: one migrates, the others wait. Tables that are up to date cost one small
    query, without importing Alembic.

    Raises:
        RegistryError: If the tables are newer than this code.
    """
    target = {"head": latest_revision(), "base": None}.get(revision, revision)
    with engine.connect() as connection:
        if current_revision(connection) == target:
            return
    with engine.begin() as connection:
        lock(connection, "migrations")
        current = current_revision(connection)
        if (current or "") > latest_revision():
            raise RegistryError(
                f"the registry at {engine.url!r} has tables of revision {current}; "
                f"this code knows them up to {latest_revision()}: update Twinvec"
            )
        if current != target:
            _run_migrations(connection, revision, upgrade=(target or "") > (current or ""))


def _run_migrations(connection: Connection, revision: str, *, upgrade: bool) -> None:
    from alembic import command  # half a second to import, and seldom needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    (command.upgrade if upgrade else command.downgrade)(config, revision)


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Yield a session that commits when the block ends and rolls back on an error."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
