"""Mining of co-purchase and co-view pairs from baskets and view sessions."""

from __future__ import annotations

import duckdb

from twinvec.catalogue.counting import count_pairs
from twinvec.engine import Cluster


def mine_pairs(
    connection: duckdb.DuckDBPyConnection,
    events: str,
    key: str,
    pairs: str,
    largest: int,
    cluster: Cluster | None = None,
) -> int:
    """Create the table `pairs` (`source < target`, `count` = baskets that hold both) from the table `events`.

    Each pair is stored once. Baskets with more than `largest` distinct products make no pairs: a reseller's order of
    n products would make n²/2 of them and say little. What does not fit into memory goes to disk; see
    `count_cooccurrence` for the memory used beside DuckDB's own.

    Args:
        connection: DuckDB connection with a table `known` that holds every product of `events` once.
        events: Name of a table or view with `key` and `product_id`.
        key: Column that names a basket: `order_id` or `session_id`.
        pairs: Name of the table that is created.
        largest: Distinct products of the largest basket that counts.
        cluster: Machines that count; None is this one.

    Returns:
        Number of baskets that were too large.
    """
    # Numbered in the order of their names, so that the lower number of a pair is the lower name.
    connection.execute(
        f"""CREATE TABLE {pairs}_products AS
            SELECT product_id, row_number() OVER (ORDER BY product_id) - 1 AS item FROM known"""
    )
    names = connection.sql(f"SELECT product_id FROM {pairs}_products ORDER BY item").to_arrow_table()
    counted = count_pairs(
        connection,
        f"SELECT {key} AS name, item FROM {events} JOIN {pairs}_products USING (product_id)",
        names["product_id"].combine_chunks(),
        pairs,
        largest,
        cluster,
    )
    connection.execute(f"DROP TABLE {pairs}_products")
    return counted.too_large
