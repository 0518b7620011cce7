"""Node recommendation: where the true target ranks among all products (MERLIN 4.1.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from twinvec.metrics.scores import DotProducts, Scores

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RankingMetrics:
    """Means over the evaluated edges."""

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
    """Rank by s_u·t_v of vectors, float32 [n, d] each, on their device; all else as `rank_by` has it."""
    return rank_by(DotProducts(source, target), edges, known, batch, chunk)


def rank_by(
    scores: Scores,
    edges: tuple[IntArray, IntArray],
    known: sp.csr_array,
    batch: int = 512,
    chunk: int = 65_536,
) -> npt.NDArray[np.float64]:
    """Rank of each edge's target among all products, from 1.

    Left out of the ranking are the source itself, its `known` targets and the other targets listed for it. Scores
    that are equal but for float32 rounding share the mean of their ranks: otherwise a model whose vectors are all
    the same would be ranked by the rounding, and first half of the time. Memory is `batch` × `chunk`, whatever the
    catalogue's size.

    Args:
        scores: of all n products.
        edges: sources and targets, int64 [edges] each.
        known: [n, n], nonzero where a pair is known.
        batch: edges ranked at once.
        chunk: products scored at once.

    Returns:
        float64 [edges].
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
            # Counted as what is not worse, so that a model that has diverged to NaN ranks its targets last.
            worse = (some <= own + rounding).sum(1) + (some < own - rounding).sum(1)
            better += some.shape[1] - worse / 2
        ranks[first : first + batch] = better.cpu().numpy() + 1
    return ranks


def ranking_metrics(ranks: npt.NDArray[np.float64]) -> RankingMetrics:
    """Hits@1, 3, 5, 10 and MRR@10 (a rank beyond 10 counts as zero) of ranks [edges]."""
    if not len(ranks):
        return RankingMetrics(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    return RankingMetrics(
        hits_at_1=float(np.mean(ranks <= 1)),
        hits_at_3=float(np.mean(ranks <= 3)),
        hits_at_5=float(np.mean(ranks <= 5)),
        hits_at_10=float(np.mean(ranks <= 10)),
        mrr_at_10=float(np.mean(np.where(ranks <= 10, 1 / ranks, 0))),
        edges=len(ranks),
    )
