"""NPMI: normalised pointwise mutual information of categories bought together (MERLIN 3.2, equation 1).

NPMI(a, b) = log(P(a, b) / (P(a) P(b))) / −log P(a, b), between −1 (never together) and 1 (only together). The
printed equation has its minus sign on the other factor, which is equivalent.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from twinvec.catalogue.counting import count_pairs
from twinvec.catalogue.snapshot import Snapshot
from twinvec.engine import Cluster, open_cluster
from twinvec.settings import Settings

# A category as one string: the first `level` names of its path from the root (0: all names).
CATEGORY_SQL = """
    CASE WHEN len(category) = 0 THEN NULL
         ELSE array_to_string(CASE WHEN {level} > 0 THEN category[:{level}] ELSE category END, ' > ') END
"""

NPMI_SQL = """
    SELECT pair.a, pair.b, pair.together,
           ln(together * total / (first.alone * second.alone)) / -ln(together / total) AS npmi
    FROM pair, size, category AS first, category AS second
    WHERE first.name = pair.a AND second.name = pair.b AND together >= $min_count AND together < total
    ORDER BY a, b
"""


def category_expression(level: int) -> str:
    """Return SQL of a product's category as one string, or NULL if it has none."""
    return CATEGORY_SQL.format(level=int(level))


def npmi_of_baskets(
    connection: duckdb.DuckDBPyConnection, min_count: int, cluster: Cluster | None = None
) -> pa.Table:
    """Return the NPMI of category pairs that share baskets.

    P(a) is the share of baskets with a product of category a, P(a, b) the share with both.

    Args:
        connection: Connection with `baskets(basket, product_id)` and `category_of(product_id, category)`, with one row
            for each product. Baskets without a category are not counted, and repeated rows count once.
        min_count: Least number of baskets that a pair shares.
        cluster: Machines that count; None is this one.

    Returns:
        a, b (a < b, strings), together (baskets), npmi (float64), sorted by a and b.
    """
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE names AS
           SELECT category AS name, row_number() OVER (ORDER BY category) - 1 AS item
           FROM (SELECT DISTINCT category FROM category_of WHERE category IS NOT NULL)"""
    )
    # There are few products and many lines: lines are joined with numbers, which is cheaper than with names.
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE numbered AS
           SELECT product_id, item FROM category_of JOIN names ON name = category"""
    )
    names = connection.sql("SELECT name FROM names ORDER BY item").to_arrow_table()["name"].combine_chunks()
    connection.execute("DROP TABLE IF EXISTS counted")
    counted = count_pairs(
        connection,
        "SELECT basket AS name, item FROM baskets JOIN numbered USING (product_id)",
        names,
        "counted",
        largest=max(len(names), 1),
        cluster=cluster,
    )
    alone = pa.table({"name": names, "alone": counted.alone.astype(np.float64)})
    connection.register("alone_in_baskets", alone)
    return connection.sql(
        f"""
        WITH size AS (SELECT $baskets::DOUBLE AS total),
             category AS (FROM alone_in_baskets),
             pair AS (SELECT source AS a, target AS b, count::DOUBLE AS together FROM counted)
        {NPMI_SQL}
        """,
        params={"min_count": min_count, "baskets": counted.baskets},
    ).to_arrow_table()


def npmi_of_pairs(connection: duckdb.DuckDBPyConnection, level: int, min_count: int) -> pa.Table:
    """Return the NPMI of categories from product pairs bought together, for sources without baskets.

    Each co-purchase is one event with two ends; P(a) is the share of events with an end in category a, P(a, b) the
    share with one end in each.

    Args:
        connection: Connection with `products` and `copurchase` as in a snapshot.
        level: Number of category levels used, from the root; 0 uses the whole path.
        min_count: Least number of co-purchases of a pair.

    Returns:
        a, b (a < b, strings), together (co-purchases), npmi (float64), sorted by a and b.
    """
    return connection.sql(
        f"""
        WITH product AS (SELECT product_id, {category_expression(level)} AS name FROM products),
             event AS (
                SELECT least(s.name, t.name) AS a, greatest(s.name, t.name) AS b, sum(count)::DOUBLE AS together
                FROM copurchase c JOIN product s ON s.product_id = c.source JOIN product t ON t.product_id = c.target
                WHERE s.name IS NOT NULL AND t.name IS NOT NULL GROUP BY ALL
             ),
             size AS (SELECT sum(together) AS total FROM event),
             category AS (
                SELECT name, sum(together) AS alone
                FROM (SELECT a AS name, together FROM event
                      UNION ALL SELECT b, together FROM event WHERE a <> b)
                GROUP BY name
             ),
             pair AS (SELECT * FROM event WHERE a <> b)
        {NPMI_SQL}
        """,
        params={"min_count": min_count},
    ).to_arrow_table()


def observed_pairs(snapshot: Snapshot, settings: Settings) -> pa.Table:
    """Return the NPMI of a snapshot's categories, from its baskets if it has orders, else from its co-purchases.

    Baskets above `ingest.max_basket` are left out, as for co-purchases.
    """
    level, min_count, largest = (
        settings.category.level,
        settings.category.min_count,
        settings.ingest.max_basket,
    )
    with snapshot.connect(settings.ingest.memory_limit) as connection:
        if "orders" not in snapshot.tables:
            return npmi_of_pairs(connection, level, min_count)
        connection.execute(
            f"CREATE TEMP VIEW category_of AS SELECT product_id, {category_expression(level)} AS category FROM products"
        )
        # Distinct products are counted only in baskets with enough lines, which are very few.
        connection.execute(
            f"""
            CREATE TEMP VIEW baskets AS
            SELECT order_id AS basket, product_id FROM orders
            WHERE order_id NOT IN (
                SELECT order_id FROM orders
                WHERE order_id IN (SELECT order_id FROM orders GROUP BY order_id HAVING count(*) > {largest})
                GROUP BY order_id HAVING count(DISTINCT product_id) > {largest}
            )
            """
        )
        with open_cluster(settings) as cluster:
            return npmi_of_baskets(connection, min_count, cluster)


def reason_to_skip(snapshot: Snapshot, settings: Settings) -> str | None:
    """Return the reason why there is nothing to train category embeddings on, or None."""
    if observed_pairs(snapshot, settings).num_rows:
        return None
    return f"no two categories were bought together {settings.category.min_count} times or more"
