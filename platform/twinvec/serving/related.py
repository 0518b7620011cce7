"""Related products of a product, from the live release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from twinvec.errors import NotFoundError, StateError, TwinvecError
from twinvec.serving.listed import ListedProducts
from twinvec.serving.product import Product, RelatedProduct
from twinvec.text import is_valid
from twinvec.vectors.index import LISTS, Filters, Hit, VectorIndex
from twinvec.vectors.lists import open_lists

# Releases whose lists are open: the live one, and those of an experiment.
OPENED = 4


class UnknownProductError(NotFoundError):
    """The live release has no such product."""


class UnknownNameError(NotFoundError):
    """The release has no such category or marketplace, or there is no such release or version."""


class UnusableProductError(TwinvecError):
    """A new product cannot be encoded from what is said of it, or a question contradicts itself."""


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
class Related:
    """The answer to one query, all of it from one release."""

    release: str
    """The collection that answered, `related_products__v7`."""
    product: Product
    """Product of the query."""
    hits: tuple[RelatedProduct, ...]
    """Best first."""
    ranked: int = 0
    """Number of hits in the order of a ranker of the release: of its lists, or ranked on the fly for a product that is
    not in the catalogue. The others are found by the vectors. Without rules that change the order, they are the
    first."""
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
    _opened: list[tuple[tuple[str, ListedProducts | None], ...]] = field(
        default_factory=lambda: [()], compare=False, repr=False
    )

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
        lists = self.lists_of(collection)
        row = lists.row(product_id) if lists is not None else None
        asked = lists.product(row) if lists is not None and row is not None else None
        if lists is None or row is None or asked is None:
            return self._by_vectors(collection, product_id, k, filters)
        hits = lists.best(row, k, filters)
        ranked = len(hits)
        if ranked < k:
            ids = {hit.product.product_id for hit in hits}
            found = self._by_vectors(collection, product_id, k + ranked, filters).hits
            hits += [hit for hit in found if hit.product.product_id not in ids]
        return Related(collection, asked, tuple(hits[:k]), ranked)

    def product(self, product_id: str, collection: str) -> Product:
        """Return a product of a collection.

        Raises:
            UnknownProductError: If it has no such product.
        """
        lists = self.lists_of(collection)
        row = lists.row(product_id) if lists is not None else None
        if lists is not None and row is not None and (product := lists.product(row)) is not None:
            return product
        payload = self.index.find(collection, product_id)
        if payload is None:
            raise self._unknown(collection, product_id)
        return Product.from_payload(payload, self.link)

    def warm(self, collection: str) -> None:
        """Open a collection and its lists, so that its first question does not wait for it.

        In process, what filters ask of all products is read, too: some seconds for 100,000 of them.
        """
        lists = self.lists_of(collection)
        if lists is not None and self.index.local:
            lists.read_all()
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

    def lists_of(self, collection: str) -> ListedProducts | None:
        """Return the lists that a collection's release answers from, if it has any; they never change."""
        # One read and one write of the slot, so that threads that ask two releases at a switch cannot mix them.
        for name, opened in self._opened[0]:
            if name == collection:
                return opened
        space = ""
        if self.versions is not None:
            space, _, number = self.index.metadata(collection).get(LISTS, "").partition("@")
        listed = None
        if space and self.versions:
            lists = open_lists(self.versions / space / number)
            listed = ListedProducts(self.index, collection, lists, self.link)
        self._opened[0] = ((collection, listed), *self._opened[0])[:OPENED]
        return listed

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
