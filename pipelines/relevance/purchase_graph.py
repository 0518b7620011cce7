"""Neighbourhoods in the graph of purchases: breadth-first to depth 2, by DuckDB in bounded memory (SALAM 3.2).

Queries and products are nodes, `q:<query_id>` and `p:<product_id>`; an edge is a product bought after a query. A
neighbourhood has at most N nodes:

1. its root;
2. the root's neighbours, those with most purchases first;
3. their neighbours, so many as there is room for: the strongest of each of them first, then the second of each, and so
   on. Of one neighbour at most twice its even share of the room is looked at, so that a product that everybody buys
   cannot fill a million neighbourhoods.

Its edges are the purchases that were followed between these nodes. Roots are taken a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twinvec.catalogue.snapshot import quoted

QUERY, PRODUCT = "q:", "p:"
Ints = npt.NDArray[np.int64]

_NODES = f"""
    CREATE TABLE nodes AS
    SELECT (row_number() OVER (ORDER BY node_id) - 1)::INTEGER AS node, node_id
    FROM (
        SELECT DISTINCT '{QUERY}' || query_id AS node_id FROM purchases
        UNION ALL SELECT DISTINCT '{PRODUCT}' || product_id FROM purchases
    )"""
_ADJACENT = f"""
    CREATE TABLE adjacent AS
    WITH edges AS (
        SELECT query.node AS query, product.node AS product, count
        FROM purchases
        JOIN nodes query ON query.node_id = '{QUERY}' || purchases.query_id
        JOIN nodes product ON product.node_id = '{PRODUCT}' || purchases.product_id
    )
    SELECT node, other, rank::INTEGER AS rank FROM (
        SELECT *, row_number() OVER (PARTITION BY node ORDER BY count DESC, other) AS rank
        FROM (
            SELECT query AS node, product AS other, count FROM edges
            UNION ALL SELECT product, query, count FROM edges
        )
    ) WHERE rank < $nodes ORDER BY node, rank"""
_CHUNK = """
    WITH first AS (
        SELECT node AS root, other AS near, rank AS near_rank,
               count(*) OVER (PARTITION BY node) AS degree, $nodes - 1 - count(*) OVER (PARTITION BY node) AS room
        FROM adjacent WHERE node >= $from AND node < $to
    ),
    second AS (
        SELECT root, near_rank, degree, room, adjacent.other AS far, adjacent.rank AS far_rank
        FROM first JOIN adjacent ON adjacent.node = near
        WHERE adjacent.other <> root AND adjacent.rank <= ceil(2 * room / degree)
    ),
    chosen AS (
        SELECT root, far, place FROM (
            SELECT root, far, any_value(room) AS room,
                   row_number() OVER (PARTITION BY root ORDER BY min(far_rank), min(near_rank), far) AS place
            FROM second GROUP BY root, far
        ) WHERE place <= room
    ),
    members AS (
        SELECT root, 0 AS position, root AS node FROM (SELECT DISTINCT root FROM first)
        UNION ALL SELECT root, near_rank, near FROM first
        UNION ALL SELECT root, degree + place, far
                  FROM chosen JOIN (SELECT DISTINCT root, degree FROM first) USING (root)
    ),
    links AS (
        SELECT root, 0 AS source, near_rank AS target FROM first
        UNION ALL
        SELECT root, near_rank, degree + place FROM second JOIN chosen USING (root, far)
    )
    SELECT root, nodes, sources, targets
    FROM (SELECT root, list(node ORDER BY position) AS nodes FROM members GROUP BY root)
    JOIN (
        SELECT root, list(source ORDER BY source, target) AS sources, list(target ORDER BY source, target) AS targets
        FROM links GROUP BY root
    ) USING (root)
    ORDER BY root"""


@dataclass(frozen=True)
class Chunk:
    """Neighbourhoods of some roots; lists lie one after the other.

    Attributes:
        first: Number of the first root.
        nodes: Numbers of the nodes, the root's first, int32.
        node_counts: Nodes of each root, int64 [roots].
        sources, targets: Positions of the ends of each edge among the root's nodes, int16.
        edge_counts: Edges of each root, int64 [roots].
    """

    first: int
    nodes: npt.NDArray[np.int32]
    node_counts: Ints
    sources: npt.NDArray[np.int16]
    targets: npt.NDArray[np.int16]
    edge_counts: Ints


@dataclass(frozen=True)
class PurchaseGraph:
    """The graph of a snapshot's purchases, in a DuckDB database on disk.

    Attributes:
        connection: Connection with the tables `nodes` and `adjacent`.
        node_ids: Ids of the nodes in the order of their numbers, strings [n]; sorted.
    """

    connection: duckdb.DuckDBPyConnection
    node_ids: pa.Array

    def neighbourhoods(self, nodes: int, chunk: int) -> Iterator[Chunk]:
        """Yield the neighbourhoods of all nodes in the order of their numbers, `chunk` at a time.

        Args:
            nodes: Largest number of nodes of a neighbourhood.
            chunk: Number of roots.
        """
        for start in range(0, len(self.node_ids), chunk):
            parameters = {"nodes": nodes, "from": start, "to": start + chunk}
            table = self.connection.sql(_CHUNK, params=parameters).to_arrow_table()
            lists = {name: table[name].combine_chunks() for name in ("nodes", "sources", "targets")}
            yield Chunk(
                start,
                _values(lists["nodes"], np.int32),
                _lengths(lists["nodes"]),
                _values(lists["sources"], np.int16),
                _values(lists["targets"], np.int16),
                _lengths(lists["sources"]),
            )


@contextmanager
def open_purchases(purchases: Path, nodes: int, memory_limit: str, folder: Path) -> Iterator[PurchaseGraph]:
    """Yield the graph of purchases; its database is deleted at the end of the block.

    Args:
        purchases: Parquet file of a snapshot's table `query_purchases`.
        nodes: Largest number of nodes of a neighbourhood.
        memory_limit: DuckDB's memory limit.
        folder: Folder for the database.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=folder, prefix=".purchases-") as work,
        duckdb.connect(Path(work) / "graph.duckdb", config={"temp_directory": work}) as connection,
    ):
        connection.execute("SET memory_limit = $limit", {"limit": memory_limit})
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"CREATE VIEW purchases AS FROM read_parquet({quoted(purchases)})")
        connection.execute(_NODES)
        connection.execute("SET preserve_insertion_order = true")  # `adjacent` is read by ranges of its nodes
        connection.execute(_ADJACENT, {"nodes": nodes})
        ids = connection.sql("SELECT node_id FROM nodes ORDER BY node").to_arrow_table()["node_id"]
        yield PurchaseGraph(connection, ids.combine_chunks())


def _values(lists: pa.ListArray, dtype: type[Any]) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False).astype(dtype)
    return values


def _lengths(lists: pa.ListArray) -> Ints:
    lengths: Ints = lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths
