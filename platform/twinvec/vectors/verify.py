"""Verification of a published collection: it holds the uploaded points, and its graph finds them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from twinvec.errors import VerificationError
from twinvec.progress import Count
from twinvec.settings.stores import QdrantSettings
from twinvec.vectors.checksum import UploadSummary
from twinvec.vectors.fingerprint import MODULUS, fingerprint
from twinvec.vectors.index import Quantization, VectorIndex
from twinvec.vectors.recall import RecallQuery, Trial, search_exactly

# A filter, of which there are a dozen, is tried with this part of the sampled products.
FILTER_SHARE = 1 / 8


@dataclass(frozen=True)
class FilterRecall:
    """Recall of the index under one filter."""

    products: int | None
    """Number of products that pass it; None for a band of price, where they are not counted."""
    recall_at_10: float


@dataclass(frozen=True)
class Verification:
    """Result of the verification of a published collection."""

    points: int
    """Number of points in the collection; each was read back and equals the uploaded one."""
    nonzero: float
    """Share of the products whose two vectors both have a norm above 0; all norms are finite."""
    recall_at_10: float
    """Share of the 10 best targets that the index finds, over the sampled products."""
    sample: int
    """Number of products that were sampled and queried."""
    ef: int
    """Number of HNSW candidates in the verification, and for readers of the collection."""
    filters: Mapping[str, FilterRecall]
    """The same share under every filter that was tried."""
    verify_seconds: float
    upload_seconds: float = 0.0
    index_seconds: float = 0.0
    quantization: Quantization = "none"
    """Codes that were searched when recall was measured, and that readers search."""
    code_bytes: int = 0
    """Bytes of the codes of all target vectors; those of the vectors themselves without quantisation."""
    trials: Mapping[str, Trial] = field(default_factory=dict)
    """Quantisations that were tried to choose one; empty if the settings name it."""


def verify(
    index: VectorIndex, collection: str, sent: UploadSummary, settings: QdrantSettings, progress: Count
) -> Verification:
    """Read every point back, then measure recall, with more candidates until it is enough.

    Raises:
        VerificationError: If points are missing, strangers or changed, a norm is not finite, or the recall over
            all products or under one filter stays under `settings.min_recall` at `settings.max_ef`.
    """
    started = time.perf_counter()
    nonzero = _read_back(index, collection, sent, settings.batch, progress)
    queries = recall_queries(index, collection, sent)
    ef, recalls = raise_ef(index, collection, queries, sent.points, settings)
    overall = recalls.pop("")
    tried = sent.filters()
    filters = {name: FilterRecall(tried[name][1], recall) for name, recall in recalls.items()}
    seconds = time.perf_counter() - started
    return Verification(sent.points, nonzero, overall, len(sent.source), ef, filters, seconds)


def recall_queries(index: VectorIndex, collection: str, sent: UploadSummary) -> dict[str, RecallQuery]:
    """Return the queries that recall is measured by: over all products under the empty name, then by filter."""
    few = sent.source[: math.ceil(len(sent.source) * FILTER_SHARE)]
    return {"": search_exactly(index, collection, sent.source)} | {
        name: search_exactly(index, collection, few, filters, products)
        for name, (filters, products) in sent.filters().items()
    }


def _read_back(index: VectorIndex, collection: str, sent: UploadSummary, rows: int, progress: Count) -> float:
    """Compare all stored with all uploaded points, and return the share of products with two nonzero vectors."""
    points = index.count(collection)
    if points != sent.points:
        raise VerificationError(
            f"{collection} holds {points} points, not the {sent.points} products it should",
            "look for products that occur twice or have no vector; drop the collection if it has others",
        )
    total = nonzero = read = 0
    for ids, source, target in index.pages(collection, rows):
        finite = np.isfinite(source).all(axis=1) & np.isfinite(target).all(axis=1)
        if not finite.all():
            first = ids[int(np.argmin(finite))]
            raise VerificationError(
                f"{collection} holds vectors that are not finite, of point {first} first",
                "publish the version again: they were finite when they were sent",
            )
        nonzero += int(np.count_nonzero(source.any(axis=1) & target.any(axis=1)))
        total = (total + fingerprint(ids, source, target)) % MODULUS
        read += len(ids)
        progress("verify", read, points)
    if total != sent.fingerprint:
        raise VerificationError(
            f"the points read back from {collection} differ from those sent",
            "nothing else may write to a collection while it is published; drop it and publish again",
        )
    return nonzero / points


def raise_ef(
    index: VectorIndex,
    collection: str,
    queries: Mapping[str, RecallQuery],
    points: int,
    settings: QdrantSettings,
) -> tuple[int, dict[str, float]]:
    """Return the first of ef, 2 ef, 4 ef … at which every recall suffices, and the recalls there.

    Raises:
        VerificationError: If one stays under `settings.min_recall` at `settings.max_ef`.
    """
    ef, bound = settings.ef, max(settings.ef, settings.max_ef)
    while True:
        recalls = {name: query.recall(index, collection, ef) for name, query in queries.items()}
        worst = min(recalls, key=recalls.__getitem__)
        if recalls[worst] >= settings.min_recall:
            return ef, recalls
        if ef >= min(bound, points):  # with as many candidates as points, more change nothing
            break
        ef = min(2 * ef, bound)
    raise VerificationError(
        f"recall@10 of {collection}{f' under {worst}' if worst else ''} is {recalls[worst]:.3f} "
        f"over {len(queries[worst].queries)} products at ef={ef}, "
        f"under qdrant.min_recall={settings.min_recall}",
        "raise qdrant.max_ef, or qdrant.m and qdrant.ef_construct for a new release"
        + ("" if settings.quantization == "none" else ", or set qdrant.quantization to auto or none"),
    )
