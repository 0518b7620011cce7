"""Related products of a product, from the live release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from twinvec.errors import NotFoundError, StateError, TwinvecError
from twinvec.text import is_valid
from twinvec.vectors.index import LISTS, Filters, Hit, VectorIndex, stored_points
from twinvec.vectors.lists import NONE, Lists, open_lists

# Products of the lists that are kept in memory, about 1 KiB each.
CACHED_PRODUCTS = 50_000
# Releases whose lists are open: the live one, and those of an experiment.
OPENED = 4


class UnknownProductError(NotFoundError):
    """The live release has no such product."""


class UnknownNameError(NotFoundError):
    """The release has no such category or marketplace, or there is no such release or version."""


class UnusableProductError(TwinvecError):
    """A new product cannot be encoded from what is said of it, or a question contradicts itself."""


@dataclass(frozen=True)
class Product:
    """A product as its point stores it, without the vectors."""

    product_id: str | None
    """None of a product that is not in the catalogue."""
    title: str | None
    category: tuple[str, ...]
    """From the root to the leaf."""
    price: float | None
    marketplace: str | None
    """None of a product that is not in the catalogue."""
    currency: str | None = None
    """Currency of the price; None in releases that were published before it was kept."""
    brand: str | None = None
    image: str | None = None
    """Address of its image, as the catalogue has it."""
    link: str | None = None
    """Address of its page, by the setting `serving.link`."""
    fields: Mapping[str, Any] | None = None
    """Further fields that were asked for."""
    _payload: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any], link: str | None = None) -> Product:
        """Return the product of a point's payload.

        Args:
            payload: Fields of the point.
            link: Address of a product's page, with `{product_id}` and `{marketplace}`.
        """
        address = None
        if link is not None:
            names = {name: quote(payload[name], safe="") for name in ("product_id", "marketplace")}
            address = link.format(**names)
        return cls(
            payload["product_id"],
            payload["title"],
            tuple(payload["category"]),
            payload["price"],
            payload["marketplace"],
            payload.get("currency"),
            payload.get("brand"),
            payload.get("image"),
            address,
            None,
            payload,
        )

    @property
    def payload(self) -> Mapping[str, Any]:
        """All fields of its point; empty for a product that is not in the catalogue."""
        return self._payload


@dataclass(frozen=True)
class NewProduct:
    """A product that is not in the catalogue; one of the three attributes is enough.

    Attributes:
        title: Title in any language that the text encoder reads.
        category: Path of the catalogue, `Music > Jazz`, or the name of its leaf alone, `Jazz`.
        image: Bytes of an image file.
    """

    title: str | None = None
    category: str | None = None
    image: bytes | None = None


@dataclass(frozen=True)
class RelatedProduct:
    """A product of the answer.

    Attributes:
        score: The ranker's score if the product is of a list; else the dot product of the query's source vector and
            its target vector. Scores of the two kinds are on different scales.
        product: The product.
        reasons: Kind of evidence → what it added to the ranker's score, the largest first; None unless asked for.
        listed: Whether it is of the product's list.
        pinned: Whether the question put it here; its score may then be NaN, which JSON has as null.
    """

    score: float
    product: Product
    reasons: Mapping[str, float] | None = None
    listed: bool = False
    pinned: bool = False


@dataclass(frozen=True)
class Related:
    """The answer to one query, all of it from one release."""

    release: str
    """The collection that answered, `related_products__v7`."""
    product: Product
    """Product of the query."""
    hits: tuple[RelatedProduct, ...]
    """Best first."""
    ranked: int = 0
    """Number of hits that are of the release's lists; the others are found by the vectors. Without rules that change
    the order, they are the first."""
    fallback: str | None = None
    """`popular` if the product is unknown and popular products stand in for related ones."""


class ColdStart(Protocol):
    """Interface of answers for products that are not in the catalogue; `pipelines.cold_start` implements it."""

    def related(
        self,
        product: NewProduct,
        k: int = 10,
        filters: Filters | None = None,
        collection: str | None = None,
    ) -> Related:
        """Return the k products most related to `product`, best first, from the live release or another."""
        ...

    def warm(self, collection: str) -> None:
        """Load what answers for a release, so that its first question does not wait for it."""
        ...


class Explainer(Protocol):
    """Interface of the reasons of answers from lists; `pipelines.ranking` implements it."""

    def explain(self, answer: Related) -> Related:
        """Return the answer with reasons for its hits from lists: kind of evidence → what it added to the score."""
        ...


@dataclass(frozen=True)
class LiveRelease:
    """The live release, as the index describes it."""

    name: str
    collection: str
    products: int
    metadata: Mapping[str, str]
    """Number of the release, its version, its snapshot, and the digest of its manifest."""


@dataclass
class _Opened:
    """Lists of one collection, and the products of them that were asked for."""

    collection: str
    lists: Lists | None
    products: dict[int, Product] = field(default_factory=dict)


@dataclass(frozen=True)
class Recommender:
    """Queries against whichever release is live at the moment of each, or against one that is named."""

    index: VectorIndex
    release: str
    """Name of the releases, which is the alias of the live one."""
    ef: int
    """Candidates that HNSW looks at, in a collection that was verified with no number of its own."""
    versions: Path | None = None
    """Folder of the home's versions, where the lists of releases are; without it, the vectors answer."""
    link: str | None = None
    """Address of a product's page, with `{product_id}` and `{marketplace}`."""
    _opened: list[tuple[_Opened, ...]] = field(default_factory=lambda: [()], compare=False, repr=False)

    def related(
        self, product_id: str, k: int = 10, filters: Filters | None = None, collection: str | None = None
    ) -> Related:
        """Return the k products most related to `product_id`, best first.

        They are those of the product's list that meet the filters. If there are fewer than k, or the release has no
        lists, more are found by the vectors and come after them.

        Args:
            product_id: Product to start from.
            k: Number of products.
            filters: Conditions on the products that are found.
            collection: Collection that answers; the live one if not given.

        Raises:
            UnknownProductError: If the release has no such product.
            StateError: If no release is live.
            StoreError: If the lists of the release cannot be read.
        """
        # Resolved once, so that a switch in the middle does not mix two releases in one answer.
        collection = collection or live_collection(self.index, self.release)
        listed = self._listed(collection, product_id, k, filters)
        if listed is not None and len(listed.hits) == k:
            return listed
        found = self._by_vectors(collection, product_id, k + len(listed.hits if listed else ()), filters)
        if listed is None:
            return found
        ids = {hit.product.product_id for hit in listed.hits}
        others = tuple(hit for hit in found.hits if hit.product.product_id not in ids)
        return replace(listed, hits=(*listed.hits, *others)[:k])

    def product(self, product_id: str, collection: str) -> Product:
        """Return a product of a collection.

        Raises:
            UnknownProductError: If it has no such product.
        """
        opened = self._lists_of(collection)
        row = opened.lists.row(product_id) if opened.lists is not None else None
        if row is not None:
            (product,) = self._products(opened, [row])
            if product is not None:
                return product
        payload = self.index.find(collection, product_id)
        if payload is None:
            raise self._unknown(collection, product_id)
        return Product.from_payload(payload, self.link)

    def warm(self, collection: str) -> None:
        """Open a collection and its lists, so that its first question does not wait for it."""
        self._lists_of(collection)
        self.index.values(collection, "marketplace")

    def collection_of(self, release: str | None = None) -> str:
        """Return the collection of a release, as `related_products@v7`, `v7` or `7`; the live one if not given.

        Raises:
            UnknownNameError: If there is no such release, or it was never verified.
            StateError: If none is given and none is live.
        """
        if release is None:
            return live_collection(self.index, self.release)
        number = re.fullmatch(rf"(?:{self.release}(?:@|__))?v?(\d{{1,9}})", release, re.ASCII)
        collection = f"{self.release}__v{int(number[1])}" if number else ""
        ready = [name for name in self.index.collections() if name.startswith(f"{self.release}__v")]
        if collection not in ready or self.index.search_ef(collection) is None:
            labels = ", ".join(name.replace("__", "@") for name in ready) or "none"
            raise UnknownNameError(f"there is no release {release} that can answer", f"there are: {labels}")
        return collection

    def _listed(self, collection: str, product_id: str, k: int, filters: Filters | None) -> Related | None:
        """Return at most k products of the list of a product; None if the release has no list of it."""
        opened = self._lists_of(collection)
        lists = opened.lists
        row = lists.row(product_id) if lists is not None else None
        if row is None or lists is None:
            return None
        chosen = filters is not None and filters != Filters()
        rows = lists.targets[row]
        # Most answers need no more than the first k, even under a filter.
        hits: list[RelatedProduct] = []
        asked: Product | None = None
        for first, last in ((0, k), (k, len(rows))):
            targets = [target for target in rows[first:last].tolist() if target != NONE]
            found = self._products(opened, [row, *targets])
            asked = found[0]
            scores = lists.scores[row, first : first + len(targets)].tolist()
            hits += [
                RelatedProduct(score, product, None, True)
                for score, product in zip(scores, found[1:], strict=True)
                if product is not None and (not chosen or filters is None or meets(product, filters))
            ]
            if len(hits) >= k or not targets:
                break
        if asked is None:
            return None
        return Related(collection, asked, tuple(hits[:k]), min(len(hits), k))

    def _products(self, opened: _Opened, rows: Sequence[int]) -> list[Product | None]:
        """Return products of the lists, from memory if they were asked for before; None where they have no point."""
        cached, lists = opened.products, opened.lists
        missing = [row for row in rows if row not in cached]
        if missing and lists is not None:
            if len(cached) > CACHED_PRODUCTS:
                cached.clear()
            points = stored_points(self.index, opened.collection, [lists.pair(row) for row in missing])
            payloads = self.index.payloads(opened.collection, points)
            new = {
                row: Product.from_payload(payload, self.link)
                for row, payload in zip(missing, payloads, strict=True)
                if payload is not None
            }
            cached.update(new)
            return [cached.get(row) or new.get(row) for row in rows]
        # Another thread may clear the cache meanwhile, so nothing is taken for granted.
        products = [cached.get(row) for row in rows]
        return products if None not in products else self._products(opened, rows)

    def _lists_of(self, collection: str) -> _Opened:
        """Return the lists that a collection's release answers from, if it has any; they never change."""
        # One read and one write of the slot, so that threads that ask two releases at a switch cannot mix them.
        for opened in self._opened[0]:
            if opened.collection == collection:
                return opened
        space = ""
        if self.versions is not None:
            space, _, number = self.index.metadata(collection).get(LISTS, "").partition("@")
        lists = open_lists(self.versions / space / number) if space and self.versions else None
        opened = _Opened(collection, lists)
        self._opened[0] = (opened, *self._opened[0])[:OPENED]
        return opened

    def _by_vectors(self, collection: str, product_id: str, k: int, filters: Filters | None) -> Related:
        ef = self.index.search_ef(collection) or self.ef
        answer = self.index.related(collection, product_id, k, filters, ef) if is_valid(product_id) else None
        if answer is None:
            raise self._unknown(collection, product_id)
        product = Product.from_payload(answer.payload, self.link)
        return Related(collection, product, found_products(answer.hits, self.link))

    def _unknown(self, collection: str, product_id: str) -> UnknownProductError:
        return UnknownProductError(
            f"product {product_id!r} is not among the {self.index.count(collection):,} of {collection}",
            "ids are matched letter for letter; ingest, run and publish a catalogue that has it",
        )

    def live(self) -> LiveRelease:
        """Return the release that answers now.

        Raises:
            StateError: If none is live.
        """
        collection = live_collection(self.index, self.release)
        return LiveRelease(
            self.release, collection, self.index.count(collection), self.index.metadata(collection)
        )

    def live_collection(self) -> str | None:
        """Return the collection that answers now, or None if no release is live."""
        return self.index.aliases().get(self.release)


def meets(product: Product, filters: Filters) -> bool:
    """Return whether a product meets the conditions, as the index judges it."""
    if filters.category and not set(filters.category).intersection(product.category):
        return False
    if filters.marketplace and product.marketplace not in filters.marketplace:
        return False
    if filters.currency and product.currency not in filters.currency:
        return False
    if filters.min_price is None and filters.max_price is None:
        return True
    if product.price is None:
        return False
    low, high = filters.min_price, filters.max_price
    return (low is None or product.price >= low) and (high is None or product.price <= high)


def live_collection(index: VectorIndex, release: str) -> str:
    """Return the collection that the alias `release` points at.

    Raises:
        StateError: If no release is live.
    """
    collection = index.aliases().get(release)
    if collection is None:
        raise StateError(
            f"no release of {release} is live",
            "`twinvec publish` makes one and `twinvec promote` makes it live; `twinvec run` does both",
        )
    return collection


def found_products(hits: Iterable[Hit], link: str | None = None) -> tuple[RelatedProduct, ...]:
    """Convert hits of the index to products with scores."""
    return tuple(RelatedProduct(hit.score, Product.from_payload(hit.payload, link)) for hit in hits)
