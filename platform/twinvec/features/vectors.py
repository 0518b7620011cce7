"""Writing of the Parquet files of a version: vectors, or a table of something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from twinvec.columns import EVENT_TIMESTAMP
from twinvec.errors import StoreError

FOLDER = "vectors"
ROWS_PER_FILE = 1_000_000
ROWS_PER_GROUP = 10_000
KEYS_AT_ONCE = 2_000_000

Floats = npt.NDArray[np.float32]
Batch = tuple[Sequence[str] | pa.Array, Mapping[str, Floats]]


def write_vectors(
    folder: Path,
    entity: str,
    keys: Sequence[str] | pa.Array,
    fields: Mapping[str, Floats],
    timestamp: datetime,
    rows_per_file: int = ROWS_PER_FILE,
) -> int:
    """Write one vector for each key and field to `folder`/vectors, and return the number of rows.

    Args:
        folder: Empty folder, which the caller renames when it is complete (`files.new_folder`).
        entity: Name of the key column, `product_id` or `category`.
        keys: Keys [n] without repetition.
        fields: Column name → float32 [n, d].
        timestamp: Moment from which the vectors are valid, with its time zone.
        rows_per_file: Number of rows of every file but the last.

    Raises:
        StoreError: If a vector is not finite; its key is named.
        ValueError: If a key is repeated, or shapes do not fit.
    """
    if any(len(vectors) != len(keys) for vectors in fields.values()):
        raise ValueError(f"{len(keys)} keys for { ({name: len(v) for name, v in fields.items()}) } vectors")
    batches = (
        (
            keys[start : start + ROWS_PER_GROUP],
            {name: v[start : start + ROWS_PER_GROUP] for name, v in fields.items()},
        )
        for start in range(0, len(keys), ROWS_PER_GROUP)
    )
    return write_batches(folder, entity, batches, timestamp, rows_per_file)


def write_batches(
    folder: Path,
    entity: str,
    batches: Iterable[Batch],
    timestamp: datetime,
    rows_per_file: int = ROWS_PER_FILE,
) -> int:
    """Write vectors as `write_vectors` does, from batches of (keys, fields), in the memory of one batch.

    A file ends after the batch that fills it.
    """
    target = folder / FOLDER
    target.mkdir(parents=True)
    rows = 0
    writer: pq.ParquetWriter | None = None
    in_file = part = 0
    try:
        for table in _tables(entity, batches, timestamp):
            if writer is None:
                path = target / f"part-{part:05d}.parquet"
                # Floats neither repeat nor compress; keys compress, the one timestamp is a dictionary.
                writer = pq.ParquetWriter(
                    path, table.schema, compression={entity: "zstd"}, use_dictionary=[EVENT_TIMESTAMP]
                )
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            rows += table.num_rows
            in_file += table.num_rows
            if in_file >= rows_per_file:
                writer.close()
                writer, in_file, part = None, 0, part + 1
    finally:
        if writer is not None:
            writer.close()
    if rows == 0:
        raise StoreError(f"no vectors to write to {target}", "a version needs at least one row")
    _refuse_repeated(target, rows, entity)
    return rows


def write_table(
    folder: Path,
    entity: str,
    keys: Sequence[str] | pa.Array,
    columns: Mapping[str, pa.Array],
    timestamp: datetime,
) -> int:
    """Write a table with a row for each key to `folder`/vectors, where readers look for vectors, too.

    Args:
        folder: Empty folder, which the caller renames when it is complete.
        entity: Name of the key column.
        keys: Keys [n] without repetition.
        columns: Column name → values [n].
        timestamp: Moment from which the rows are valid, with its time zone.

    Returns:
        The number of rows.

    Raises:
        StoreError: if there are no rows.
        ValueError: if a key is repeated, or lengths do not fit.
    """
    table = pa.table({entity: pa.array(keys, pa.string()), **columns})
    rows, _ = write_tables(folder, (entity,), [table], timestamp)
    return rows


def write_tables(
    folder: Path, keys: Sequence[str], tables: Iterable[pa.Table], timestamp: datetime
) -> tuple[int, dict[str, str]]:
    """Write a table to `folder`/vectors from batches of its rows, in the memory of a batch.

    Args:
        folder: Empty folder, which the caller renames when it is complete.
        keys: Names of the columns that identify a row.
        tables: Batches of rows, all with the same columns, these keys among them.
        timestamp: Moment from which the rows are valid, with its time zone.

    Returns:
        The number of rows, and the type of each column but the keys.

    Raises:
        StoreError: if there are no rows.
        ValueError: if a key is repeated.
    """
    target = folder / FOLDER
    target.mkdir(parents=True)
    moment = pa.scalar(timestamp, pa.timestamp("us", tz="UTC"))
    rows = 0
    types: dict[str, str] = {}
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            types = {field.name: str(field.type) for field in table.schema if field.name not in keys}
            for first in range(0, table.num_rows, ROWS_PER_FILE):
                part = table.slice(first, ROWS_PER_FILE)
                dated = part.append_column(EVENT_TIMESTAMP, pa.repeat(moment, len(part)))
                if writer is None:
                    path = target / f"part-{rows // ROWS_PER_FILE:05d}.parquet"
                    writer = pq.ParquetWriter(path, dated.schema, compression="zstd")
                writer.write_table(dated, row_group_size=ROWS_PER_GROUP)
                before, rows = rows, rows + len(part)
                if before // ROWS_PER_FILE != rows // ROWS_PER_FILE:
                    writer.close()
                    writer = None
    finally:
        if writer is not None:
            writer.close()
    if rows == 0:
        raise StoreError(f"no rows to write to {target}", "a version needs at least one row")
    _refuse_repeated(target, rows, *keys)
    return rows, types


def read_keys(folder: Path, entity: str) -> pa.Array:
    """Return the keys of a version's vectors, in the order in which they were written, strings [rows]."""
    parts = sorted((folder / FOLDER).glob("*.parquet"))
    columns = [pq.read_table(part, columns=[entity])[entity] for part in parts]
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks]).combine_chunks()


def _tables(entity: str, batches: Iterable[Batch], timestamp: datetime) -> Iterator[pa.Table]:
    moment = pa.scalar(timestamp, pa.timestamp("us", tz="UTC"))
    shapes: dict[str, int] = {}
    for keys, fields in batches:
        names = pa.array(keys, pa.string())
        columns: dict[str, pa.Array] = {entity: names}
        for field, vectors in fields.items():
            if vectors.ndim != 2 or len(vectors) != len(names):
                raise ValueError(f"{field} has shape {vectors.shape} for {len(names)} keys")
            if vectors.shape[1] != shapes.setdefault(field, vectors.shape[1]):
                raise ValueError(f"{field} has vectors of {shapes[field]} and of {vectors.shape[1]} numbers")
            finite = np.isfinite(vectors).all(axis=1)
            if not finite.all():
                raise StoreError(
                    f"{field} of {entity} {names[int(finite.argmin())].as_py()!r} is not finite "
                    f"({int((~finite).sum())} of {len(names)} rows of its batch are not)",
                    "training has diverged: lower the learning rate or look at its inputs",
                )
            columns[field] = _lists(vectors)
        columns[EVENT_TIMESTAMP] = pa.repeat(moment, len(names))
        yield pa.table(columns)


def _lists(vectors: Floats) -> pa.ListArray:
    rows, dimension = vectors.shape
    offsets = np.arange(0, rows * dimension + 1, dimension, dtype=np.int32)
    values = np.ascontiguousarray(vectors, dtype=np.float32).ravel()
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def _refuse_repeated(target: Path, rows: int, *keys: str) -> None:
    """Refuse a key that comes twice, a part of the keys at a time: Feast would keep one row, and not say which."""
    names = ", ".join(f'"{key}"' for key in keys)
    parts = 1 + rows // KEYS_AT_ONCE
    query = f"""
        FROM read_parquet($files) SELECT {names}, count(*) AS times WHERE hash({names}) % $parts = $part
        GROUP BY ALL HAVING times > 1 LIMIT 1
    """
    with duckdb.connect() as connection:
        for part in range(parts):
            chosen = {"files": f"{target}/*.parquet", "parts": parts, "part": part}
            repeated = connection.execute(query, chosen).fetchone()
            if repeated is not None:
                *values, times = repeated
                named = ", ".join(f"{key} {value!r}" for key, value in zip(keys, values, strict=True))
                raise ValueError(f"{named} comes {times} times")
