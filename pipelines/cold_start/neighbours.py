"""Products of the catalogue that are nearest to a new one in the aligned space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot, quoted
from twinvec.features.vectors import FOLDER
from twinvec.vectors import point_ids

Floats = npt.NDArray[np.float32]
# Cosine by which a neighbour is lighter by a factor e.
TEMPERATURE = 0.1
# Rows compared at once.
CHUNK = 65_536


@dataclass(frozen=True)
class AlignedProducts:
    """The aligned vectors of a catalogue, in memory: 2 bytes a coordinate, half a gigabyte a million products.

    Attributes:
        product_ids, marketplaces: Ids and marketplaces of the products, strings [n].
        vectors: Vectors of length one, float16 [n, d].
    """

    product_ids: pa.ChunkedArray
    marketplaces: pa.ChunkedArray
    vectors: npt.NDArray[np.float16]

    def nearest(self, query: Floats, k: int) -> tuple[list[str], Floats]:
        """Return the point ids of the k nearest products by cosine, and the cosines, nearest first; all are compared.

        Args:
            query: Vector of length one, float32 [d].
            k: Number of neighbours; all products if there are fewer.
        """
        cosines = np.concatenate(
            [
                self.vectors[first : first + CHUNK].astype(np.float32) @ query
                for first in range(0, len(self.vectors), CHUNK)
            ]
        )
        k = min(k, len(cosines))
        rows = np.argpartition(-cosines, k - 1)[:k]
        rows = rows[np.argsort(-cosines[rows], kind="stable")]
        ids = (names.take(pa.array(rows)).to_pylist() for names in (self.marketplaces, self.product_ids))
        return point_ids(*ids), cosines[rows]


def read_aligned(version: Version) -> AlignedProducts:
    """Read an `aligned` version, batch by batch."""
    snapshot = open_snapshot(Path(version.snapshot.path))
    vectors = np.empty((version.rows or 0, version.dimension or 0), np.float16)
    names: list[pa.RecordBatch] = []
    done = 0
    with snapshot.connect() as connection:
        files = quoted(Path(version.path) / FOLDER / "*.parquet")
        batches = connection.sql(
            f"""
            SELECT product_id, marketplace, aligned_vector
            FROM read_parquet({files}) JOIN products USING (product_id)
            """
        ).to_arrow_reader(CHUNK)
        for batch in batches:
            values = batch["aligned_vector"].flatten().to_numpy()
            vectors[done : done + batch.num_rows] = values.reshape(batch.num_rows, -1)
            names.append(batch.select(["product_id", "marketplace"]))
            done += batch.num_rows
    table = pa.Table.from_batches(names)
    return AlignedProducts(table["product_id"], table["marketplace"], vectors[:done])


def weigh(cosines: Floats) -> Floats:
    """Return the weight of each neighbour, float32 [k], summing to one: a softmax of the cosines, float32 [k]."""
    weights = np.exp((cosines - cosines.max()) / TEMPERATURE)
    share: Floats = weights / weights.sum()
    return share
