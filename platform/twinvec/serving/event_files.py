"""Events as Parquet files in a folder: a file each few seconds, which appears whole."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from twinvec.errors import StoreError
from twinvec.files import new_file
from twinvec.serving.event_table import EventTable
from twinvec.settings import Settings

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
# Events that are converted at once: no request waits longer than that takes, some milliseconds.
PIECE = 1000


def write_file(folder: Path, events: Sequence[Mapping[str, Any]]) -> None:
    """Write events into a new file of a folder.

    Raises:
        StoreError: If it cannot be written, as on a full disk.
    """
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:8]}.parquet"
    pieces = (events[first : first + PIECE] for first in range(0, len(events), PIECE))
    try:
        with new_file(folder / name) as staging:
            _write(staging, pieces)
    except OSError as error:
        raise StoreError(
            f"events cannot be written into {folder}: {error.strerror or error}",
            "free space, or let it be written",
        ) from error


@contextmanager
def files_of_events(settings: Settings) -> Iterator[Path]:
    """Yield the folder of the events' files; those of a database are copied into one that is removed afterwards.

    Raises:
        StoreError: If the database does not answer.
    """
    events = settings.serving.events
    if events.url is None:
        yield events.folder or settings.paths.events
        return
    with TemporaryDirectory(prefix="twinvec-events-") as name:
        folder = Path(name)
        pieces = EventTable(events.url.get_secret_value()).read()
        _write(folder / "events.parquet", pieces)
        yield folder


def _write(file: Path, pieces: Iterable[Sequence[Mapping[str, Any]]]) -> None:
    with pq.ParquetWriter(file, EVENTS) as writer:
        for piece in pieces:
            writer.write_table(pa.Table.from_pylist(list(piece), EVENTS))
