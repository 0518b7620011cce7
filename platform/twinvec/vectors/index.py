"""The one interface of an index of products, whichever engine holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np

from twinvec.errors import NotFoundError, StoreError
from twinvec.vectors.points import FloatArray, PointBatch

SOURCE = "source"
TARGET = "target"
# Payload fields that are filtered, and so indexed before loading: HNSW then keeps links inside a category,
# a marketplace and a price range.
KEYWORD_FIELDS = ("product_id", "category", "marketplace", "release")
FLOAT_FIELDS = ("price",)
# Notes of a collection: which attempt to publish it may write to it, and the ef it was verified with.
ATTEMPT = "attempt"
EF = "ef"
NOTES = (ATTEMPT, EF)


@dataclass(frozen=True)
class CollectionConfig:
    """What a collection is; two publishes with the same config write the same collection."""

    dimension: int
    """Length of the source and of the target vector."""
    m: int
    """Links a point of the target's HNSW graph; the source has no graph, it is only read by id."""
    ef_construct: int
    """Candidates looked at while the graph is built."""
    full_scan_threshold: int
    """KiB of vectors under which a segment gets no graph and is scanned whole."""
    metadata: dict[str, str] = field(default_factory=dict)
    """What the vectors are: the digest of their manifest, the version, the snapshot."""


@dataclass(frozen=True)
class Filters:
    """Which targets may be found; what is left empty does not restrict.

    A product has all the categories of its path, from root to leaf, so any level can be named.
    A price bound leaves out products without a price.
    """

    category: tuple[str, ...] = ()
    """Any of these, at any level."""
    marketplace: tuple[str, ...] = ()
    """Any of these."""
    min_price: float | None = None
    max_price: float | None = None


@dataclass(frozen=True)
class Hit:
    """One product found: its score is the dot product of the query with its target vector."""

    product_id: str
    score: float
    payload: dict[str, Any]


class VectorIndex(Protocol):
    """Collections of products with two vectors each, and aliases that point at them.

    `collection` may be an alias wherever something is read. Every method raises NotFoundError if the
    collection does not exist and StoreError if the engine refuses.
    """

    def create(self, collection: str, config: CollectionConfig) -> None:
        """Create an empty collection with its payload indexes, and no HNSW until `build`.

        Nothing is changed if it exists with the same config, so that an interrupted publish can go on.

        Raises:
            StoreError: if it exists with another config.
        """

    def upsert(self, collection: str, batch: PointBatch) -> None:
        """Write both vectors and the payload of every point of the batch, in place of what it had."""

    def insert(self, collection: str, batch: PointBatch) -> None:
        """Write the points of the batch that are not there yet; those that are stay as they are."""

    def build(self, collection: str) -> None:
        """Build the HNSW graph of the targets and wait until it serves; everything written is durable."""

    def count(self, collection: str) -> int:
        """The exact number of points."""

    def metadata(self, collection: str) -> dict[str, str]:
        """The metadata that the collection was created with."""

    def notes(self, collection: str) -> dict[str, str]:
        """What is known of the collection besides its metadata, and may change: see `NOTES`."""

    def annotate(self, collection: str, notes: Mapping[str, str]) -> None:
        """Set notes, for every process that reads the collection; the others stay as they are."""

    def search_ef(self, collection: str) -> int | None:
        """The ef with which the recall of this collection was verified, or None if it never was.

        Args:
            collection: not an alias: a process may ask once and remember.
        """

    def pages(self, collection: str, rows: int) -> Iterator[tuple[list[str], FloatArray, FloatArray]]:
        """Every point once, `rows` at a time: ids [n], source and target vectors [n, d] float32."""

    def vectors(self, collection: str, ids: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """The source and the target vectors [n, d] float32 of these points, in their order.

        Raises:
            NotFoundError: if a point does not exist.
        """

    def find(self, collection: str, product_id: str) -> dict[str, Any] | None:
        """The payload of the product with this id, or None; it needs no knowledge of its marketplace."""

    def search(
        self,
        collection: str,
        queries: FloatArray,
        k: int,
        filters: Filters | None = None,
        ef: int | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The k best targets of each query vector, best first.

        Args:
            queries: [q, d] float32, source vectors.
            ef: candidates HNSW looks at; the engine's own default if None.
            exact: compare with every point in place of using HNSW.
        """

    def related(
        self, collection: str, point: str, k: int, filters: Filters | None = None, ef: int | None = None
    ) -> list[Hit]:
        """The k best targets of a stored point's source vector, best first, the point itself left out.

        Raises:
            NotFoundError: if the point does not exist.
        """

    def switch_alias(self, alias: str, collection: str) -> None:
        """Point the alias at the collection, in one step for every reader, and read it back."""

    def aliases(self) -> dict[str, str]:
        """Alias → collection."""

    def collections(self) -> list[str]:
        """The names of all collections, sorted."""

    def drop(self, collection: str) -> None:
        """Delete a collection for good.

        Raises:
            StateError: if an alias points at it.
        """

    def close(self) -> None:
        """Release what the index holds open; it cannot be used afterwards."""


def same_config(collection: str, held: CollectionConfig, wanted: CollectionConfig) -> None:
    """Check that an existing collection is the one that is wanted.

    Raises:
        StoreError: naming every field that differs.
    """
    different = [
        f"{name} {getattr(held, name)!r} instead of {getattr(wanted, name)!r}"
        for name in (item.name for item in fields(CollectionConfig))
        if getattr(held, name) != getattr(wanted, name)
    ]
    if different:
        raise StoreError(
            f"collection {collection} exists already, with {', '.join(different)}",
            "publish under another name, or drop the collection first",
        )


def as_arrays(
    collection: str, ids: Sequence[str], stored: Mapping[str, Any]
) -> tuple[FloatArray, FloatArray]:
    """The source and the target vectors [n, d] float32 of `ids`, from what an engine gave back by id.

    Raises:
        NotFoundError: if one is missing.
    """
    missing = [id_ for id_ in ids if id_ not in stored]
    if missing:
        raise NotFoundError(
            f"{len(missing)} of {len(ids)} points are not in {collection}, {missing[0]} first",
            "publish the collection again",
        )
    source, target = (np.array([stored[id_][name] for id_ in ids], np.float32) for name in (SOURCE, TARGET))
    return source, target
