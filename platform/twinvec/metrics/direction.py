"""Direction metrics: edges against their own reverses (MERLIN 4.1.4, AUC-dir)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score
from torch import Tensor

from twinvec.metrics.scores import DotProducts, Scores, in_batches

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DirectionMetrics:
    """Direction metrics of scores on one-way edges; 0.5 is chance.

    Attributes:
        auc_dir: Area under the ROC curve, edges against their reverses.
        right_way: Share of edges that score above their own reverse, ties counting half.
        one_way_edges: Number of edges that were measured.
    """

    auc_dir: float
    right_way: float
    one_way_edges: int


def direction_metrics(
    source: Tensor, target: Tensor, edges: tuple[IntArray, IntArray], known: sp.csr_array
) -> DirectionMetrics:
    """Measure how the dot products s_u·t_v tell the direction of edges; see `direction_by`.

    Args:
        source: Source vectors, float32 [n, d].
        target: Target vectors, float32 [n, d].
        edges: Sources and targets, int64 [edges] each.
        known: [n, n], nonzero where there is an edge, those of `edges` included.

    Example:
        >>> import numpy as np, scipy.sparse as sp, torch
        >>> source, target = torch.tensor([[1.0], [0.1]]), torch.tensor([[0.1], [1.0]])
        >>> edges = np.array([0]), np.array([1])
        >>> known = sp.csr_array(([1.0], edges), shape=(2, 2))
        >>> direction_metrics(source, target, edges, known)
        DirectionMetrics(auc_dir=1.0, right_way=1.0, one_way_edges=1)
    """
    return direction_by(DotProducts(source, target), edges, known)


def direction_by(scores: Scores, edges: tuple[IntArray, IntArray], known: sp.csr_array) -> DirectionMetrics:
    """Measure direction on the edges whose reverse is not an edge; without such edges, all figures are chance.

    Args:
        scores: Scores of all n products.
        edges: Sources and targets, int64 [edges] each.
        known: [n, n], nonzero where there is an edge, those of `edges` included.
    """
    starts, ends = edges
    both_ways = np.asarray(known[ends, starts]).ravel() != 0
    starts, ends = starts[~both_ways], ends[~both_ways]
    if not len(starts):
        return DirectionMetrics(0.5, 0.5, 0)
    forward = in_batches(scores.pairs, starts, ends)
    backward = in_batches(scores.pairs, ends, starts)
    truth = np.concatenate([np.ones(len(forward)), np.zeros(len(backward))])
    return DirectionMetrics(
        auc_dir=float(roc_auc_score(truth, np.concatenate([forward, backward]))),
        right_way=float(np.mean((forward > backward) + (forward == backward) / 2)),
        one_way_edges=len(starts),
    )
