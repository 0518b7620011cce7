"""Pairs of established products, lent to the products that are like them."""

from __future__ import annotations

import duckdb

# A lender stands for each product that borrows from it, and for itself where the store sells it. At least one end of a
# lent pair is borrowed.
LENDING = """
    WITH ends AS (
        SELECT lender, product_id, weight FROM mapping
        UNION ALL SELECT DISTINCT product_id, product_id, 1.0 FROM listings WHERE marketplace = $to
    ), pairs AS (
        SELECT 'copurchase' AS behaviour, * FROM copurchase UNION ALL SELECT 'coview', * FROM coview
    )
    SELECT behaviour, a.product_id AS source, b.product_id AS target, count * a.weight * b.weight AS count,
           a.weight * b.weight AS confidence, pairs.source AS lender_source, pairs.target AS lender_target
    FROM pairs JOIN ends a ON a.lender = pairs.source JOIN ends b ON b.lender = pairs.target
    WHERE a.product_id <> b.product_id AND (a.product_id <> pairs.source OR b.product_id <> pairs.target)
    ORDER BY ALL
"""


def lend(connection: duckdb.DuckDBPyConnection, to: str) -> dict[str, int]:
    """Make `lent`, as `twinvec.catalogue.transfers.LENT`, of the tables `mapping` and `listings` and the pairs.

    Returns:
        Behaviour → lent pairs, and `unsold`: pairs of lenders whose other end the store neither sells nor maps.
    """
    connection.execute(f"CREATE TABLE lent AS {LENDING}", {"to": to})
    counts = dict.fromkeys(("copurchase", "coview"), 0)
    counts |= dict(connection.execute("SELECT behaviour, count(*) FROM lent GROUP BY 1").fetchall())
    ((unsold,),) = connection.execute(
        """SELECT count(*) FROM (FROM copurchase UNION ALL FROM coview)
           WHERE (source IN (SELECT lender FROM mapping) OR target IN (SELECT lender FROM mapping))
             AND (source, target) NOT IN (SELECT (lender_source, lender_target) FROM lent)"""
    ).fetchall()
    return {**counts, "unsold": int(unsold)}
