"""The interface of a vector index of products, for every engine."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from twinvec.columns import ITEM_ID
from twinvec.errors import NotFoundError, StoreError
from twinvec.text import level
from twinvec.vectors.points import FloatArray, PointBatch, old_point_id, point_id

SOURCE = "source"
TARGET = "target"
# Payload fields that are filtered, and so indexed before loading: HNSW then keeps links inside a category,
# a marketplace and a price range.
KEYWORD_FIELDS = ("product_id", "category", "marketplace", "release", "currency", "brand")
FLOAT_FIELDS = ("price",)
# Notes of a collection: which attempt to publish it may write to it, the ef it was verified with, its quantisation, and
# the trials that this was chosen by.
ATTEMPT = "attempt"
EF = "ef"
QUANTIZATION = "quantization"
TRIALS = "trials"
NOTES = (ATTEMPT, EF, QUANTIZATION, TRIALS)
Quantization = Literal["none", "scalar", "product", "binary"]
# A search takes so many times the targets that it returns by their codes, and orders these by their vectors: the first
# of 2, 4 and 8 at which `product` lost less than 0.005 of recall@10, in about the same time (docs/dimension.md).
OVERSAMPLING = 8.0
# Key of the metadata of a collection whose release answers from lists: the name of their version.
LISTS = "lists"


@dataclass(frozen=True)
class CollectionConfig:
    """Configuration of a collection. Two publishes with the same configuration write the same collection."""

    dimension: int
    """Length of the source and of the target vector."""
    m: int
    """Number of links of a point in the target's HNSW graph. The source has no graph: it is only read by id."""
    ef_construct: int
    """Number of candidates while the graph is built."""
    full_scan_threshold: int
    """Size of vectors, in KiB, below which a segment gets no graph and is scanned whole."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Origin of the vectors: the digest of their manifest, the version, the snapshot."""


@dataclass(frozen=True)
class Filters:
    """Conditions on the targets of a search; empty ones do not restrict it.

    A product has all the categories of its path, from root to leaf, so any level can be named.
    A price bound leaves out products without a price.
    """

    category: tuple[str, ...] = ()
    """Accepted categories, at any level; written as in a snapshot, without the separator of paths."""
    marketplace: tuple[str, ...] = ()
    """Accepted marketplaces."""
    min_price: float | None = None
    max_price: float | None = None

    currency: tuple[str, ...] = ()
    """Accepted currencies; releases that were published before it was kept have none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "category", tuple(map(level, self.category)))


class Hit(NamedTuple):
    """A result of a search; the score is the dot product of the query with the product's target vector."""

    product_id: str
    score: float
    payload: dict[str, Any]

    @property
    def key(self) -> str:
        """Key of what was found: the listing's, in a collection of listings, or else the product's."""
        return str(self.payload.get(ITEM_ID, self.product_id))


@dataclass(frozen=True)
class Neighbours:
    """A product and its best targets."""

    payload: dict[str, Any]
    """Payload of the product."""
    hits: list[Hit]
    """Targets, best first, without the product itself."""


class VectorIndex(Protocol):
    """Collections of products with two vectors each, and aliases that point at them.

    `collection` may be an alias wherever something is read. Every method raises NotFoundError if the
    collection does not exist and StoreError if the engine refuses.
    """

    local: bool
    """True if a query is computed in this process, and so waits for nobody."""

    def create(self, collection: str, config: CollectionConfig) -> None:
        """Create an empty collection with its payload indexes, and no HNSW until `build`.

        Nothing is changed if it exists with the same config, so that an interrupted publish can go on.

        Raises:
            StoreError: If it exists with another config.
        """

    def upsert(self, collection: str, batch: PointBatch) -> None:
        """Write both vectors and the payload of every point of the batch, and replace earlier ones."""

    def insert(self, collection: str, batch: PointBatch) -> None:
        """Write the points of the batch that do not exist yet; existing points stay as they are."""

    def build(self, collection: str, quantization: Quantization = "none") -> None:
        """Build the HNSW graph of the targets and wait until it serves; everything written is durable.

        Args:
            quantization: Codes that a search compares in place of the vectors; see `twinvec.vectors.quantization`.
                What was built with another is built again.
        """

    def count(self, collection: str, filters: Filters | None = None) -> int:
        """Return the exact number of points, of those that meet the filters."""

    def metadata(self, collection: str) -> dict[str, str]:
        """Return the metadata that the collection was created with."""

    def notes(self, collection: str) -> dict[str, str]:
        """Return the notes of the collection, which may change, unlike its metadata; see `NOTES`."""

    def annotate(self, collection: str, notes: Mapping[str, str]) -> None:
        """Set notes, for every process that reads the collection; the others stay as they are."""

    def search_ef(self, collection: str) -> int | None:
        """Return the ef with which the recall of this collection was verified, or None if it never was.

        Args:
            collection: Name of a collection, not an alias: a process may ask once and cache the answer.
        """

    def pages(self, collection: str, rows: int) -> Iterator[tuple[list[str], FloatArray, FloatArray]]:
        """Return every point once, `rows` at a time: ids [n], source and target vectors [n, d] float32."""

    def vectors(self, collection: str, ids: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return the source and the target vectors [n, d] float32 of these points, in their order.

        Raises:
            NotFoundError: If a point does not exist.
        """

    def find(self, collection: str, product_id: str) -> dict[str, Any] | None:
        """Return the payload of the product with this id, or None; it needs no knowledge of its marketplace."""

    def payloads(
        self, collection: str, ids: Sequence[str], filters: Filters | None = None
    ) -> list[dict[str, Any] | None]:
        """Return the payload of each of these points; None where it does not exist or does not meet the filters."""

    def values(self, collection: str, field: str, most: int = 1000) -> dict[str, int]:
        """Return the values of a payload field with most products → number of products; none if it is not kept."""

    def search(
        self,
        collection: str,
        queries: FloatArray,
        k: int,
        filters: Filters | None = None,
        ef: int | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """Return the k best targets of each query vector, best first.

        Args:
            queries: [q, d] float32, source vectors.
            ef: Number of candidates of HNSW; the engine's default if None.
            exact: Compare with the vector of every point, without HNSW and without quantisation.
        """

    def related(
        self, collection: str, product_id: str, k: int, filters: Filters | None = None, ef: int | None = None
    ) -> Neighbours | None:
        """Return the k best targets of a product's source vector, or None if there is no such product.

        Args:
            collection: Name of a collection; not an alias if that may be switched meanwhile, since the server is asked
                more than once.
        """

    def switch_alias(self, alias: str, collection: str) -> None:
        """Point the alias at the collection, in one step for every reader, and read it back."""

    def aliases(self) -> dict[str, str]:
        """Return alias → collection."""

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""

    def drop(self, collection: str) -> None:
        """Delete a collection for good.

        Raises:
            StateError: If an alias points at it.
        """

    def close(self) -> None:
        """Close the index; it cannot be used afterwards."""


def stored_points(index: VectorIndex, collection: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return the points of products, each a marketplace and an id, as a collection has them.

    A collection of an older release has points by the old rule.
    """
    points = [point_id(*pair) for pair in pairs]
    # Nearly always none: the rules differ in marketplaces with `/` or `%` alone.
    odd = [place for place, (market, _) in enumerate(pairs) if "/" in market or "%" in market]
    if odd:
        payloads = index.payloads(collection, [points[place] for place in odd])
        for place, payload in zip(odd, payloads, strict=True):
            if payload is None:
                points[place] = old_point_id(*pairs[place])
    return points


def same_config(collection: str, existing: CollectionConfig, requested: CollectionConfig) -> None:
    """Check that an existing collection has the requested configuration.

    Raises:
        StoreError: Naming every field that differs.
    """
    different = [
        f"{name} {getattr(existing, name)!r} instead of {getattr(requested, name)!r}"
        for name in (item.name for item in fields(CollectionConfig))
        if getattr(existing, name) != getattr(requested, name)
    ]
    if different:
        raise StoreError(
            f"collection {collection} exists already, with {', '.join(different)}",
            "publish under another name, or drop the collection first",
        )


def as_arrays(points: Iterable[tuple[str, Any]]) -> tuple[list[str], FloatArray, FloatArray]:
    """Return the ids of n points, their source and their target vectors [n, d] float32, from what an engine gave back.

    Args:
        points: The id of each and its vectors by name, as lists of numbers.
    """
    # A row at a time, where a numpy array of lists of lists takes three times as long.
    ids: list[str] = []
    packed = {SOURCE: bytearray(), TARGET: bytearray()}
    for id_, vectors in points:
        ids.append(id_)
        for name, rows in packed.items():
            rows += struct.pack(f"{len(vectors[name])}f", *vectors[name])
    source, target = (
        np.frombuffer(rows, np.float32).reshape(len(ids), -1 if ids else 0) for rows in packed.values()
    )
    return ids, source, target


def in_order(collection: str, ids: Sequence[str], points: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the points with these ids, in their order.

    Raises:
        NotFoundError: If one is missing.
    """
    stored = dict(points)
    missing = [id_ for id_ in ids if id_ not in stored]
    if missing:
        raise NotFoundError(
            f"{len(missing)} of {len(ids)} points are not in {collection}, {missing[0]} first",
            "publish the collection again",
        )
    return [(id_, stored[id_]) for id_ in ids]
