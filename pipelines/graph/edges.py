"""Directed edges from pairs of products, and the filter on category association (MERLIN 3.1, 3.2).

Everything is SQL over a snapshot's Parquet files, so that DuckDB's limit bounds the memory, whatever the graph's size.
"""

from __future__ import annotations

from typing import Literal

import duckdb
import pyarrow as pa

from pipelines.category.npmi import category_expression
from twinvec.errors import CatalogueError

Direction = Literal["source", "price", "popularity", "views"]

# Rank of a product by each rule of direction; an edge runs from the higher to the lower rank.
RANK_SQL = {
    "price": """
        SELECT product_id, median AS rank
        FROM node LEFT JOIN (SELECT category, median(price) AS median FROM node GROUP BY category) USING (category)
    """,
    "popularity": """
        SELECT product_id, coalesce(sum(count), 0) AS rank
        FROM node LEFT JOIN (
            SELECT source AS product_id, count FROM copurchase UNION ALL SELECT target, count FROM copurchase
        ) USING (product_id) GROUP BY product_id
    """,
    "views": """
        SELECT product_id, coalesce(sum(count), 0) AS rank
        FROM node LEFT JOIN (
            SELECT source AS product_id, count FROM coview UNION ALL SELECT target, count FROM coview
        ) USING (product_id) GROUP BY product_id
    """,
}


def number_products(connection: duckdb.DuckDBPyConnection, level: int) -> None:
    """Make the table `node(node, product_id, category, price)`: products numbered from 0 in the order of their ids."""
    connection.execute(f"""
        CREATE OR REPLACE TABLE node AS
        SELECT row_number() OVER (ORDER BY product_id) - 1 AS node, product_id,
               {category_expression(level)} AS category, price
        FROM products ORDER BY product_id
    """)


def resolve_direction(direction: str, directed: bool) -> Direction:
    """Return the rule of direction for a snapshot, with `auto` resolved.

    Args:
        direction: The setting `graph.direction`.
        directed: Whether the pairs of the snapshot have a direction.

    Raises:
        CatalogueError: If the direction is `source` and the pairs have none.
    """
    if direction == "auto":
        return "source" if directed else "price"
    if direction == "source" and not directed:
        raise CatalogueError(
            "graph.direction is `source`, but this snapshot's pairs were mined from baskets and have no direction",
            "use `price`, `popularity`, `views` or `auto`",
        )
    return direction  # type: ignore[return-value]


def direct_edges(
    connection: duckdb.DuckDBPyConnection, pairs: str, edges: str, direction: Direction, min_count: int
) -> None:
    """Make the table `edges(source, target, count, pair)` of node numbers from the pairs of products.

    With any rule but `source`, the two orders of a pair are one observation whose counts are added. The edge runs from
    the higher-ranked end to the lower, and both ways if the ranks are equal or one is unknown.

    Args:
        connection: Connection with `products`, `copurchase`, `coview` and the table `node`.
        pairs: Table or view to read: source, target (product ids), count.
        edges: Name of the table to make; `pair` numbers the observation of an edge, so that the two edges of one
            observation can be kept on the same side of a split.
        direction: Rule of direction; see `GraphSettings.direction`.
        min_count: Least count of a pair.
    """
    if direction == "source":
        connection.execute(
            f"""
            CREATE OR REPLACE TABLE {edges} AS
            SELECT s.node AS source, t.node AS target, count, row_number() OVER (ORDER BY s.node, t.node) AS pair
            FROM {pairs} p JOIN node s ON s.product_id = p.source JOIN node t ON t.product_id = p.target
            WHERE count >= ? AND s.node <> t.node
            """,
            [min_count],
        )
        return
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE {edges} AS
        WITH ranks AS ({RANK_SQL[direction]}),
             ranked AS (SELECT node, rank FROM node LEFT JOIN ranks USING (product_id)),
             observed AS (
                SELECT least(s.node, t.node) AS a, greatest(s.node, t.node) AS b, sum(count)::BIGINT AS count
                FROM {pairs} p JOIN node s ON s.product_id = p.source JOIN node t ON t.product_id = p.target
                WHERE s.node <> t.node GROUP BY ALL HAVING sum(count) >= ?
             ),
             numbered AS (
                SELECT a, b, count, row_number() OVER (ORDER BY a, b) AS pair,
                       coalesce(sign(x.rank - y.rank), 0) AS higher
                FROM observed JOIN ranked x ON x.node = a JOIN ranked y ON y.node = b
             )
        SELECT a AS source, b AS target, count, pair FROM numbered WHERE higher >= 0
        UNION ALL
        SELECT b, a, count, pair FROM numbered WHERE higher <= 0
        """,
        [min_count],
    )


def drop_weak_associations(
    connection: duckdb.DuckDBPyConnection,
    edges: str,
    association: pa.Table,
    min_association: float,
    drop: bool = True,
) -> pa.Table:
    """Remove edges between weakly associated categories from the table `edges` (MERLIN 3.2).

    Edges within a category stay, since cos(h, h) = 1; so do edges with an end whose category is unknown.

    Args:
        connection: Connection with `node` and the table `edges`.
        edges: Name of the table to filter in place.
        association: Columns a, b (in either order, each pair once), association (cosine) of all category pairs.
        min_association: Least association of an edge.
        drop: Whether to remove the edges, or only report them.

    Returns:
        The report: source_category, target_category, association, edges, weak (bool), most edges first.
    """
    connection.register("association", association)
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE judged AS
        SELECT e.*, s.category AS source_category, t.category AS target_category,
               CASE WHEN s.category IS NULL OR t.category IS NULL THEN NULL
                    WHEN s.category = t.category THEN 1.0 ELSE association END AS association
        FROM {edges} e JOIN node s ON s.node = e.source JOIN node t ON t.node = e.target
        LEFT JOIN association
            ON least(s.category, t.category) = least(a, b) AND greatest(s.category, t.category) = greatest(a, b)
        """
    )
    report = connection.sql(
        """
        SELECT source_category, target_category, any_value(association) AS association, count(*) AS edges,
               coalesce(any_value(association) < ?, false) AS weak
        FROM judged GROUP BY source_category, target_category ORDER BY edges DESC, source_category, target_category
        """,
        params=[min_association],
    ).to_arrow_table()
    if drop:
        connection.execute(
            f"""
            CREATE OR REPLACE TABLE {edges} AS SELECT source, target, count, pair FROM judged
            WHERE association IS NULL OR association >= ?
            """,
            [min_association],
        )
    connection.execute("DROP TABLE judged")
    connection.unregister("association")
    return report


def split_edges(
    connection: duckdb.DuckDBPyConnection,
    edges: str,
    validation: float,
    test: float,
    seed: int,
    by_ends: bool = False,
) -> None:
    """Add the column `split` (0 train, 1 validation, 2 test) to the table `edges`, at random by observation.

    Observations are ordered by a hash of seed and pair, so that the split depends on nothing else; the two directions
    of one observation fall on the same side (MERLIN 4.1.4: 70/10/20). The hash is MD5: DuckDB's own mixes its
    arguments so weakly that two seeds often held out the same edges.

    Args:
        connection: Connection with the table `edges`.
        edges: Name of the table to split in place.
        validation: Share of the observations for validation.
        test: Share of the observations for the test.
        seed: Seed of the hash.
        by_ends: Whether two edges between the same products stay together even if each was observed by itself.
    """
    observation = "(least(source, target), greatest(source, target))" if by_ends else "pair"
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE {edges} AS
        WITH observed AS (SELECT source, target, count, {observation} AS pair FROM {edges}),
             placed AS (
                SELECT pair, percent_rank() OVER (ORDER BY md5_number_lower(concat_ws(' ', pair, $seed)), pair) AS place
                FROM (SELECT DISTINCT pair FROM observed)
             )
        SELECT source, target, count,
               (CASE WHEN place < $test THEN 2 WHEN place < $test + $validation THEN 1 ELSE 0 END)::TINYINT AS split
        FROM observed JOIN placed USING (pair) ORDER BY source, target
        """,
        {"seed": seed, "test": test, "validation": validation},
    )
