"""Ranking metrics: the rank of each edge's target among all products, Hits@k and MRR@10 (MERLIN 4.1.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from twinvec.metrics.scores import DotProducts, Scores

IntArray = npt.NDArray[np.int64]
# Largest number of held-out edges that evaluations rank; of more, so many are taken at even distances. The time grows
# with edges × products. The standard error of MRR@10 over so many edges is below 0.003.
MOST_RANKED = 20_000


@dataclass(frozen=True)
class RankingMetrics:
    """Ranking metrics of a set of edges.

    Attributes:
        hits_at_1, hits_at_3, hits_at_5, hits_at_10: Share of edges whose target ranks so high.
        mrr_at_10: Mean of 1 / rank, zero for a rank beyond 10.
        edges: Number of edges.
    """

    hits_at_1: float
    hits_at_3: float
    hits_at_5: float
    hits_at_10: float
    mrr_at_10: float
    edges: int


def rank_targets(
    source: Tensor,
    target: Tensor,
    edges: tuple[IntArray, IntArray],
    known: sp.csr_array,
    batch: int = 512,
    chunk: int = 65_536,
) -> npt.NDArray[np.float64]:
    """Return the rank of each edge's target by the dot products s_u·t_v; see `rank_by`.

    Args:
        source, target: Vectors of all products, float32 [n, d] each, on one device, where the ranking runs.
        edges: Sources and targets, int64 [edges] each.
        known: [n, n], nonzero where a pair is known.
        batch: Number of edges ranked at once.
        chunk: Number of products scored at once.

    Example:
        >>> import numpy as np, scipy.sparse as sp, torch
        >>> source = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> target = torch.tensor([[0.0, 1.0], [0.5, 0.0], [1.0, 0.0]])
        >>> nothing = sp.csr_array((3, 3), dtype=np.float32)
        >>> rank_targets(source, target, (np.array([0, 1]), np.array([1, 0])), nothing)
        array([2., 1.])
    """
    return rank_by(DotProducts(source, target), edges, known, batch, chunk)


def rank_by(
    scores: Scores,
    edges: tuple[IntArray, IntArray],
    known: sp.csr_array,
    batch: int = 512,
    chunk: int = 65_536,
) -> npt.NDArray[np.float64]:
    """Return the rank of each edge's target among all products, from 1, float64 [edges].

    Left out of the ranking are the source itself, its `known` targets and the other targets of it in `edges`. Scores
    that differ by no more than float32 rounding share the mean of their ranks: otherwise the rounding would rank a
    model whose vectors are all the same, half of the time first. Memory is `batch` × `chunk`, whatever the size of
    the catalogue.

    Args:
        scores: Scores of all n products.
        edges: Sources and targets, int64 [edges] each.
        known: [n, n], nonzero where a pair is known.
        batch: Number of edges ranked at once.
        chunk: Number of products scored at once.
    """
    starts, ends = edges
    products = scores.products
    listed = sp.csr_array((np.ones(len(starts), np.float32), (starts, ends)), shape=(products, products))
    itself = sp.eye_array(products, format="csr", dtype=np.float32)
    excluded = sp.csr_array(abs(known) + listed + itself)
    ranks = np.empty(len(starts))
    for first in range(0, len(starts), batch):
        sources, targets = starts[first : first + batch], ends[first : first + batch]
        own = scores.pairs(sources, targets)[:, None]
        rounding = scores.rounding(sources, targets)[:, None]
        left_out = excluded[sources].tocoo()
        row = torch.from_numpy(left_out.coords[0].astype(np.int64)).to(scores.device)
        column = torch.from_numpy(left_out.coords[1].astype(np.int64)).to(scores.device)
        better = torch.zeros(len(sources), dtype=torch.float64, device=scores.device)
        for low in range(0, products, chunk):
            some = scores.block(sources, low, low + chunk)
            inside = (column >= low) & (column < low + chunk)
            some[row[inside], column[inside] - low] = -torch.inf
            # Count what is not worse, so that a model that has diverged to NaN ranks its targets last.
            worse = (some <= own + rounding).sum(1) + (some < own - rounding).sum(1)
            better += some.shape[1] - worse / 2
        ranks[first : first + batch] = better.cpu().numpy() + 1
    return ranks


def reciprocal_ranks(ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return 1 / rank of ranks [edges], zero beyond 10: their mean is the MRR@10."""
    return np.where(ranks <= 10, 1 / ranks, 0)


def ranking_metrics(ranks: npt.NDArray[np.float64]) -> RankingMetrics:
    """Return Hits@1, 3, 5, 10 and MRR@10 of ranks [edges]; a rank beyond 10 counts as zero.

    Example:
        >>> import numpy as np
        >>> metrics = ranking_metrics(np.array([1.0, 4.0, 20.0]))
        >>> round(metrics.hits_at_5, 4), round(metrics.mrr_at_10, 4)
        (0.6667, 0.4167)
    """
    if not len(ranks):
        return RankingMetrics(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    return RankingMetrics(
        hits_at_1=float(np.mean(ranks <= 1)),
        hits_at_3=float(np.mean(ranks <= 3)),
        hits_at_5=float(np.mean(ranks <= 5)),
        hits_at_10=float(np.mean(ranks <= 10)),
        mrr_at_10=float(np.mean(reciprocal_ranks(ranks))),
        edges=len(ranks),
    )
