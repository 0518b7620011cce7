"""Publishing of a collection: create, upload, build, verify. `VectorIndex.switch_alias` makes it live."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from twinvec.errors import StoreError, VerificationError
from twinvec.progress import Count, silent
from twinvec.settings.stores import QdrantSettings
from twinvec.vectors.checksum import UploadSummary
from twinvec.vectors.index import ATTEMPT, EF, CollectionConfig, VectorIndex
from twinvec.vectors.points import PointBatch
from twinvec.vectors.quantization import build
from twinvec.vectors.verify import Verification, verify

__all__ = ["SupersededError", "Verification", "publish", "silent"]


class SupersededError(StoreError):
    """A newer attempt to publish the same collection has taken over."""


def publish(
    index: VectorIndex,
    collection: str,
    batches: Iterable[PointBatch],
    expected: int,
    dimension: int,
    metadata: dict[str, str],
    settings: QdrantSettings,
    progress: Count = silent,
    attempt: int = 1,
) -> Verification:
    """Create the collection, upload, build its HNSW graph, verify it, and note the ef that it needs.

    No alias changes, so the live collection keeps serving if this fails or is interrupted. Call it again for the same
    collection to finish: every point has its own id, and existing points stay as they are, with the graph that was
    built of them.

    Two machines may publish the same collection at once. The one with the higher attempt continues; the other stops at
    its next batch. Until then it can only add missing points, never change one, since no publish overwrites a point.

    Args:
        batches: Batches that hold every product once; kept no longer than their upload.
        expected: Number of these products.
        metadata: Origin of the vectors, for readers of the collection.
        attempt: Number of this attempt to publish the collection, from 1.

    Raises:
        VerificationError: If a vector is not finite, points are missing, too many or changed, or the recall is
            under `settings.min_recall` whatever the ef.
        SupersededError: If a newer attempt has begun.
        StoreError: If the collection exists with another config or metadata, or Qdrant refuses.
    """
    config = CollectionConfig(
        dimension, settings.m, settings.ef_construct, settings.full_scan_threshold, metadata
    )
    if expected < 1:
        raise VerificationError(
            f"there is nothing to publish in {collection}", "ingest a catalogue with products"
        )
    index.create(collection, config)
    _require_turn(index, collection, attempt)
    index.annotate(collection, {ATTEMPT: str(attempt)})
    started = time.perf_counter()
    sent = UploadSummary(dimension, settings.verify_sample)
    for batch in batches:
        _require_turn(index, collection, attempt)
        index.insert(collection, batch)
        sent.add(batch)
        progress("upload", sent.points, expected)
    if sent.points != expected:
        raise VerificationError(
            f"{sent.points} products were sent to {collection}, not the {expected} there are",
            "look for products that occur twice or have no vector",
        )
    uploaded = time.perf_counter()
    progress("index", 0, expected)
    choice = build(index, collection, sent, settings, lambda: _require_turn(index, collection, attempt))
    built = time.perf_counter()
    progress("index", expected, expected)
    verification = verify(index, collection, sent, settings, progress)
    _require_turn(index, collection, attempt)
    index.annotate(collection, {EF: str(verification.ef)})
    return replace(
        verification,
        upload_seconds=uploaded - started,
        index_seconds=built - uploaded,
        quantization=choice.quantization,
        code_bytes=choice.code_bytes,
        trials=choice.trials,
    )


def _require_turn(index: VectorIndex, collection: str, attempt: int) -> None:
    newest = int(index.notes(collection).get(ATTEMPT, "0"))
    if newest > attempt:
        raise SupersededError(
            f"attempt {attempt} to publish {collection} stops: attempt {newest} has taken over",
            "let that one finish; `twinvec status` shows what became of it",
        )
