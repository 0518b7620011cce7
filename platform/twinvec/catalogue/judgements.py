"""Contradictory judgements: one pair of query and product with several labels."""

from __future__ import annotations

import duckdb

CONTRADICTED = "contradicted by other judgements of the same pair"
LABELS = "ESCI"
"""Labels of a judgement, from the most to the least relevant: exact, substitute, complement, irrelevant."""


def resolve(connection: duckdb.DuckDBPyConnection) -> int:
    """Keep one label for each query, product and locale: that of most judgements, on a tie the least relevant of these.

    A label too low hides a product, a label too high shows a wrong one under a wrong heading; so doubt lowers it.
    `admitted_judgements` has one row for each pair afterwards.

    Returns:
        The number of judgements that the kept label contradicts.
    """
    # `locale` is not part of what is judged alone: one query belongs to one region, but a source may not know that.
    connection.execute(
        f"""CREATE TABLE resolved_judgements AS
            SELECT query_id, product_id, locale, arg_max(label, (votes, strpos('{LABELS}', label))) AS label,
                   max(votes) AS votes, sum(votes) AS judgements
            FROM (
                SELECT query_id, product_id, locale, label, count(*) AS votes FROM admitted_judgements GROUP BY ALL
            )
            GROUP BY query_id, product_id, locale"""
    )
    connection.execute("CREATE OR REPLACE VIEW admitted_judgements AS FROM resolved_judgements")
    return int(
        connection.execute("SELECT coalesce(sum(judgements - votes), 0) FROM resolved_judgements").fetchall()[
            0
        ][0]
    )
