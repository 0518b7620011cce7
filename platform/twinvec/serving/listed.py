"""Products of the lists that a release answers from, and the conditions on them, which are columns."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import orjson

from twinvec.serving.product import Product, RelatedProduct
from twinvec.vectors.index import Filters, VectorIndex, stored_points
from twinvec.vectors.lists import NONE, Lists

# Products that are kept in memory, about 1.5 KiB each, and ids whose rows are.
KEPT_PRODUCTS = 50_000
# Products that are read at once while all of them are.
PAGE = 500
# Conditions whose table of paths or currencies is kept.
KEPT_CONDITIONS = 1000
UNREAD, PRESENT, ABSENT = 0, 1, 2

Rows = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
NO_FILTERS = Filters()


@dataclass
class _Names:
    """Values of a field, each with a number in the order in which they were first seen."""

    numbers: dict[object, int] = field(default_factory=dict)
    chosen: dict[tuple[tuple[str, ...], int], Mask] = field(default_factory=dict)

    def number(self, value: object) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    def matching(self, wanted: tuple[str, ...]) -> Mask:
        """Return for each number whether its value is one of those that are wanted, or holds one."""
        key = wanted, len(self.numbers)
        if key not in self.chosen:
            if len(self.chosen) >= KEPT_CONDITIONS:
                self.chosen.clear()
            names = set(wanted)
            self.chosen[key] = np.fromiter(
                (
                    not names.isdisjoint(value) if isinstance(value, tuple) else value in names
                    for value in list(self.numbers)[: key[1]]
                ),
                bool,
                key[1],
            )
        return self.chosen[key]


@dataclass(frozen=True)
class Listed:
    """A product that is kept in memory.

    Attributes:
        product: Product.
        content: The product as JSON, as every answer has it.
    """

    product: Product
    content: bytes


@dataclass(frozen=True)
class Entries:
    """The first entries of some lists, list after list.

    Attributes:
        counts: Number of entries of each list.
        products: Their products.
        scores: Their scores.
    """

    counts: list[int]
    products: list[Listed]
    scores: list[float]


class ListedProducts:
    """Lists of one collection with their products, read from the index when they are first asked for, or all ahead.

    What filters ask of a product is kept in columns, some 20 bytes a product, so that a filter costs a few operations
    over a list, however long. May be used by several threads.

    Args:
        index: Index that has the products' points.
        collection: Collection.
        lists: Lists of its release.
        link: Address of a product's page, with `{product_id}` and `{marketplace}`.
    """

    def __init__(self, index: VectorIndex, collection: str, lists: Lists, link: str | None) -> None:
        self.collection = collection
        self._index = index
        self._lists = lists
        self._link = link
        self._products: dict[int, Listed] = {}
        self._rows: dict[str, int] = {}
        n = len(lists.product_ids)
        self._state = np.zeros(n + 1, np.int8)
        self._state[NONE] = ABSENT  # the last, which is no product's
        self._path = np.zeros(n, np.int32)
        self._currency = np.zeros(n, np.int32)
        self._price = np.full(n, np.nan)
        self._paths, self._currencies = _Names(), _Names()
        names, self._market = lists.markets
        self._markets = _Names({name: number for number, name in enumerate(names)})
        self._mutex = threading.Lock()
        # Without the costs of numpy's class for files, which come again with each slice.
        self._targets, self._scores = np.asarray(lists.targets), np.asarray(lists.scores)

    @property
    def product_ids(self) -> list[str]:
        """Ids of all products, sorted."""
        ids: list[str] = self._lists.product_ids.to_pylist()
        return ids

    def row(self, product_id: str) -> int | None:
        """Return the row of a product, or None if the lists have no such product."""
        row = self._rows.get(product_id)
        if row is None and (row := self._lists.row(product_id)) is not None:
            if len(self._rows) >= KEPT_PRODUCTS:
                self._rows.clear()
            self._rows[product_id] = row
        return row

    def product(self, row: int) -> Product | None:
        """Return the product of a row, or None if it has no point."""
        (listed,) = self.read([row])
        return listed.product if listed is not None else None

    def best(self, row: int, k: int, filters: Filters | None) -> list[RelatedProduct]:
        """Return the first k products of a list that meet the filters; fewer if there are no more."""
        entries = self.entries([row], k, filters)
        return [
            RelatedProduct(score, each.product, None, True)
            for score, each in zip(entries.scores, entries.products, strict=True)
        ]

    def entries(self, rows: Sequence[int], k: int, filters: Filters | None) -> Entries:
        """Return the first k entries of some lists that meet the filters; fewer of a list that has no more."""
        length = self._targets.shape[1]
        one = len(rows) == 1  # as most questions have it, spared a few operations
        chosen = rows[0] if one else rows
        targets, scores = self._targets[chosen].ravel(), self._scores[chosen].ravel()
        while True:
            (places,) = (self._state[targets] != ABSENT).nonzero()
            if filters is not None and filters != NO_FILTERS:
                places = places[self._meeting(targets[places], filters)]
            if one:
                places = places[:k]
                counts = [len(places)]
            else:
                lists = places // length
                begins = np.searchsorted(lists, np.arange(len(rows)))
                first = np.arange(len(places)) - begins[lists] < k
                places, counts = places[first], np.bincount(lists[first], minlength=len(rows)).tolist()
            found = self.read(targets[places].tolist())
            products = [each for each in found if each is not None]
            if len(products) == len(found):  # else those without a point are known now, and others come first
                return Entries(counts, products, scores[places].tolist())

    def read_all(self) -> None:
        """Read what filters ask of every product, and keep as many products as there is room for."""
        rows = np.flatnonzero(self._state == UNREAD)
        for first in range(0, len(rows), PAGE):
            read = self.read if len(self._products) + PAGE <= KEPT_PRODUCTS else self._fetch
            read(rows[first : first + PAGE].tolist())

    def _meeting(self, rows: Rows, filters: Filters) -> Places:
        """Return which of some rows meet the filters, as the index judges it, in their order."""
        if filters.marketplace:
            (places,) = self._markets.matching(filters.marketplace)[self._market[rows]].nonzero()
        else:
            places = np.arange(len(rows))
        priced = filters.min_price is not None or filters.max_price is not None
        if not (filters.category or filters.currency or priced):
            return places
        unread = rows[places][self._state[rows[places]] == UNREAD]
        if len(unread):
            self._fetch(unread.tolist())
        # Columns are read of these rows alone, since those of others may be written now by another thread.
        places = places[self._state[rows[places]] == PRESENT]
        chosen = rows[places]
        mask = np.ones(len(chosen), bool)
        if filters.category:
            mask &= self._paths.matching(filters.category)[self._path[chosen]]
        if filters.currency:
            mask &= self._currencies.matching(filters.currency)[self._currency[chosen]]
        # No comparison holds of a price that is unknown.
        if filters.min_price is not None:
            mask &= self._price[chosen] >= filters.min_price
        if filters.max_price is not None:
            mask &= self._price[chosen] <= filters.max_price
        met: Places = places[mask]
        return met

    def read(self, rows: Sequence[int]) -> list[Listed | None]:
        """Return products, from memory if they were asked for before; None where they have no point."""
        products = list(map(self._products.get, rows))
        if all(products):
            return products
        found = dict(zip(rows, products, strict=True))
        missing = [row for row, listed in found.items() if listed is None and self._state[row] != ABSENT]
        if missing:
            new = {
                row: Listed(product, orjson.dumps(product)) for row, product in self._fetch(missing).items()
            }
            if len(self._products) > KEPT_PRODUCTS:
                self._products.clear()
            self._products.update(new)
            found |= new
        return [found[row] for row in rows]

    def _fetch(self, rows: Sequence[int]) -> dict[int, Product]:
        """Return the products of rows that have a point, and note what filters ask of them."""
        pairs = [self._lists.pair(row) for row in rows]
        payloads = self._index.payloads(self.collection, stored_points(self._index, self.collection, pairs))
        found = {
            row: Product.from_payload(payload, self._link)
            for row, payload in zip(rows, payloads, strict=True)
            if payload is not None
        }
        with self._mutex:  # two values must not get one number
            for row, product in found.items():
                self._path[row] = self._paths.number(product.category)
                self._currency[row] = self._currencies.number(product.currency)
                self._price[row] = np.nan if product.price is None else product.price
        self._state[[row for row in rows if row not in found]] = ABSENT
        self._state[list(found)] = PRESENT  # the last, so that no thread reads what is not written yet
        return found
