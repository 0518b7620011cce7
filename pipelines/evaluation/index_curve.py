"""Recall and latency of a release's index: share of the ten best targets found, and time a query, by `ef`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from registry.models import Release
from twinvec.vectors.index import VectorIndex
from twinvec.vectors.points import FloatArray
from twinvec.vectors.recall import DEPTH, search_exactly
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Number of products whose source vectors are the queries.
QUERIES = 300
EFS = (10, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Point:
    """Recall and latency of one setting of the search.

    Attributes:
        ef: Number of candidates that HNSW visits; None for exact search.
        recall: Share of the ten best targets that the search finds.
        p50_ms, p99_ms: Median and 99th percentile of milliseconds a query, one query after the other.
    """

    ef: int | None
    recall: float
    p50_ms: float
    p99_ms: float


def measure_release(workspace: Workspace, release: Release) -> list[Point]:
    """Measure the index of a release with the source vectors of a sample of its products."""
    ids = next(workspace.index.pages(release.collection, QUERIES))[0]
    source, _ = workspace.index.vectors(release.collection, ids)
    return measure(workspace.index, release.collection, source)


def measure(
    index: VectorIndex, collection: str, queries: FloatArray, efs: Sequence[int] = EFS
) -> list[Point]:
    """Search the ten best targets of source vectors, float32 [q, d], exactly first and then with each `ef`."""
    question = search_exactly(index, collection, queries)
    points = [Point(None, 1.0, *_milliseconds(index, collection, queries, None))]
    for ef in efs:
        recall = question.recall(index, collection, ef)
        points.append(Point(ef, recall, *_milliseconds(index, collection, queries, ef)))
    return points


def draw(collection: str, points: Sequence[Point], chosen: int | None) -> Figure:
    """Draw recall over time a query; `chosen` is the `ef` of the release."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    approximate = [point for point in points if point.ef is not None]
    axes.plot([p.p50_ms for p in approximate], [p.recall for p in approximate], marker=".", label="HNSW")
    for point in approximate:
        label = f"ef {point.ef}, chosen" if point.ef == chosen else f"ef {point.ef}"
        axes.annotate(
            label, (point.p50_ms, point.recall), textcoords="offset points", xytext=(4, -10), fontsize=8
        )
    for point in points:
        if point.ef is None:
            axes.plot([point.p50_ms], [point.recall], marker="x", linestyle="", label="exact")
    axes.set(title=collection, xlabel="milliseconds a query (median)", ylabel=f"recall@{DEPTH}")
    axes.legend()
    return figure


def _milliseconds(
    index: VectorIndex, collection: str, queries: FloatArray, ef: int | None
) -> tuple[float, float]:
    taken = []
    for row in range(len(queries)):
        started = time.perf_counter()
        index.search(collection, queries[row : row + 1], DEPTH, ef=ef, exact=ef is None)
        taken.append(1000 * (time.perf_counter() - started))
    median, slow = np.percentile(taken, (50, 99))
    return float(median), float(slow)
