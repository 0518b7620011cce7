"""Graph reduction (WAML 2.1, appendix A): from customers' interactions to a small graph around the candidates.

Everything is SQL that DuckDB runs within its memory limit, and on disk beyond it. Links between products are counted
for one part of the products at a time, so that a join makes about `PAIRS_AT_ONCE` pairs at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twinvec.catalogue.counting import count_pairs
from twinvec.catalogue.snapshot import Snapshot
from twinvec.engine import Cluster

PAIRS_AT_ONCE = 50_000_000
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Count:
    """One row of the paper's Table 5.

    Attributes:
        symbol: Symbol in the paper.
        what: Name of what is counted.
        before: Count in the snapshot; None if it does not apply.
        after: Count in the reduced graph; None if it does not apply.
    """

    symbol: str
    what: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Bounded:
    """Interactions left out because a customer has too many products.

    Attributes:
        customers: Number of customers with more products than are linked.
        interactions: Number of their interactions that were left out.
    """

    customers: int
    interactions: int


@dataclass(frozen=True)
class Reduced:
    """The reduced graph; ends of edges are positions in `sellers`, `products` and `categories`.

    Attributes:
        sellers: Ids of the sellers, sorted.
        products: Ids of the products, sorted.
        categories: Paths of the categories, joined by " > ", sorted.
        candidate: Whether each product may be recommended, bool [products].
        links: Two linked products, the lower first, and the number of customers they share, int64 [links] each.
        offers: Seller and product of each offer, int64 [offers] each.
        members: Products and their categories, int64 [members] each.
        counts: The paper's Table 5.
        bounded: Interactions of heavy customers that were left out.
    """

    sellers: pa.StringArray
    products: pa.StringArray
    categories: pa.StringArray
    candidate: npt.NDArray[np.bool_]
    links: tuple[IntArray, IntArray, IntArray]
    offers: tuple[IntArray, IntArray]
    members: tuple[IntArray, IntArray]
    counts: tuple[Count, ...]
    bounded: Bounded


def reduce_graph(
    snapshot: Snapshot,
    candidate_below: int,
    customer_products: int,
    min_shared: int,
    memory_limit: str,
    pairs_at_once: int = PAIRS_AT_ONCE,
    cluster: Cluster | None = None,
) -> Reduced:
    """Reduce the graph of a snapshot that has the table `offers`, and `interactions` or no links.

    Args:
        snapshot: Snapshot to reduce.
        candidate_below: Products with fewer offers are candidates.
        customer_products: Largest number of linked products of a customer; those with the highest counts are kept.
        min_shared: Least number of customers that linked products share.
        memory_limit: Memory limit of DuckDB.
        pairs_at_once: Approximate number of pairs of products counted at once.
        cluster: Machines that count links; None is this one.
    """
    with snapshot.connect(memory_limit) as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(
            """CREATE TABLE numbered AS
               SELECT row_number() OVER (ORDER BY product_id) - 1 AS product, product_id, category FROM products"""
        )
        connection.execute(
            "CREATE TABLE offered AS SELECT seller_id, product FROM offers JOIN numbered USING (product_id)"
        )
        connection.execute(
            """CREATE TABLE candidates AS
               SELECT product FROM numbered LEFT JOIN offered USING (product)
               GROUP BY product HAVING count(seller_id) < $below""",
            {"below": candidate_below},
        )
        connection.execute("CREATE TABLE links (one BIGINT, other BIGINT, shared BIGINT)")
        bounded, pairs = Bounded(0, 0), 0
        if "interactions" in snapshot.tables:
            bounded = _items(connection, customer_products)
            if cluster is None:
                pairs = _count_links(connection, min_shared, pairs_at_once)
            else:
                pairs = _count_links_on(cluster, connection, min_shared, customer_products)
        over_threshold = _number(connection, "SELECT count(*) FROM links")
        _keep_neighbourhood(connection)
        return _read(connection, snapshot, bounded, pairs, over_threshold)


def _items(connection: duckdb.DuckDBPyConnection, most: int) -> Bounded:
    """Make the table `items` (customer, product) of the products to link: at most `most` for each customer."""
    connection.execute(
        """CREATE TABLE customers AS
           SELECT customer_id, row_number() OVER () AS customer, count(*) AS size FROM interactions
           GROUP BY customer_id"""
    )
    joined = "FROM interactions JOIN customers USING (customer_id) JOIN numbered USING (product_id)"
    # Only the products of heavy customers are ranked; these customers are few.
    connection.execute(
        f"""CREATE TABLE items AS
            SELECT customer, product {joined} WHERE size BETWEEN 2 AND {most}
            UNION ALL
            SELECT customer, product FROM (
                SELECT customer, product,
                       row_number() OVER (PARTITION BY customer ORDER BY count DESC, product) AS place
                {joined} WHERE size > {most}
            ) WHERE place <= {most}"""
    )
    heavy = f"SELECT count(*), coalesce(sum(size - {most}), 0) FROM customers WHERE size > {most}"
    ((customers, left_out),) = connection.execute(heavy).fetchall()
    return Bounded(int(customers), int(left_out))


def _count_links(connection: duckdb.DuckDBPyConnection, least: int, pairs_at_once: int) -> int:
    """Put links with at least `least` customers into `links` (appendix A, steps 1 and 2); return the number of all."""
    joined = _number(
        connection,
        """SELECT coalesce(sum(size * (size - 1) // 2), 0)
           FROM (SELECT count(*) AS size FROM items GROUP BY customer)""",
    )
    parts, pairs = 1 + joined // pairs_at_once, 0
    for part in range(parts):
        connection.execute(
            f"""CREATE OR REPLACE TABLE counted AS
                SELECT a.product AS one, b.product AS other, count(*) AS shared
                FROM items AS a JOIN items AS b ON a.customer = b.customer AND a.product < b.product
                WHERE a.product % {parts} = {part} GROUP BY ALL"""
        )
        pairs += _number(connection, "SELECT count(*) FROM counted")
        connection.execute(f"INSERT INTO links FROM counted WHERE shared >= {least}")
    connection.execute("DROP TABLE counted")
    return pairs


def _count_links_on(
    cluster: Cluster, connection: duckdb.DuckDBPyConnection, least: int, customer_products: int
) -> int:
    """Do the same as `_count_links` on a cluster: customers are baskets of products."""
    products = pa.array(np.arange(_number(connection, "SELECT count(*) FROM numbered")))
    lines = "SELECT customer AS name, product AS item FROM items"
    count_pairs(connection, lines, products, "counted", customer_products, cluster)
    pairs = _number(connection, "SELECT count(*) FROM counted")
    connection.execute(f"INSERT INTO links FROM counted WHERE count >= {least}")
    connection.execute("DROP TABLE counted")
    return pairs


def _keep_neighbourhood(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep links of candidates, and nodes next to the products they reach (appendix A, steps 3 to 5)."""
    connection.execute(
        """CREATE TABLE kept AS FROM links
           WHERE one IN (FROM candidates) OR other IN (FROM candidates)"""
    )
    connection.execute(
        """CREATE TABLE trained AS
           SELECT row_number() OVER (ORDER BY product_id) - 1 AS node, product, product_id,
                  nullif(array_to_string(category, ' > '), '') AS path, product IN (FROM candidates) AS candidate
           FROM numbered
           WHERE product IN (FROM candidates UNION ALL SELECT one FROM kept UNION ALL SELECT other FROM kept)"""
    )
    for name, column, source in (
        ("sellers", "seller_id", "offered SEMI JOIN trained USING (product)"),
        ("paths", "path", "trained WHERE path IS NOT NULL"),
    ):
        connection.execute(
            f"""CREATE TABLE {name} AS
                SELECT row_number() OVER (ORDER BY {column}) - 1 AS node, {column} FROM (
                    SELECT DISTINCT {column} FROM {source}
                )"""
        )


def _read(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    bounded: Bounded,
    pairs: int,
    over_threshold: int,
) -> Reduced:
    products = connection.sql("SELECT product_id, candidate FROM trained ORDER BY node").to_arrow_table()
    links = _columns(
        connection,
        """SELECT a.node, b.node, shared FROM kept
           JOIN trained AS a ON one = a.product JOIN trained AS b ON other = b.product ORDER BY ALL""",
    )
    offers = _columns(
        connection,
        """SELECT sellers.node, trained.node FROM offered
           JOIN sellers USING (seller_id) JOIN trained USING (product) ORDER BY ALL""",
    )
    members = _columns(
        connection, "SELECT trained.node, paths.node FROM trained JOIN paths USING (path) ORDER BY ALL"
    )
    ids = {
        name: connection.sql(f"SELECT {column} FROM {name} ORDER BY node")
        .to_arrow_table()[column]
        .combine_chunks()
        for name, column in (("sellers", "seller_id"), ("paths", "path"))
    }
    candidate = products["candidate"].combine_chunks().to_numpy(zero_copy_only=False)
    to_candidates = int(candidate[offers[1]].sum())
    nodes, edges = (
        len(products) + sum(map(len, ids.values())),
        len(links[0]) + len(offers[0]) + len(members[0]),
    )
    tables = snapshot.tables
    sellers, paths, in_categories = (
        _number(connection, query)
        for query in (
            "SELECT count(DISTINCT seller_id) FROM offers",
            "SELECT count(DISTINCT category) FROM products WHERE len(category) > 0",
            "SELECT count(*) FROM products WHERE len(category) > 0",
        )
    )
    has_customers = "interactions" in tables
    customers = _number(connection, "SELECT count(*) FROM customers") if has_customers else 0
    interactions = tables.get("interactions", 0)
    counts = (
        Count("S", "sellers", sellers, len(ids["sellers"])),
        Count("C", "customers", customers, 0),
        Count("P, Pt", "products", tables["products"], len(products)),
        Count("Pr", "candidate products", int(candidate.sum()), int(candidate.sum())),
        Count("A", "product categories", paths, len(ids["paths"])),
        Count("E_CP", "customer-product edges", interactions, 0),
        Count("E_P, E_Pt", "product-product edges", pairs, len(links[0])),
        Count("", "product-product edges over the threshold", None, over_threshold),
        Count("E_SP, E_SPt", "seller-product edges", tables["offers"], len(offers[0])),
        Count("E_SPr", "seller-candidate edges", to_candidates, to_candidates),
        Count("E_AP, E_APt", "product-category edges", in_categories, len(members[0])),
        Count("V", "nodes", sellers + customers + tables["products"] + paths, nodes),
        Count("E", "edges", interactions + tables["offers"] + in_categories, edges),
    )
    return Reduced(
        sellers=ids["sellers"],
        products=products["product_id"].combine_chunks(),
        categories=ids["paths"],
        candidate=candidate,
        links=(links[0], links[1], links[2]),
        offers=(offers[0], offers[1]),
        members=(members[0], members[1]),
        counts=counts,
        bounded=bounded,
    )


def _columns(connection: duckdb.DuckDBPyConnection, query: str) -> list[IntArray]:
    return [np.asarray(column, np.int64) for column in connection.execute(query).fetchnumpy().values()]


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    ((number,),) = connection.execute(query).fetchall()
    return int(number)
