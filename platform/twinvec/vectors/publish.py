"""Publishing: create, upload, build, verify. Going live is another step, `VectorIndex.switch_alias`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from twinvec.errors import VerificationError
from twinvec.settings.stores import QdrantSettings
from twinvec.vectors.index import CollectionConfig, Hit, VectorIndex
from twinvec.vectors.points import FloatArray, PointBatch

# Told the step, such as `upload`, what is done of it and of how much.
Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Verification:
    """What was found of a published collection."""

    points: int
    """Points in the collection."""
    nonzero: float
    """Share of the products whose two vectors both have a norm above 0; all norms are finite."""
    recall_at_10: float
    """Share of the 10 best targets that the index finds, over the sampled products."""
    sample: int
    """Products that were sampled, read back and queried."""
    ef: int
    """Candidates HNSW looked at."""
    upload_seconds: float
    index_seconds: float
    verify_seconds: float


@dataclass(frozen=True)
class _Sample:
    """Products drawn evenly from a stream: those with the smallest of random keys."""

    keys: np.ndarray[tuple[int], np.dtype[np.float64]]
    ids: list[str]
    source: FloatArray
    target: FloatArray

    def add(self, batch: PointBatch, size: int, random: np.random.Generator) -> _Sample:
        keys = np.concatenate([self.keys, random.random(len(batch.ids))])
        kept = np.argsort(keys)[:size]
        ids = self.ids + batch.ids
        return _Sample(
            keys[kept],
            [ids[row] for row in kept],
            np.concatenate([self.source, batch.source])[kept],
            np.concatenate([self.target, batch.target])[kept],
        )


def silent(step: str, done: int, total: int) -> None:
    """A progress that nobody watches."""


def publish(
    index: VectorIndex,
    collection: str,
    batches: Iterable[PointBatch],
    expected: int,
    dimension: int,
    metadata: dict[str, str],
    settings: QdrantSettings,
    progress: Progress = silent,
) -> Verification:
    """Create the collection, upload, build its HNSW graph once, and verify it.

    No alias is touched: whatever is live goes on serving if this fails or is interrupted, and calling it
    again for the same collection finishes the job, since every point is written under its own id.

    Args:
        batches: every product once; kept no longer than its upload.
        expected: how many products these are.
        metadata: what the vectors are, for whoever reads the collection.

    Raises:
        VerificationError: if a vector is not finite, points are missing or too many, a sampled vector does
            not come back as it was sent, or the recall is under `settings.min_recall`.
        StoreError: if the collection exists with another config or metadata, or Qdrant refuses.
    """
    config = CollectionConfig(
        dimension, settings.m, settings.ef_construct, settings.full_scan_threshold, metadata
    )
    if expected < 1:
        raise VerificationError(
            f"there is nothing to publish in {collection}", "ingest a catalogue with products"
        )
    index.create(collection, config)
    started = time.perf_counter()
    random = np.random.default_rng(0)
    nothing = np.empty((0, dimension), np.float32)
    sample = _Sample(np.empty(0), [], nothing, nothing)
    sent = nonzero = 0
    for batch in batches:
        index.upsert(collection, batch)
        sample = sample.add(batch, settings.verify_sample, random)
        nonzero += int(np.count_nonzero(batch.source.any(axis=1) & batch.target.any(axis=1)))
        sent += len(batch.ids)
        progress("upload", sent, expected)
    uploaded = time.perf_counter()
    progress("index", 0, expected)
    index.build(collection)
    progress("index", expected, expected)
    built = time.perf_counter()
    points = _verify_points(index, collection, expected, sample)
    progress("verify", 0, len(sample.ids))
    recall = recall_at_10(index, collection, sample.source, settings.ef)
    progress("verify", len(sample.ids), len(sample.ids))
    if recall < settings.min_recall:
        raise VerificationError(
            f"recall@10 of {collection} is {recall:.3f} over {len(sample.ids)} products at ef={settings.ef}, "
            f"under qdrant.min_recall={settings.min_recall}",
            "raise qdrant.ef, or qdrant.m and qdrant.ef_construct for a new release",
        )
    return Verification(
        points=points,
        nonzero=nonzero / points,
        recall_at_10=recall,
        sample=len(sample.ids),
        ef=settings.ef,
        upload_seconds=uploaded - started,
        index_seconds=built - uploaded,
        verify_seconds=time.perf_counter() - built,
    )


def recall_at_10(index: VectorIndex, collection: str, queries: FloatArray, ef: int) -> float:
    """Share of the 10 best targets of each query [q, d] that the index finds.

    A target counts if it scores as well as the tenth best, so that ties are no misses.
    """
    best = _scores(index.search(collection, queries, 10, exact=True))
    found = _scores(index.search(collection, queries, 10, ef=ef))
    wanted = np.isfinite(best).sum()
    # The two searches may add up a dot product in different orders.
    tenth = np.where(np.isfinite(best), best, np.inf).min(axis=1, keepdims=True)
    return float((found >= tenth - 1e-5 * np.abs(tenth)).sum() / wanted)


def _scores(hits: list[list[Hit]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    scores = np.full((len(hits), 10), -np.inf)
    for row, found in enumerate(hits):
        scores[row, : len(found)] = [hit.score for hit in found]
    return scores


def _verify_points(index: VectorIndex, collection: str, expected: int, sample: _Sample) -> int:
    points = index.count(collection)
    if points != expected:
        raise VerificationError(
            f"{collection} holds {points} points, not the {expected} products it should",
            "look for products that occur twice or have no vector; drop the collection if it has others",
        )
    source, target = index.vectors(collection, sample.ids)
    same = np.isclose(source, sample.source, rtol=1e-6).all() and np.isclose(target, sample.target).all()
    if not same:
        raise VerificationError(
            f"vectors read back from {collection} differ from those sent",
            "nothing else may write to a collection while it is published; drop it and publish again",
        )
    return points
