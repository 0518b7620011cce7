"""Retrieval of co-viewed products: the rank of one product of a pair among all, searched from the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from torch import Tensor

from twinvec.metrics.ranking import RankingMetrics, rank_targets, ranking_metrics

IntArray = npt.NDArray[np.int64]
MAX_PAIRS = 5_000


def rank_coviews(
    vectors: Tensor, pairs: tuple[IntArray, IntArray], known: sp.csr_array, limit: int = MAX_PAIRS
) -> RankingMetrics:
    """Rank both products of each pair from the other among all products, and return Hits@k and MRR@10.

    Args:
        vectors: Vectors of length one, float32 [n, d]; the ranking runs on their device.
        pairs: First and second products, int64 [pairs] each; every pair once, in either order.
        known: Pairs the encoder was trained on, [n, n], nonzero in either order; they are left out of the ranking.
        limit: Largest number of pairs to rank; they are taken at even distances from the first to the last.

    Example:
        >>> import numpy as np, scipy.sparse as sp, torch
        >>> vectors = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
        >>> nothing = sp.csr_array((3, 3), dtype=np.float32)
        >>> rank_coviews(vectors, (np.array([0]), np.array([1])), nothing).hits_at_1
        0.5
    """
    ranks, _ = coview_ranks(vectors, pairs, known, limit)
    return ranking_metrics(ranks.ravel())


def coview_ranks(
    vectors: Tensor, pairs: tuple[IntArray, IntArray], known: sp.csr_array, limit: int = MAX_PAIRS
) -> tuple[npt.NDArray[np.float64], IntArray]:
    """Return the ranks of both products of each pair from the other, float64 [2, m], and the pairs ranked, int64 [m].

    The first row has the ranks of the second products. For the arguments see `rank_coviews`.
    """
    first, second = pairs
    chosen = np.unique(np.linspace(0, len(first) - 1, min(limit, len(first)), dtype=np.int64))
    first, second = first[chosen], second[chosen]
    edges = np.concatenate([first, second]), np.concatenate([second, first])
    ranks = rank_targets(vectors, vectors, edges, sp.csr_array(known + known.T))
    return ranks.reshape(2, -1), chosen
