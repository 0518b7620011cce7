"""Product scalars as features: title, category, price and others."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from twinvec import files
from twinvec.columns import EVENT_TIMESTAMP

SCALARS = ("title", "category", "price", "currency", "marketplace", "brand")
SEPARATOR = " > "
PART = "part-00000.parquet"
# Of the products of a snapshot, at $moment, in microseconds since 1970.
SELECT = f"""
    SELECT product_id,
           map_values(title)[1] AS title,
           array_to_string(category, '{SEPARATOR}') AS category,
           price, currency, marketplace, brand,
           make_timestamptz($moment) AS {EVENT_TIMESTAMP}
    FROM read_parquet($products)
"""


def write_scalars(products: Path, target: Path, timestamp: datetime, memory_limit: str = "4GB") -> None:
    """Write the scalars of a snapshot's products to `target`/part-00000.parquet, out of core.

    Args:
        products: Path of the snapshot's `products.parquet`.
        target: Folder to create; it appears whole or not at all.
        timestamp: Moment from which the scalars are valid, with its time zone.
        memory_limit: Memory limit of DuckDB; beyond it, disk is used.
    """
    with files.new_folder(target) as staging:
        write_query(
            SELECT, {"products": str(products), "moment": micros(timestamp)}, staging / PART, memory_limit
        )


def write_query(query: str, parameters: Mapping[str, object], file: Path, memory_limit: str) -> None:
    """Write the rows of a query to a Parquet file, out of core."""
    spill, target = file.with_name(f"{file.name}.spill"), str(file).replace("'", "''")
    try:
        with duckdb.connect() as connection:
            connection.execute("SET memory_limit = $limit", {"limit": memory_limit})
            connection.execute("SET temp_directory = $folder", {"folder": str(spill)})
            connection.execute(
                f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)", {**parameters}
            )
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def micros(moment: datetime) -> int:
    """Return the microseconds from 1970 to a moment."""
    return round(moment.timestamp() * 1_000_000)


def time_of_scalars(folder: Path) -> datetime | None:
    """Return the moment from which the scalars in a folder are valid; None if there are none."""
    part = folder / PART
    if not part.is_file():
        return None
    with pq.ParquetFile(part) as file:
        first = next(file.iter_batches(1, columns=[EVENT_TIMESTAMP]), None)
    moment: datetime | None = first[EVENT_TIMESTAMP][0].as_py() if first is not None else None
    return moment
