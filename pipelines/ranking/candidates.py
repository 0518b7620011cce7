"""Candidates: the products that are worth ranking for a source, the best by each of several scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from pipelines.ranking.features import Vectors
from pipelines.ranking.sparse import IntArray, Pairs, row_numbers, values_at
from twinvec.nn.pagerank import keep_largest

SCORES = ("walk_both", "walk_views", "walk_forth", "like_targets", "like_sources", "like_neighbours")
Marks = tuple[IntArray, IntArray]
BLOCK = 20_000_000


def find_candidates(
    rows: Mapping[str, sp.csr_array],
    sources: IntArray,
    each: int,
    vectors: Vectors | None = None,
    without: sp.csr_array | None = None,
    asked: npt.NDArray[np.bool_] | None = None,
) -> Pairs:
    """Return the best products of each source by every score of the graph, and those nearest to it by the vectors.

    The time of the nearest grows with the sources times all products; `asked` bounds the sources.

    Args:
        rows: Score → float32 [r, n], as of `features.score_rows`.
        sources: The sources, int64 [r].
        each: Number of products that a score contributes.
        vectors: Source and target vectors.
        asked: Which sources get candidates by the vectors, bool [r]; all if not given.
        without: Pairs that are no candidates, nonzero in float32 [r, n].
    """
    products = next(iter(rows.values())).shape[1]
    marks = [_entries(keep_largest(_allowed(rows[name], sources, without), each)) for name in SCORES]
    if vectors is not None and len(sources):
        rows_asked = np.flatnonzero(asked) if asked is not None else np.arange(len(sources))
        if len(rows_asked):
            left_out = sp.csr_array(without[rows_asked]) if without is not None else None
            row_asked, column = _nearest(vectors, sources[rows_asked], each, left_out)
            marks.append((rows_asked[row_asked], column))
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
    """Return the products with the largest dot products, found among all, in the memory of `BLOCK` scores."""
    target = torch.from_numpy(vectors.target).T
    step = max(1, BLOCK // max(target.shape[1], 1))
    parts = []
    for first in range(0, len(sources), step):
        some = sources[first : first + step]
        scores = torch.from_numpy(vectors.source[some]) @ target
        scores[torch.arange(len(some)), torch.from_numpy(some)] = -torch.inf
        if without is not None:
            row, column = _entries(sp.csr_array(without[first : first + step]))
            scores[torch.from_numpy(row), torch.from_numpy(column)] = -torch.inf
        best = scores.topk(min(each, scores.shape[1]), dim=1)
        row, place = torch.isfinite(best.values).numpy().nonzero()
        parts.append((first + row, best.indices.numpy()[row, place]))
    rows, columns = zip(*parts, strict=True)
    return np.concatenate(rows), np.concatenate(columns)
