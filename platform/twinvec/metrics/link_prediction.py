"""Link-prediction metrics: edges against random pairs and against their own reverses (MERLIN 4.1.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

from twinvec.metrics.direction import direction_by
from twinvec.metrics.scores import Scores, in_batches

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LinkMetrics:
    """Link-prediction metrics of scores.

    Attributes:
        hits_at_3: Share of edges that rank among the first three of themselves and their negatives.
        mrr: Mean of 1 / rank among the negatives; with ten of them, the paper's MRR@10 differs in one point: there the
            last of eleven counts as zero.
        auc_random: Area under the ROC curve, all edges against all their negatives.
        auc_dir: Area under the ROC curve, one-way edges against their reverses.
        edges: Number of edges that all figures but `auc_dir` were measured on.
    """

    hits_at_3: float
    mrr: float
    auc_random: float
    auc_dir: float
    edges: int


def link_metrics(
    scores: Scores, edges: tuple[IntArray, IntArray], known: sp.csr_array, seed: int, negatives: int = 10
) -> LinkMetrics:
    """Measure link prediction: for each edge u → v, draw negatives u → z from the products that u has no edge to.

    Scores that are equal but for float32 rounding share the mean of their ranks. Edges of a source that has an edge
    to every other product have no negatives, and are left out.

    Args:
        scores: Scores of all n products.
        edges: Sources and targets, int64 [edges] each.
        known: [n, n], nonzero where there is an edge, those of `edges` included.
        seed: Seed of the negatives; give the same one to all that is compared.
        negatives: Number of negatives an edge, drawn with replacement.

    Example:
        >>> import numpy as np, scipy.sparse as sp, torch
        >>> from twinvec.metrics.scores import DotProducts
        >>> vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [-1.0, 0.0]])
        >>> edges = np.array([0]), np.array([1])
        >>> known = sp.csr_array(([1.0], edges), shape=(4, 4))
        >>> link_metrics(DotProducts(vectors, vectors), edges, known, seed=0).mrr
        1.0
    """
    starts, ends = edges
    degree = np.diff(taken_pairs(known).indptr)
    judged = degree[starts] < scores.products
    auc_dir = direction_by(scores, edges, known).auc_dir
    starts, ends = starts[judged], ends[judged]
    if not len(starts):
        return LinkMetrics(0.0, 0.0, 0.5, auc_dir, 0)
    others = random_negatives(starts, known, negatives, np.random.default_rng(seed))
    positive = in_batches(scores.pairs, starts, ends)
    negative = in_batches(scores.pairs, np.repeat(starts, negatives), others.ravel())
    rounding = in_batches(scores.rounding, starts, ends)
    ranks = ranks_among(positive, negative.reshape(others.shape), rounding)
    truth = np.repeat([1, 0], [len(positive), len(negative)])
    return LinkMetrics(
        hits_at_3=float(np.mean(ranks <= 3)),
        mrr=float(np.mean(1 / ranks)),
        auc_random=float(roc_auc_score(truth, np.concatenate([positive, negative]))),
        auc_dir=auc_dir,
        edges=len(starts),
    )


def ranks_among(
    positive: npt.NDArray[np.float32], negative: npt.NDArray[np.float32], rounding: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return the rank of each edge's score among those of its negatives, from 1, float64 [edges].

    Args:
        positive: Scores of the edges, float32 [edges].
        negative: Scores of their negatives, float32 [edges, negatives].
        rounding: Difference up to which scores count as equal, float32 [edges].
    """
    above, below = (positive + rounding)[:, None], (positive - rounding)[:, None]
    ranks: npt.NDArray[np.float64] = 1 + ((negative > above).sum(1) + (negative >= below).sum(1)) / 2
    return ranks


def random_negatives(
    sources: IntArray, known: sp.csr_array, count: int, generator: np.random.Generator
) -> IntArray:
    """Draw products that some sources have no edge to, with replacement; a source itself is never drawn.

    A number among the free products is drawn and turned into a product, so that no draw is ever rejected.

    Args:
        sources: Sources, int64 [sources], none of which has an edge to all others.
        known: [n, n], nonzero where there is an edge.
        count: Number of negatives a source.
        generator: Generator of the draws.

    Returns:
        int64 [sources, count].
    """
    taken = taken_pairs(known)
    products = known.shape[0]
    degree = np.diff(taken.indptr)
    place = generator.integers(0, (products - degree[sources])[:, None], (len(sources), count))
    # The j-th taken product t of a row has t − j free products before it.
    row = np.repeat(np.arange(products), degree)
    free_before = taken.indices - (np.arange(len(row)) - taken.indptr[row])
    # A stride larger than any such number separates the rows and keeps the whole array sorted.
    stride = products + 1
    passed = np.searchsorted(row * stride + free_before, sources[:, None] * stride + place, side="right")
    drawn: IntArray = place + passed - taken.indptr[sources][:, None]
    return drawn


def random_non_edges(
    known: sp.csr_array, count: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Draw distinct ordered pairs of different products that are no edge, each with the same probability.

    Args:
        known: [n, n], nonzero where there is an edge.
        count: Number of pairs.
        generator: Generator of the draws.

    Returns:
        First and second products, int64 [count] each.

    Example:
        >>> import numpy as np, scipy.sparse as sp
        >>> known = sp.csr_array(([1.0, 1.0], ([0, 1], [1, 0])), shape=(3, 3))
        >>> first, second = random_non_edges(known, 4, np.random.default_rng(0))
        >>> sorted(zip(first.tolist(), second.tolist()))
        [(0, 2), (1, 2), (2, 0), (2, 1)]
    """
    taken = taken_pairs(known)
    products = known.shape[0]
    row = np.repeat(np.arange(products), np.diff(taken.indptr))
    free_before = row * products + taken.indices - np.arange(len(row))
    place = generator.choice(products**2 - len(row), count, replace=False)
    pair = place + np.searchsorted(free_before, place, side="right")
    return pair // products, pair % products


def taken_pairs(known: sp.csr_array) -> sp.csr_array:
    """Return the pairs that no negative may be, known ones and loops, as a matrix [n, n] with sorted indices."""
    taken = sp.csr_array(abs(known) + sp.eye_array(known.shape[0], dtype=np.float32, format="csr"))
    taken.sort_indices()
    return taken
