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
) -> int:
    """Add lent edges to the training edges of the table `edges`, which is divided already.

    Only edges on the training side lend, so that no copy of a held-out edge is learned, and a lent edge runs as the
    lending one does. Held-out edges stay held out, whether lent ones say the same or not.

    Args:
        connection: Connection with `node` and the table `edges(source, target, count, split)`.
        files: Tables of lent pairs, as `twinvec.catalogue.transfers.LENT`.
        behaviour: `copurchase` or `coview`.
        edges: Name of the table to add to.
        directed: Whether pairs have a direction of their own; otherwise the edge of a pair may run against its order.
        least: Least sum of counts, each times its confidence, of a lent edge.

    Returns:
        Number of edges that were added.
    """
    listed = ", ".join(quoted(file) for file in files)
    ways = ["source, target, lender_source AS s, lender_target AS t"]
    if not directed:
        ways.append("target AS source, source AS target, lender_target AS s, lender_source AS t")
    both = " UNION ALL ".join(f"SELECT {way}, count FROM own" for way in ways)
    before = _count(connection, edges)
    connection.execute(
        f"""
        INSERT INTO {edges}
        WITH own AS (SELECT DISTINCT * FROM read_parquet([{listed}]) WHERE behaviour = $behaviour),
             ways AS ({both}),
             trained AS (SELECT source, target FROM {edges} WHERE split = $train)
        SELECT a.node, b.node, greatest(1, round(sum(ways.count)))::BIGINT, $train::TINYINT
        FROM ways JOIN node s ON s.product_id = ways.s JOIN node t ON t.product_id = ways.t
        JOIN node a ON a.product_id = ways.source JOIN node b ON b.product_id = ways.target
        JOIN trained ON trained.source = s.node AND trained.target = t.node
        WHERE (a.node, b.node) NOT IN (SELECT (source, target) FROM trained)
        GROUP BY a.node, b.node HAVING sum(ways.count) >= $least ORDER BY 1, 2
        """,
        {"behaviour": behaviour, "train": int(Split.TRAIN), "least": least},
    )
    return _count(connection, edges) - before


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
