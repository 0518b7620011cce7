"""A few queries whose answers are kept with a release: the same version must always answer them the same."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from twinvec.catalogue.snapshot import Snapshot
from twinvec.vectors.index import VectorIndex
from twinvec.vectors.points import point_ids

QUERIES, DEPTH = 20, 10
# A product → the products found for it and their scores, best first, as JSON keeps them.
Answers: TypeAlias = dict[str, list[list[str | float]]]

# Those bought or seen together most often come first.
BY_POPULARITY = """
    WITH pairs AS (FROM copurchase UNION ALL FROM coview),
    ends AS (
        SELECT source AS product_id, count FROM pairs UNION ALL SELECT target, count FROM pairs
    ),
    popularity AS (SELECT product_id, sum(count) AS count FROM ends GROUP BY ALL)
    SELECT product_id, marketplace FROM (
        SELECT product_id, marketplace,
               row_number() OVER (ORDER BY coalesce(count, 0) DESC, product_id, marketplace) - 1 AS rank
        FROM products LEFT JOIN popularity USING (product_id)
    )
    WHERE rank IN (SELECT unnest($ranks))
    ORDER BY rank
"""


def spread_by_popularity(snapshot: Snapshot, memory_limit: str) -> list[tuple[str, str]]:
    """Twenty products, from the most popular to the least, in even steps of rank: id and marketplace."""
    ranks = np.linspace(0, snapshot.tables["products"] - 1, QUERIES).astype(int).tolist()
    with snapshot.connect(memory_limit) as connection:
        rows: list[tuple[str, str]] = connection.execute(BY_POPULARITY, {"ranks": ranks}).fetchall()
    return rows


def ask(index: VectorIndex, collection: str, products: list[tuple[str, str]]) -> Answers:
    """What an exact search answers: two graphs of the same vectors may differ, these answers may not."""
    asked, markets = zip(*products, strict=True)
    source, _ = index.vectors(collection, point_ids(markets, asked))
    found = index.search(collection, source, DEPTH, exact=True)
    return {
        product: [[hit.product_id, round(hit.score, 6)] for hit in hits]
        for product, hits in zip(asked, found, strict=True)
    }


def changed(saved: Answers, now: Answers) -> list[str]:
    """The products of both whose answers differ, other than by the order of equal scores."""
    return [product for product in saved if product in now and not _same(saved[product], now[product])]


def _same(saved: list[list[str | float]], now: list[list[str | float]]) -> bool:
    if len(saved) != len(now):
        return False
    before, after = (np.array([score for _, score in hits], np.float64) for hits in (saved, now))
    close = 1e-4 * max(1.0, float(np.abs(before).max(initial=0)))
    # Of those that score as the last one, others may have been left out for no reason.
    clear = [{id_ for id_, score in hits if float(score) > before[-1] + close} for hits in (saved, now)]
    return bool((np.abs(before - after) <= close).all()) and clear[0] == clear[1]
