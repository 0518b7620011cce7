"""Points of a release: the vectors of a version, joined with the snapshot's data of each product."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from registry.models import Version
from twinvec.catalogue.snapshot import Snapshot, quoted
from twinvec.errors import VerificationError
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER
from twinvec.spaces import LISTINGS, PRODUCTS, Entity
from twinvec.vectors.points import PointBatch, make_points

# The feature store shows the same title.
POINTS = """
    SELECT product_id, marketplace, {title}, category, price, currency, brand, image, {more}
           {source} AS source_vector, {target} AS target_vector
    FROM {table} JOIN vectors USING ({key})
"""
OF_LISTINGS = ("item_id", "family_id", "language")


def read_points(
    snapshot: Snapshot,
    version: Version,
    fields: tuple[str, str],
    collection: str,
    rows: int,
    memory_limit: str,
    every_product: bool = True,
    entity: Entity = PRODUCTS,
) -> Iterator[PointBatch]:
    """Yield every product of the snapshot once, with two vectors of `version`, in batches of at most `rows`.

    Memory is that of a batch, and of DuckDB's join within `memory_limit`; beyond it, disk is used.

    Args:
        snapshot: Snapshot with the products and their payload.
        version: Version with the vectors.
        fields: Columns of the vectors `source` and `target`; they may be the same.
        collection: Collection the points go to, which is part of their payload.
        rows: Largest number of points in a batch.
        memory_limit: DuckDB's memory limit.
        every_product: True if each product needs vectors; otherwise products without them are left out.
        entity: Kind of thing that has the vectors: products, or their listings.

    Raises:
        VerificationError: Before the first batch, if a product has no vectors or vectors have no product.
    """
    manifest = Manifest.from_json(version.manifest)
    listed = entity is LISTINGS
    query = POINTS.format(
        title="title" if listed else "map_values(title)[1] AS title",
        more=", ".join(OF_LISTINGS) + "," if listed else "",
        source=fields[0],
        target=fields[1],
        table=entity.table,
        key=entity.key,
    )
    with snapshot.connect(memory_limit) as connection:
        files = quoted(Path(version.path) / FOLDER / "*.parquet")
        connection.execute(f"CREATE VIEW vectors AS FROM read_parquet({files})")
        _refuse_differences(connection, snapshot, version, entity, every_product)
        chunks: pa.RecordBatchReader = connection.sql(query).to_arrow_reader(rows)
        for chunk in chunks:
            # DuckDB returns chunks of its own size, even if `rows` is smaller.
            for start in range(0, chunk.num_rows, rows):
                yield _points(chunk.slice(start, rows), collection, manifest.dimension)


def _points(batch: pa.RecordBatch, collection: str, dimension: int) -> PointBatch:
    return make_points(
        product_id=batch["product_id"].to_pylist(),
        marketplace=batch["marketplace"].to_pylist(),
        title=batch["title"].to_pylist(),
        category=batch["category"].to_pylist(),
        price=batch["price"].to_pylist(),
        release=collection,
        source=_array(batch["source_vector"], dimension),
        target=_array(batch["target_vector"], dimension),
        currency=batch["currency"].to_pylist(),
        brand=batch["brand"].to_pylist(),
        image=batch["image"].to_pylist(),
        listing=batch.select(OF_LISTINGS).to_pylist() if OF_LISTINGS[0] in batch.schema.names else None,
    )


def _array(column: pa.ListArray, dimension: int) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = column.flatten().to_numpy()
    return values.reshape(-1, dimension)


def _refuse_differences(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    version: Version,
    entity: Entity,
    every_product: bool,
) -> None:
    rows, key = entity.table, entity.key
    for table, other, message in (
        (rows, "vectors", f"{rows} of snapshot {snapshot.id} have no vectors in {version.name}"),
        ("vectors", rows, f"vectors of {version.name} are of no {entity.name} in snapshot {snapshot.id}"),
    ):
        if not every_product and table == rows:
            continue
        query = f"SELECT count(*), min({key}) FROM {table} ANTI JOIN {other} USING ({key})"
        count, first = connection.execute(query).fetchall()[0]
        if count:
            raise VerificationError(
                f"{count:,} {message}, {first} first",
                f"make the version again from this snapshot: `twinvec train {version.space} --force`",
            )
