"""Pairs of products that baskets or view sessions have in common."""

from __future__ import annotations

import duckdb

from twinvec.catalogue.together import count_together


def mine_pairs(connection: duckdb.DuckDBPyConnection, events: str, key: str, pairs: str, largest: int) -> int:
    """Make the view `pairs` (`source < target`, `count` = baskets that hold both) from the table `events`.

    Each pair is there once. Baskets with more than `largest` distinct products make no pairs: a reseller's order of n
    products would make n²/2 of them and say little. What does not fit into memory goes to disk; see `count_together`
    for how much is held beside DuckDB's own.

    Args:
        connection: has the table `known`, which must hold every product of `events` once.
        events: a table or view with `key` and `product_id`.
        key: the column that names a basket: `order_id` or `session_id`.
        pairs: name of the view that is made.
        largest: distinct products of the largest basket that counts.

    Returns:
        How many baskets were too large.
    """
    # Numbered in the order of their names, so that the lower number of a pair is the lower name.
    connection.execute(
        f"""CREATE TABLE {pairs}_products AS
            SELECT product_id, row_number() OVER (ORDER BY product_id) - 1 AS item FROM known"""
    )
    (products,) = connection.execute("SELECT count(*) FROM known").fetchone() or (0,)
    counted = count_together(
        connection,
        f"SELECT {key} AS name, item FROM {events} JOIN {pairs}_products USING (product_id)",
        int(products),
        f"{pairs}_counted",
        largest,
    )
    connection.execute(
        f"""CREATE VIEW {pairs} AS
            SELECT a.product_id AS source, b.product_id AS target, count
            FROM {pairs}_counted JOIN {pairs}_products AS a ON one = a.item
            JOIN {pairs}_products AS b ON other = b.item"""
    )
    return counted.too_large
