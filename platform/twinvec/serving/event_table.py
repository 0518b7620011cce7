"""Events in a table of PostgreSQL, for several servers that share no disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Table, Text, Uuid, create_engine, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from twinvec.errors import StoreError

TABLE = Table(
    "twinvec_events",
    MetaData(),
    # Given when the event is taken, so that one that is sent again after a lost answer is stored once.
    Column("event_id", Uuid, primary_key=True),
    Column("time", DateTime(timezone=True), nullable=False, index=True),
    *(Column(name, Text, nullable=False) for name in ("kind", "request_id", "release")),
    *(Column(name, Text) for name in ("arm", "visitor")),
    Column("product_id", Text, nullable=False),
    Column("order_id", Text),
)
# Seconds until a server that does not answer is given up; events wait meanwhile, answers do not.
CONNECT_SECONDS, STATEMENT_SECONDS = 5, 30
PIECE = 1000


class EventTable:
    """The table `twinvec_events` of a database; it is made when the first events are written.

    Args:
        url: SQLAlchemy URL, `postgresql+psycopg://…`.

    Raises:
        StoreError: If it is no URL of PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            parsed = None
        if parsed is None or parsed.get_backend_name() != "postgresql":
            raise StoreError(
                "serving.events.url is no URL of PostgreSQL",
                "write it as postgresql+psycopg://user:…@host/database",
            )
        options = {
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s",
        }
        # A connection for each write, every few seconds: none is lost while the server restarts.
        self._engine = create_engine(parsed, poolclass=NullPool, connect_args=options)
        self._where = f"{parsed.host or 'the local server'}/{parsed.database or ''}"

    def write(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Add events, all or none; one that is there already, by its `event_id`, is left.

        Raises:
            StoreError: If the server does not answer or refuses.
        """
        names = [column.name for column in TABLE.columns]
        rows = [{name: event.get(name) for name in names} for event in events]
        statement = insert(TABLE).on_conflict_do_nothing()
        try:
            with self._engine.begin() as connection:
                # Several workers may come first at once.
                connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(TABLE.name))))
                TABLE.metadata.create_all(connection)
                for first in range(0, len(rows), PIECE):
                    connection.execute(statement, rows[first : first + PIECE])
        except SQLAlchemyError as error:
            raise self._refused("written to", error) from error

    def read(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Yield all events, a piece at a time, as one moment has them.

        Raises:
            StoreError: If the server does not answer or has no such table.
        """
        columns = [column for column in TABLE.columns if column.name != "event_id"]
        try:
            with self._engine.connect().execution_options(yield_per=PIECE) as connection:
                for piece in connection.execute(select(*columns)).mappings().partitions():
                    yield [dict(row) for row in piece]
        except SQLAlchemyError as error:
            raise self._refused("read from", error) from error

    def _refused(self, doing: str, error: SQLAlchemyError) -> StoreError:
        reason = str(getattr(error, "orig", error) or error).strip().splitlines()[0]
        return StoreError(
            f"events cannot be {doing} {self._where}: {reason}",
            "see that the server runs, and that its user may use, and at first create, the table twinvec_events",
        )
