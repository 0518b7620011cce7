"""Link direction: is an edge scored above its own reverse (MERLIN 4.1.4, AUC-dir)."""

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
    """How well the direction of one-way edges is told.

    Attributes:
        auc_dir: area under the ROC curve, edges against their reverses.
        right_way: share of edges that score above their own reverse, ties counting half.
        one_way_edges: edges this was measured on.
    """

    auc_dir: float
    right_way: float
    one_way_edges: int


def direction_metrics(
    source: Tensor, target: Tensor, edges: tuple[IntArray, IntArray], known: sp.csr_array
) -> DirectionMetrics:
    """Measure how s_u·t_v tells the direction of edges, as `direction_by` has it.

    Args:
        source: source vectors, float32 [n, d].
        target: target vectors, float32 [n, d].
        edges: sources and targets, int64 [edges] each.
        known: [n, n], nonzero where there is an edge, those of `edges` included.
    """
    return direction_by(DotProducts(source, target), edges, known)


def direction_by(scores: Scores, edges: tuple[IntArray, IntArray], known: sp.csr_array) -> DirectionMetrics:
    """Measure direction on those edges whose reverse is not an edge.

    Args:
        scores: of all n products.
        edges: sources and targets, int64 [edges] each.
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
