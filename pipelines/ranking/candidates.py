"""Candidates: the products that are worth ranking for a source, the best by each of several scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch

from pipelines.ranking.features import Vectors
from pipelines.ranking.sparse import IntArray, Pairs, largest, row_numbers, values_at

SCORES = ("walk_both", "walk_views", "walk_forth", "like_targets", "like_sources", "like_neighbours")
Marks = tuple[IntArray, IntArray]


def find_candidates(
    rows: Mapping[str, sp.csr_array],
    sources: IntArray,
    each: int,
    vectors: Vectors | None = None,
    without: sp.csr_array | None = None,
) -> Pairs:
    """Return the best products of each source by every score of the graph, and those nearest to it by the vectors.

    Args:
        rows: Score → float32 [r, n], as of `features.score_rows`.
        sources: The sources, int64 [r].
        each: Number of products that a score contributes.
        vectors: Source and target vectors.
        without: Pairs that are no candidates, nonzero in float32 [r, n].
    """
    products = next(iter(rows.values())).shape[1]
    marks = [_entries(largest(_allowed(rows[name], sources, without), each)) for name in SCORES]
    if vectors is not None:
        marks.append(_nearest(vectors, sources, each, without))
    row, target = (np.concatenate(ends) for ends in zip(*marks, strict=True))
    keys = np.unique(row * products + target)
    return Pairs(sources, keys // products, keys % products, products)


def _allowed(rows: sp.csr_array, sources: IntArray, without: sp.csr_array | None) -> sp.csr_array:
    """Return the positive entries, without the source itself and what is left out."""
    rows.sort_indices()
    row = row_numbers(rows)
    kept = (rows.data > 0) & (rows.indices != sources[row])
    if without is not None:
        kept &= values_at(without, Pairs(sources, row, rows.indices.astype(np.int64), rows.shape[1])) == 0
    counts = np.bincount(row[kept], minlength=rows.shape[0])
    indptr = np.r_[0, np.cumsum(counts)]
    return sp.csr_array((rows.data[kept], rows.indices[kept], indptr), shape=rows.shape)


def _entries(matrix: sp.csr_array) -> Marks:
    return row_numbers(matrix), matrix.indices.astype(np.int64)


def _nearest(vectors: Vectors, sources: IntArray, each: int, without: sp.csr_array | None) -> Marks:
    """Return the products with the largest dot products, found among all."""
    scores = torch.from_numpy(vectors.source[sources]) @ torch.from_numpy(vectors.target).T
    row = np.arange(len(sources))
    scores[torch.from_numpy(row), torch.from_numpy(sources)] = -torch.inf
    if without is not None:
        left_out = [torch.from_numpy(end) for end in _entries(without)]
        scores[left_out[0], left_out[1]] = -torch.inf
    best = scores.topk(min(each, scores.shape[1]), dim=1)
    real = torch.isfinite(best.values).numpy()
    return np.repeat(row, best.indices.shape[1])[real.ravel()], best.indices.numpy()[real]
