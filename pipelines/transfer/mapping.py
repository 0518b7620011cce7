"""Products with little behaviour in a store, and the established products that are most like them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

from twinvec.errors import CatalogueError, NotFoundError, suggestion
from twinvec.vectors.index import Filters, VectorIndex
from twinvec.vectors.points import LISTING, point_id

BATCH = 512
SOUGHT = 100
"""Listings that are looked at for each listing, since only those of established products can lend."""
EVENTS = {"orders": "SELECT product_id FROM orders", "views": "SELECT product_id FROM views"}
FROM_PAIRS = """
    SELECT unnest([source, target]) AS product_id, sum(count) AS events
    FROM (FROM copurchase UNION ALL FROM coview) GROUP BY 1
"""
FOUND = pa.schema(
    [("item_id", pa.string()), ("lender", pa.string()), ("store", pa.string()), ("cosine", pa.float64())]
)


def count_events(connection: duckdb.DuckDBPyConnection, logs: Sequence[str], established: int) -> None:
    """Make `established(product_id)`: products with at least so many events.

    Args:
        connection: Connection to a snapshot.
        logs: Tables of the snapshot; without orders and views, the counts of pairs are the events.
        established: Least number of orders and views of an established product.
    """
    events = " UNION ALL ".join(query for name, query in EVENTS.items() if name in logs)
    counted = f"SELECT product_id, count(*) AS events FROM ({events}) GROUP BY 1" if events else FROM_PAIRS
    connection.execute(
        f"CREATE TABLE established AS SELECT product_id FROM ({counted}) GROUP BY 1 HAVING sum(events) >= ?",
        [established],
    )


def choose_targets(
    connection: duckdb.DuckDBPyConnection, stores: Sequence[str], to: str, established: int
) -> int:
    """Make `wanting(item_id, product_id)`: the listings in `to` of products that are not established.

    Returns:
        Number of products.

    Raises:
        NotFoundError: If a marketplace has no listing.
        CatalogueError: If all products of `to` are established.
    """
    known = [
        name
        for (name,) in connection.execute("SELECT DISTINCT marketplace FROM listings ORDER BY 1").fetchall()
    ]
    for store in (*stores, to):
        if store not in known:
            raise NotFoundError(f"no listing is in the marketplace {store!r}", suggestion(store, known))
    connection.execute(
        """CREATE TABLE wanting AS SELECT item_id, product_id FROM listings
           WHERE marketplace = ? AND product_id NOT IN (FROM established) ORDER BY item_id""",
        [to],
    )
    ((products,),) = connection.execute("SELECT count(DISTINCT product_id) FROM wanting").fetchall()
    if not products:
        raise CatalogueError(
            f"all products of {to} have at least {established} events, so none needs lent ones",
            "raise --established, or name another store",
        )
    return int(products)


def map_products(
    connection: duckdb.DuckDBPyConnection,
    index: VectorIndex,
    collection: str,
    stores: Sequence[str],
    to: str,
    k: int,
    threshold: float,
) -> int:
    """Make `mapping(product_id, lender, cosine, weight)`: at most `k` established products for each that wants.

    Lenders of the same store come first (ProductSIM 6). A product and a lender are as near as their nearest listings.
    The weights of a product are its cosines over the number of its lenders, so that they add up to 1 at most.

    Args:
        connection: Connection with the tables `established` and `wanting`.
        index: Index of the collection.
        collection: Live release of `similar`.
        stores: Marketplaces whose listings lend.
        to: Marketplace of `wanting`.
        k: Most lenders of a product.
        threshold: Least cosine.

    Returns:
        Number of products that have a lender.
    """
    connection.from_arrow(FOUND.empty_table()).create("found")
    for rows in _search(connection, index, collection, stores):
        connection.from_arrow(rows).insert_into("found")
    connection.execute(
        """CREATE TABLE mapping AS
           WITH near AS (
               SELECT product_id, lender, least(1, max(cosine)) AS cosine, bool_or(store = $to) AS same_store
               FROM found JOIN wanting USING (item_id)
               WHERE lender IN (FROM established) AND cosine >= $threshold AND lender <> product_id GROUP BY ALL
           ), chosen AS (
               FROM near QUALIFY row_number() OVER (
                   PARTITION BY product_id ORDER BY same_store DESC, cosine DESC, lender) <= $k
           )
           SELECT product_id, lender, cosine, cosine / count(*) OVER (PARTITION BY product_id) AS weight
           FROM chosen ORDER BY ALL""",
        {"to": to, "threshold": threshold, "k": k},
    )
    ((products,),) = connection.execute("SELECT count(DISTINCT product_id) FROM mapping").fetchall()
    return int(products)


def _search(
    connection: duckdb.DuckDBPyConnection, index: VectorIndex, collection: str, stores: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield the listings of `stores` nearest to those that want, as `FOUND`, a batch at a time."""
    filters = Filters(marketplace=tuple(dict.fromkeys(stores)))
    ef = max(index.search_ef(collection) or 0, SOUGHT)
    wanting = connection.execute("SELECT item_id FROM wanting ORDER BY item_id").fetchall()
    for first in range(0, len(wanting), BATCH):
        items = [item for (item,) in wanting[first : first + BATCH]]
        vectors, _ = index.vectors(collection, [point_id(LISTING, item) for item in items])
        answers = index.search(collection, vectors, SOUGHT, filters, ef)
        rows = [
            (item, hit.payload["product_id"], hit.payload["marketplace"], hit.score)
            for item, hits in zip(items, answers, strict=True)
            for hit in hits
        ]
        columns = zip(*rows, strict=True) if rows else [[]] * len(FOUND)
        yield pa.table([pa.array(each, kind) for each, kind in zip(columns, FOUND.types, strict=True)], FOUND)
