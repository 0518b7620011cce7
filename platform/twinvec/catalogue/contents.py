"""Hash of a snapshot's contents: of the values, not of the bytes of its Parquet files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twinvec import digest

if TYPE_CHECKING:
    from hashlib import _Hash

BATCH_ROWS = 65_536


def digest_of(files: Mapping[str, Path], directed: bool) -> str:
    """Return the digest of the rows of `files` (table → Parquet file) in the order they are stored.

    One running hash for each flat run of values (a column's lengths, its bytes, its nulls): where batches,
    row groups or pages end does not matter, nor does how a file was encoded or compressed.

    Returns:
        16 hexadecimal digits.
    """
    hashes: dict[str, _Hash] = {}
    for table, path in files.items():
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    _add(hashes, f"{table}.{name}", column)
    parts = {name: running.hexdigest() for name, running in hashes.items()}
    return digest.of_json({"tables": sorted(files), "directed": directed, "values": parts})


def _add(hashes: dict[str, _Hash], name: str, column: pa.Array) -> None:
    def put(part: str, values: bytes) -> None:
        hashes.setdefault(f"{name}.{part}", hashlib.sha256()).update(values)

    put("present", _flat(column.is_valid(), "u1"))
    kind = column.type
    if pa.types.is_map(kind):
        # Stored as a list of (key, value); the keys were sorted when the table was written.
        entries = column.cast(pa.list_(_entry(kind)))
        put("length", _flat(pc.list_value_length(entries).fill_null(0), "<i8"))
        for part, values in zip(("key", "item"), entries.flatten().flatten(), strict=True):
            _add(hashes, f"{name}.{part}", values)
    elif pa.types.is_list(kind):
        put("length", _flat(pc.list_value_length(column).fill_null(0), "<i8"))
        _add(hashes, f"{name}.item", column.flatten())
    elif pa.types.is_string(kind):
        put("length", _flat(pc.binary_length(column).fill_null(0), "<i8"))
        values = column.drop_null().cast(pa.binary())
        whole = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
        put("bytes", pc.binary_join(whole, b"")[0].as_py())
    elif pa.types.is_floating(kind):
        # -0.0 and 0.0 are one value, so they must be the same bytes.
        put("value", _flat(pc.add(column.fill_null(0.0), 0.0), "<f8"))
    else:
        put("value", _flat(column.cast(pa.int64()).fill_null(0), "<i8"))


def _entry(kind: pa.MapType) -> pa.StructType:
    return pa.struct([pa.field("key", kind.key_type, nullable=False), pa.field("value", kind.item_type)])


def _flat(values: pa.Array, dtype: str) -> bytes:
    """Return the bytes of an array without nulls, in one byte order on every machine."""
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype).tobytes()
