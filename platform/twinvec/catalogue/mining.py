"""Pairs of products that baskets or view sessions have in common."""

from __future__ import annotations

import duckdb


def mine_pairs(connection: duckdb.DuckDBPyConnection, events: str, key: str, pairs: str, largest: int) -> int:
    """Make the view `pairs` (`source < target`, `count` = baskets that hold both) from the table `events`.

    Baskets with more than `largest` distinct products make no pairs: a reseller's order of n products would
    make n²/2 of them and say little. What does not fit into memory goes to disk.

    Args:
        connection: has the table `known`, which must hold every product of `events`.
        events: a table or view with `key` and `product_id`.
        key: the column that names a basket: `order_id` or `session_id`.
        pairs: name of the view that is made.
        largest: distinct products of the largest basket that counts.

    Returns:
        How many baskets were too large.
    """
    connection.execute(
        f"""CREATE TABLE {pairs}_items AS
            SELECT DISTINCT {key} AS name, known.line AS product
            FROM {events} JOIN known USING (product_id)"""
    )
    connection.execute(
        f"""CREATE TABLE {pairs}_sizes AS
            SELECT name, row_number() OVER () AS basket, count(*) AS size FROM {pairs}_items GROUP BY name"""
    )
    # Numbers in place of names, so that the join and the groups take 16 bytes a row rather than strings.
    connection.execute(
        f"""CREATE TABLE {pairs}_baskets AS
            SELECT basket, product FROM {pairs}_items JOIN {pairs}_sizes USING (name)
            WHERE size BETWEEN 2 AND {largest}"""
    )
    connection.execute(
        f"""CREATE VIEW {pairs} AS
            WITH counted AS (
                SELECT a.product AS one, b.product AS other, count(*) AS count
                FROM {pairs}_baskets AS a JOIN {pairs}_baskets AS b
                ON a.basket = b.basket AND a.product < b.product GROUP BY ALL
            )
            SELECT least(a.product_id, b.product_id) AS source,
                   greatest(a.product_id, b.product_id) AS target, count
            FROM counted JOIN known AS a ON one = a.line JOIN known AS b ON other = b.line"""
    )
    row = connection.execute(f"SELECT count(*) FROM {pairs}_sizes WHERE size > {largest}").fetchone()
    return int(row[0]) if row else 0
