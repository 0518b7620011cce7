"""Related products of a product, from the live release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from twinvec.errors import NotFoundError, StateError, TwinvecError
from twinvec.text import is_valid
from twinvec.vectors.index import LISTS, Filters, Hit, VectorIndex
from twinvec.vectors.lists import Lists, open_lists


class UnknownProductError(NotFoundError):
    """The live release has no such product."""


class UnusableProductError(TwinvecError):
    """A new product cannot be encoded from what is said of it."""


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

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Product:
        """Return the product of a point's payload."""
        return cls(
            payload["product_id"],
            payload["title"],
            tuple(payload["category"]),
            payload["price"],
            payload["marketplace"],
        )


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
    """

    score: float
    product: Product
    reasons: Mapping[str, float] | None = None


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
    """Number of the first hits that are of the release's lists; the others are found by the vectors."""


class ColdStart(Protocol):
    """Interface of answers for products that are not in the catalogue; `pipelines.cold_start` implements it."""

    def related(self, product: NewProduct, k: int = 10, filters: Filters | None = None) -> Related:
        """Return the k products most related to `product`, best first."""
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


@dataclass(frozen=True)
class Recommender:
    """Queries against whichever release is live at the moment of each."""

    index: VectorIndex
    release: str
    """Name of the releases, which is the alias of the live one."""
    ef: int
    """Candidates that HNSW looks at, in a collection that was verified with no number of its own."""
    versions: Path | None = None
    """Folder of the home's versions, where the lists of releases are; without it, the vectors answer."""
    _opened: list[tuple[str, Lists | None]] = field(
        default_factory=lambda: [("", None)], compare=False, repr=False
    )

    def related(self, product_id: str, k: int = 10, filters: Filters | None = None) -> Related:
        """Return the k products most related to `product_id`, best first.

        They are those of the product's list that meet the filters. If there are fewer than k, or the release has no
        lists, more are found by the vectors and come after them.

        Raises:
            UnknownProductError: If the live release has no such product.
            StateError: If no release is live.
            StoreError: If the lists of the release cannot be read.
        """
        # Resolved once, so that a switch in the middle does not mix two releases in one answer.
        collection = live_collection(self.index, self.release)
        listed = self._listed(collection, product_id, k, filters)
        if listed is not None and len(listed.hits) == k:
            return listed
        found = self._by_vectors(collection, product_id, k + len(listed.hits if listed else ()), filters)
        if listed is None:
            return found
        ids = {hit.product.product_id for hit in listed.hits}
        others = tuple(hit for hit in found.hits if hit.product.product_id not in ids)
        return replace(listed, hits=(*listed.hits, *others)[:k])

    def _listed(self, collection: str, product_id: str, k: int, filters: Filters | None) -> Related | None:
        """Return at most k products of the list of a product; None if the release has no list of it."""
        lists = self._lists_of(collection)
        chosen = filters is not None and filters != Filters()
        listed = lists.of(product_id, None if chosen else k) if lists is not None else None
        if listed is None:
            return None
        if chosen:
            (product,) = self.index.payloads(collection, [listed.point])
            payloads = self.index.payloads(collection, listed.points, filters) if listed.points else []
        else:
            product, *payloads = self.index.payloads(collection, [listed.point, *listed.points])
        if product is None:
            return None
        hits = tuple(
            RelatedProduct(float(score), Product.from_payload(payload))
            for score, payload in zip(listed.scores, payloads, strict=True)
            if payload is not None
        )[:k]
        return Related(collection, Product.from_payload(product), hits, len(hits))

    def _lists_of(self, collection: str) -> Lists | None:
        """Return the lists that a collection's release answers from, or None; they never change."""
        if self.versions is None:
            return None
        # One read and one write of the slot, so that threads that ask two releases at a switch cannot mix them.
        name, opened = self._opened[0]
        if name != collection:
            space, _, number = self.index.metadata(collection).get(LISTS, "").partition("@")
            opened = open_lists(self.versions / space / number) if space else None
            self._opened[0] = (collection, opened)
        return opened

    def _by_vectors(self, collection: str, product_id: str, k: int, filters: Filters | None) -> Related:
        ef = self.index.search_ef(collection) or self.ef
        answer = self.index.related(collection, product_id, k, filters, ef) if is_valid(product_id) else None
        if answer is None:
            raise UnknownProductError(
                f"product {product_id!r} is not among the {self.index.count(collection):,} of {collection}",
                "ids are matched letter for letter; ingest, run and publish a catalogue that has it",
            )
        return Related(collection, Product.from_payload(answer.payload), found_products(answer.hits))

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


def found_products(hits: Sequence[Hit]) -> tuple[RelatedProduct, ...]:
    """Convert hits of the index to products with scores."""
    return tuple(RelatedProduct(hit.score, Product.from_payload(hit.payload)) for hit in hits)
