"""Operations on rows of sparse matrices that the features of candidates need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Candidates of some sources, one after another.

    Attributes:
        sources: Source products, int64 [r].
        row: Position of each pair's source in `sources`, ascending, int64 [pairs].
        target: Target product of each pair, ascending within a row, int64 [pairs].
        products: Number of all products, n.
    """

    sources: IntArray
    row: IntArray
    target: IntArray
    products: int

    def __len__(self) -> int:
        return len(self.row)

    @property
    def source(self) -> IntArray:
        """Source product of each pair, int64 [pairs]."""
        return self.sources[self.row]

    @property
    def keys(self) -> IntArray:
        """Number of each pair in the matrix [r, n], ascending, int64 [pairs]."""
        return self.row * self.products + self.target

    @property
    def counts(self) -> IntArray:
        """Number of candidates of each source, int64 [r]."""
        return np.bincount(self.row, minlength=len(self.sources))


def values_at(rows: sp.csr_array, pairs: Pairs) -> FloatArray:
    """Return the entries of sparse rows at some pairs, zero where a row has none, float32 [pairs].

    Args:
        rows: [r, n], a row for each of `pairs.sources`.
        pairs: Pairs to look up.

    Example:
        >>> import numpy as np, scipy.sparse as sp
        >>> rows = sp.csr_array(np.array([[0.0, 2.0, 3.0]], np.float32))
        >>> values_at(rows, Pairs(np.array([5]), np.array([0, 0]), np.array([0, 2]), 3)).tolist()
        [0.0, 3.0]
    """
    if not len(pairs):  # SciPy returns a sparse array if there are no pairs
        return np.zeros(0, np.float32)
    return np.asarray(rows[pairs.row, pairs.target], np.float32).ravel()


def row_numbers(matrix: sp.csr_array) -> IntArray:
    """Return the row of each stored entry, int64 [entries]."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def rows_of(matrix: sp.csr_array, rows: IntArray) -> sp.csr_array:
    """Return some rows of a matrix, sparse [r, n]."""
    return sp.csr_array(matrix[rows])


def scaled(
    matrix: sp.csr_array,
    rows: npt.NDArray[Any] | None = None,
    columns: npt.NDArray[Any] | None = None,
) -> sp.csr_array:
    """Return the matrix with its rows and its columns multiplied by weights, float32."""
    data = matrix.data.astype(np.float32)
    if rows is not None:
        data = data * np.repeat(rows.astype(np.float32, copy=False), np.diff(matrix.indptr))
    if columns is not None:
        data = data * columns.astype(np.float32, copy=False)[matrix.indices]
    return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def ranks_within(pairs: Pairs, scores: FloatArray, known: npt.NDArray[np.bool_] | None = None) -> FloatArray:
    """Return the number of a source's candidates with a higher score, float32 [pairs].

    Equal scores have equal ranks, so that it does not matter in which order candidates come.

    Args:
        pairs: Pairs.
        scores: A score of each, float32 [pairs].
        known: Pairs that are not counted, bool [pairs]; they have ranks, too.

    Example:
        >>> import numpy as np
        >>> pairs = Pairs(np.array([5]), np.zeros(4, int), np.arange(4), 4)
        >>> scores = np.array([2, 9, 2, 1], np.float32)
        >>> ranks_within(pairs, scores).tolist()
        [1.0, 0.0, 1.0, 3.0]
        >>> ranks_within(pairs, scores, np.array([False, True, False, False])).tolist()
        [0.0, 0.0, 0.0, 2.0]
    """
    order = np.lexsort((-scores, pairs.row))  # rows ascend already, so that they stay where they are
    counted = np.ones(len(order), np.int64) if known is None else (~known[order]).astype(np.int64)
    above = np.cumsum(counted) - counted
    sorted_scores = scores[order]
    tied = np.zeros(len(order), np.bool_)
    tied[1:] = (pairs.row[1:] == pairs.row[:-1]) & (sorted_scores[1:] == sorted_scores[:-1])
    first_of_tie = np.maximum.accumulate(np.where(tied, 0, np.arange(len(order))))
    first_of_row = (np.cumsum(pairs.counts) - pairs.counts)[pairs.row]
    ranks = np.empty(len(order), np.float32)
    ranks[order] = above[first_of_tie] - above[first_of_row]
    return ranks
