"""Snapshots: immutable, validated copies of a catalogue and its behaviour logs, named by their contents."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from twinvec import files
from twinvec.catalogue.listings import VIEW as LISTINGS_OF_PRODUCTS
from twinvec.columns import TABLES
from twinvec.errors import CatalogueError, NotFoundError

RECORD = "snapshot.json"
REQUIRED = ("products", "copurchase", "coview")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot on disk.

    Attributes:
        id: 16 hexadecimal digits, the hash of the contents.
        path: The folder of its Parquet files; each table is sorted by its columns from the left.
        directed: Whether co-purchase pairs carry the source's own direction. Otherwise they were mined from
            baskets and each unordered pair is stored once, with `source < target`.
        image_root: Folder or URL that relative image paths start at; not part of the hash.
        tables: Table → rows.
        created_at: UTC; not part of the hash.
    """

    id: str
    path: Path
    directed: bool
    image_root: str | None
    tables: dict[str, int]
    created_at: datetime

    def table(self, name: str) -> Path:
        """Return the Parquet file of table `name`.

        Raises:
            NotFoundError: If this snapshot has no such table.
        """
        if name not in self.tables:
            raise NotFoundError(
                f"snapshot {self.id} has no table {name!r}", f"it has {', '.join(sorted(self.tables))}"
            )
        return self.path / f"{name}.parquet"

    def connect(self, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
        """Return an in-memory DuckDB connection with one view a table; what exceeds `memory_limit` goes to disk.

        There is always a view `listings`: without the table, a product has one for each of its titles.
        """
        connection = duckdb.connect(config={"temp_directory": str(self.path.parent / ".spill")})
        connection.execute("SET TimeZone = 'UTC'")
        if memory_limit is not None:
            connection.execute("SET memory_limit = $limit", {"limit": memory_limit})
        for name in self.tables:
            connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({quoted(self.table(name))})")
        if "listings" not in self.tables:
            connection.execute(f"CREATE VIEW listings AS {LISTINGS_OF_PRODUCTS}")
        return connection


def quoted(value: object) -> str:
    """Return `value` as an SQL string, for the statements that take no parameters."""
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def write_record(snapshot: Snapshot, folder: Path) -> None:
    """Write `snapshot.json` into `folder`; where the snapshot lies is not part of it."""
    record = asdict(snapshot) | {"created_at": snapshot.created_at.isoformat()}
    del record["path"]
    files.write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")


def open_snapshot(path: Path) -> Snapshot:
    """Open the snapshot in the folder `path`.

    Raises:
        NotFoundError: If there is no snapshot there.
        CatalogueError: If its record or a table is missing, cannot be read, or has lost rows.
    """
    path = path.absolute()
    if not path.is_dir():
        others = sorted(other.name for other in path.parent.glob("[0-9a-f]*") if other.is_dir())
        hint = f"there are: {', '.join(others)}" if others else "`twinvec ingest` makes one"
        raise NotFoundError(f"no snapshot at {path}", hint)
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        snapshot = Snapshot(
            **record | {"path": path, "created_at": datetime.fromisoformat(record["created_at"])}
        )
        if snapshot.id != path.name:
            raise ValueError(f"{RECORD} is of snapshot {snapshot.id}")
        for name in {*REQUIRED, *snapshot.tables}:
            _check_table(snapshot, name)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException, NotFoundError) as error:
        raise CatalogueError(
            f"snapshot {path} is damaged: {error}", "ingest its source again: it gets the same id"
        ) from error
    return snapshot


def _check_table(snapshot: Snapshot, name: str) -> None:
    metadata = pq.read_metadata(snapshot.table(name))
    if metadata.num_rows != snapshot.tables[name]:
        raise ValueError(f"{name} has {metadata.num_rows} rows in place of {snapshot.tables[name]}")
    if metadata.schema.to_arrow_schema().names != TABLES[name].names:
        raise ValueError(f"{name} has other columns than {', '.join(TABLES[name].names)}")
