"""Product scalars as features: title, category, price and others."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import duckdb

from twinvec import files

SCALARS = ("title", "category", "price", "currency", "marketplace", "brand")
SEPARATOR = " > "


def write_scalars(products: Path, target: Path, timestamp: datetime, memory_limit: str = "4GB") -> None:
    """Write the scalars of a snapshot's products to `target`/part-00000.parquet, out of core.

    Args:
        products: Path of the snapshot's `products.parquet`.
        target: Folder to create; it appears whole or not at all.
        timestamp: Moment from which the scalars are valid, with its time zone.
        memory_limit: Memory limit of DuckDB; beyond it, disk is used.
    """
    query = f"""
        COPY (
            SELECT product_id,
                   map_values(title)[1] AS title,
                   array_to_string(category, '{SEPARATOR}') AS category,
                   price, currency, marketplace, brand,
                   make_timestamptz($moment) AS event_timestamp
            FROM read_parquet($products)
        ) TO '{{file}}' (FORMAT parquet, COMPRESSION zstd)
    """
    with files.new_folder(target) as staging, duckdb.connect() as connection:
        spill = staging / "spill"
        connection.execute("SET memory_limit = $limit", {"limit": memory_limit})
        connection.execute("SET temp_directory = $folder", {"folder": str(spill)})
        file = str(staging / "part-00000.parquet").replace("'", "''")
        moment = int(timestamp.timestamp() * 1_000_000)
        connection.execute(query.format(file=file), {"moment": moment, "products": str(products)})
        shutil.rmtree(spill, ignore_errors=True)
