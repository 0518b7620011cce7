"""Edges of lent behaviour, which are trained on and never tested (ProductSIM 6)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from pipelines.graph.product_graph import Split
from twinvec.catalogue.snapshot import quoted


def add_lent(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    behaviour: str,
    edges: str,
    directed: bool,
    least: float,
    half: float | None = None,
) -> int:
    """Add lent edges to the training edges of the table `edges`, which is divided already.

    Only edges on the training side lend, so that no copy of a held-out edge is learned, and a lent edge runs as the
    lending one does. Held-out edges stay held out, whether lent ones say the same or not. The table gets a column
    `weight`: 1 of observed edges, and of a lent one the sum of its counts, at most 1.

    Args:
        connection: Connection with `node` and the table `edges(source, target, count, split)`.
        files: Tables of lent pairs, as `twinvec.catalogue.transfers.LENT`.
        behaviour: `copurchase` or `coview`.
        edges: Name of the table to add to.
        directed: Whether pairs have a direction of their own; otherwise the edge of a pair may run against its order.
        least: Least sum of counts, each times its confidence and weight, of a lent edge.
        half: Number of own training edges of a product at which what is lent to it counts half; None counts all in
            full. A product with many keeps the answers that its own edges give. Of a co-purchase, the source's edges
            count; of a co-view, those of the end with fewer.

    Returns:
        Number of edges that were added.
    """
    listed = ", ".join(quoted(file) for file in files)
    ways = ["source, target, lender_source AS s, lender_target AS t"]
    if not directed:
        ways.append("target AS source, source AS target, lender_target AS s, lender_source AS t")
    both = " UNION ALL ".join(f"SELECT {way}, count FROM own" for way in ways)
    # A co-view has no direction.
    own = "coalesce(first.own, 0)"
    fewest = own if behaviour == "copurchase" else f"least({own}, coalesce(second.own, 0))"
    weight = "1.0" if half is None else f"({half} / ({half} + {fewest}))"
    degrees = "leaving" if behaviour == "copurchase" else "touching"
    before = _count(connection, edges)
    connection.execute(f"ALTER TABLE {edges} ADD COLUMN weight FLOAT DEFAULT 1")
    connection.execute(
        f"""
        INSERT INTO {edges}
        WITH own AS (SELECT DISTINCT * FROM read_parquet([{listed}]) WHERE behaviour = $behaviour),
             ways AS ({both}),
             trained AS (SELECT source, target FROM {edges} WHERE split = $train),
             leaving AS (SELECT source AS node, count(*) AS own FROM trained GROUP BY 1),
             touching AS (SELECT node, count(*) AS own FROM (
                 SELECT unnest([source, target]) AS node FROM trained) GROUP BY 1)
        SELECT a.node, b.node, greatest(1, round(sum(ways.count * {weight})))::BIGINT, $train::TINYINT,
               least(1, sum(ways.count * {weight}))
        FROM ways JOIN node s ON s.product_id = ways.s JOIN node t ON t.product_id = ways.t
        JOIN node a ON a.product_id = ways.source JOIN node b ON b.product_id = ways.target
        JOIN trained ON trained.source = s.node AND trained.target = t.node
        LEFT JOIN {degrees} first ON first.node = a.node LEFT JOIN {degrees} second ON second.node = b.node
        WHERE (a.node, b.node) NOT IN (SELECT (source, target) FROM trained)
        GROUP BY a.node, b.node HAVING sum(ways.count * {weight}) >= $least ORDER BY 1, 2
        """,
        {"behaviour": behaviour, "train": int(Split.TRAIN), "least": least},
    )
    return _count(connection, edges) - before


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
