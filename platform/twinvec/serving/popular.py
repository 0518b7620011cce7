"""Popular products of a marketplace or category: what stands in for products related to one that is unknown."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import NotFoundError
from twinvec.serving.product import Product, RelatedProduct
from twinvec.vectors.index import Filters, stored_points
from twinvec.workspace import Workspace

# Products that are kept of each category of each marketplace.
KEPT = 100
EVERYTHING = ""
POPULAR = """
    WITH bought AS (
        SELECT product_id, sum(count) AS count FROM (
            SELECT source AS product_id, count FROM copurchase UNION ALL SELECT target, count FROM copurchase
        ) GROUP BY product_id
    ),
    placed AS (
        SELECT marketplace, unnest(list_distinct(category || [$everything])) AS name, product_id,
               coalesce(count, 0) AS count
        FROM products LEFT JOIN bought USING (product_id)
    )
    SELECT marketplace, name, product_id, count FROM placed
    QUALIFY row_number() OVER (PARTITION BY marketplace, name ORDER BY count DESC, product_id) <= $kept
    ORDER BY count DESC, product_id
"""
Places = Mapping[tuple[str, str], Sequence[tuple[float, tuple[str, str]]]]


@dataclass
class Popular:
    """Products with most co-purchases, of the snapshot that a release was made from.

    Read from the snapshot at the first question to a release, and kept for the last one asked about: at most a hundred
    products a category and marketplace.
    """

    workspace: Workspace
    _read: tuple[str, Places] = field(default=("", {}), init=False, repr=False)
    _mutex: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def best(
        self, collection: str, k: int, filters: Filters, link: str | None = None
    ) -> list[RelatedProduct]:
        """Return at most k popular products of the categories and marketplaces of the filters; their scores are NaN.

        Raises:
            NotFoundError: If the registry has no release of this collection.
        """
        places = self._places(collection)
        chosen = [
            entry
            for (market, name), entries in places.items()
            if (not filters.marketplace or market in filters.marketplace)
            and name in (filters.category or (EVERYTHING,))
            for entry in entries
        ]
        pairs = list(dict.fromkeys(pair for _, pair in sorted(chosen, key=lambda entry: -entry[0])))
        points = stored_points(self.workspace.index, collection, pairs)
        payloads = self.workspace.index.payloads(collection, points, filters) if points else []
        products = [Product.from_payload(payload, link) for payload in payloads if payload is not None]
        return [RelatedProduct(math.nan, product) for product in products[:k]]

    def _places(self, collection: str) -> Places:
        name, places = self._read
        if name == collection:
            return places
        with self._mutex:
            if self._read[0] != collection:
                self._read = (collection, self._query(collection))
            return self._read[1]

    def _query(self, collection: str) -> Places:
        from twinvec.releases.lookup import all_releases

        for release in all_releases(self.workspace):
            if release.collection == collection:
                snapshot = open_snapshot(Path(release.version.snapshot.path))
                break
        else:
            raise NotFoundError(
                f"the registry has no release {collection}", "`twinvec status` lists the releases"
            )
        places: dict[tuple[str, str], list[tuple[float, tuple[str, str]]]] = {}
        with snapshot.connect(self.workspace.settings.ingest.memory_limit) as connection:
            parameters = {"everything": EVERYTHING, "kept": KEPT}
            for market, name, product, count in connection.execute(POPULAR, parameters).fetchall():
                places.setdefault((market, name), []).append((float(count), (market, product)))
        return places
