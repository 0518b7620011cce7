"""Events of visitors: kept in memory for some seconds, then written; never in the way of an answer."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow.parquet as pq

from twinvec.catalogue.snapshot import quoted
from twinvec.errors import NotFoundError, StoreError
from twinvec.files import new_file
from twinvec.serving.event_files import files_of_events, write_file
from twinvec.serving.event_table import EventTable
from twinvec.settings import Settings
from twinvec.settings.serving import EventSettings

Event: TypeAlias = Mapping[str, Any]
Kind = Literal["impression", "click", "cart", "purchase"]
LOG = logging.getLogger("twinvec.serving")
# A click is a view; sessions are requests where a visitor has no name.
TABLES = {
    "views": "SELECT coalesce(visitor, request_id) AS session_id, product_id, time FROM events WHERE kind = 'click'",
    "orders": "SELECT coalesce(order_id, visitor, request_id) AS order_id, product_id, time FROM events "
    "WHERE kind = 'purchase'",
}


class EventLog:
    """Keeps events in memory, and writes them every few seconds, in a thread of its own.

    Args:
        write: Writes events, all or none, or raises a StoreError.
        settings: How many events may wait, and how long.
    """

    def __init__(self, write: Callable[[Sequence[Event]], None], settings: EventSettings) -> None:
        self._write = write
        self._settings = settings
        self._waiting: list[Event] = []
        self._mutex = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, events: Sequence[Event]) -> int:
        """Take events, and return how many: fewer than given if too many wait."""
        with self._mutex:
            room = max(0, self._settings.queue - len(self._waiting))
            taken = [{"event_id": uuid.uuid4(), **event} for event in events[:room]]
            self._waiting += taken
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
        return len(taken)

    def close(self) -> None:
        """Write what waits, and stop; what cannot be written is counted in the log, and lost."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.flush()
        except StoreError as error:
            LOG.error("%d events are lost: %s", len(self._waiting), error.message)

    def flush(self) -> None:
        """Write what waits.

        Raises:
            StoreError: If it cannot be written; it is kept, as long as there is room, and tried again.
        """
        with self._mutex:
            # It counts as waiting until it is written, so that no more than the bound is ever in memory.
            writing = list(self._waiting)
        if writing:
            self._write(writing)
            with self._mutex:
                del self._waiting[: len(writing)]

    def _run(self) -> None:
        while not self._closed.wait(self._settings.seconds):
            try:
                self.flush()
            except StoreError as error:
                LOG.error("%s; %d events wait", error.message, len(self._waiting))


def open_log(settings: EventSettings, folder: Path | None) -> EventLog | None:
    """Return the log of events that the settings name, or None if they name none.

    Args:
        settings: Settings of events.
        folder: Folder of their files, if the settings name no database and no folder.

    Raises:
        StoreError: If the URL of the database is none.
    """
    if not settings.enabled:
        return None
    if settings.url is not None:
        return EventLog(EventTable(settings.url.get_secret_value()).write, settings)
    folder = settings.folder or folder
    return EventLog(partial(write_file, folder), settings) if folder is not None else None


def export_events(settings: Settings, target: Path) -> dict[str, int]:
    """Write `views.parquet` and `orders.parquet` of all events, as `twinvec ingest` reads them.

    Put them beside a catalogue of `--format orders`, or in the place of its tables.

    Returns:
        Table → rows.

    Raises:
        NotFoundError: If there are no events.
        StoreError: If their database does not answer.
    """
    rows = {}
    with open_events(settings) as connection:
        for name, query in TABLES.items():
            file = target / f"{name}.parquet"
            with new_file(file) as staging:
                connection.execute(f"COPY ({query} ORDER BY ALL) TO {quoted(staging)} (FORMAT parquet)")
            rows[name] = pq.read_metadata(file).num_rows
    return rows


@contextmanager
def open_events(settings: Settings) -> Iterator[Any]:
    """Yield a DuckDB connection with the view `events` over all events, of files or of the database.

    Raises:
        NotFoundError: If there are none.
        StoreError: If their database does not answer.
    """
    import duckdb

    with files_of_events(settings) as folder:
        files = list(folder.glob("*.parquet"))
        if not any(pq.read_metadata(file).num_rows for file in files):
            where = "their database" if settings.serving.events.url is not None else folder
            raise NotFoundError(
                f"there are no events in {where}", "set serving.events.enabled, and send some to POST /events"
            )
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"CREATE VIEW events AS FROM read_parquet({quoted(folder / '*.parquet')})")
            yield connection
