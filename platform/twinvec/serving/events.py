"""Events of visitors: kept in memory for some seconds, then written as Parquet; never in the way of an answer."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from twinvec.catalogue.snapshot import quoted
from twinvec.errors import NotFoundError
from twinvec.settings.serving import EventSettings

Kind = Literal["impression", "click", "cart", "purchase"]
EVENTS = pa.schema(
    [
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        # Of the answer that the visitor saw, which carried both.
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("release", pa.string(), nullable=False),
        pa.field("arm", pa.string()),
        pa.field("visitor", pa.string()),
        # Product that was shown, clicked or bought.
        pa.field("product_id", pa.string(), nullable=False),
        # Order of a purchase.
        pa.field("order_id", pa.string()),
    ]
)
# A click is a view; sessions are requests where a visitor has no name.
TABLES = {
    "views": "SELECT coalesce(visitor, request_id) AS session_id, product_id, time FROM events WHERE kind = 'click'",
    "orders": "SELECT coalesce(order_id, visitor, request_id) AS order_id, product_id, time FROM events "
    "WHERE kind = 'purchase'",
}


class EventLog:
    """Writes events to a folder, a file every few seconds.

    Args:
        folder: Folder of the files.
        settings: How many events may wait, and how long.
    """

    def __init__(self, folder: Path, settings: EventSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._waiting: list[Mapping[str, Any]] = []
        self._mutex = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Take events, and return how many: fewer than given if too many wait."""
        with self._mutex:
            taken = events[: max(0, self._settings.queue - len(self._waiting))]
            self._waiting += taken
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
        return len(taken)

    def close(self) -> None:
        """Write what waits, and stop."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Write what waits into a new file, which appears whole."""
        with self._mutex:
            waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:8]}.parquet"
            staging = self._folder / f".{name}.part"  # no reader takes it for a file of events
            pq.write_table(pa.Table.from_pylist(waiting, EVENTS), staging)
            staging.rename(self._folder / name)
        except OSError:
            with self._mutex:  # a full disk: kept as long as there is room, and tried again
                self._waiting = [*waiting, *self._waiting][: self._settings.queue]
            raise

    def _run(self) -> None:
        import logging

        while not self._closed.wait(self._settings.seconds):
            try:
                self.flush()
            except OSError as error:
                logging.getLogger("twinvec.serving").error("events cannot be written: %s", error)


def export_events(folder: Path, target: Path) -> dict[str, int]:
    """Write `views.parquet` and `orders.parquet` of the events of a folder, as `twinvec ingest` reads them.

    Put them beside a catalogue of `--format orders`, or in the place of its tables.

    Returns:
        Table → rows.

    Raises:
        NotFoundError: If there are no events.
    """
    connection = open_events(folder)
    target.mkdir(parents=True, exist_ok=True)
    rows = {}
    with connection:
        for name, query in TABLES.items():
            file = target / f"{name}.parquet"
            staging = target / f".{name}.parquet"
            connection.execute(f"COPY ({query} ORDER BY ALL) TO {quoted(staging)} (FORMAT parquet)")
            staging.rename(file)
            rows[name] = pq.read_metadata(file).num_rows
    return rows


def open_events(folder: Path) -> Any:
    """Return a DuckDB connection with the view `events` over the files of a folder.

    Raises:
        NotFoundError: If there are none.
    """
    import duckdb

    if not any(folder.glob("*.parquet")):
        raise NotFoundError(
            f"there are no events in {folder}", "set serving.events.enabled, and send some to POST /events"
        )
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW events AS FROM read_parquet({quoted(folder / '*.parquet')})")
    return connection
