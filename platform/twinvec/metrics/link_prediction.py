"""Link prediction: are edges scored above pairs that are none, and above their own reverses (MERLIN 4.1.4)."""

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
    """How well edges are told from what is none.

    Attributes:
        hits_at_3: share of edges that rank among the first three beside their negatives.
        mrr: mean of one over the rank beside the negatives; with ten of them, the paper's MRR@10 differs only in
            that the last of eleven counts as zero there.
        auc_random: area under the ROC curve, all edges against all their negatives.
        auc_dir: area under the ROC curve, one-way edges against their reverses.
        edges: that all but `auc_dir` were measured on.
    """

    hits_at_3: float
    mrr: float
    auc_random: float
    auc_dir: float
    edges: int


def link_metrics(
    scores: Scores, edges: tuple[IntArray, IntArray], known: sp.csr_array, seed: int, negatives: int = 10
) -> LinkMetrics:
    """Measure link prediction with negatives u → z for each edge u → v, z drawn from what u has no edge to.

    Scores that are equal but for float32 rounding share the mean of their ranks. Edges of a source that has an edge
    to every other product have no negatives, and are left out.

    Args:
        scores: of all n products.
        edges: sources and targets, int64 [edges] each.
        known: [n, n], nonzero where there is an edge, those of `edges` included.
        seed: of the negatives; the same for whatever is compared.
        negatives: drawn an edge, with replacement.
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
    """Rank of each edge's score among those of its negatives, from 1, float64 [edges].

    Args:
        positive: [edges].
        negative: [edges, negatives].
        rounding: differences up to which scores count as equal, [edges].
    """
    above, below = (positive + rounding)[:, None], (positive - rounding)[:, None]
    ranks: npt.NDArray[np.float64] = 1 + ((negative > above).sum(1) + (negative >= below).sum(1)) / 2
    return ranks


def random_negatives(
    sources: IntArray, known: sp.csr_array, count: int, generator: np.random.Generator
) -> IntArray:
    """Products that some sources have no edge to, themselves left out, drawn with replacement.

    What is drawn is a place among the products that are left, so that nothing known is ever drawn, nor drawn again.

    Args:
        sources: int64 [sources], none of which has an edge to all others.
        known: [n, n], nonzero where there is an edge.
        count: negatives of each source.
        generator: of the draws.

    Returns:
        int64 [sources, count].
    """
    taken = taken_pairs(known)
    products = known.shape[0]
    degree = np.diff(taken.indptr)
    place = generator.integers(0, (products - degree[sources])[:, None], (len(sources), count))
    # The j-th taken product t of a row has t − j free ones before it: so many places are before it, too.
    row = np.repeat(np.arange(products), degree)
    free_before = taken.indices - (np.arange(len(row)) - taken.indptr[row])
    # Rows are told apart by a stride that no such number exceeds, which keeps the whole array sorted.
    stride = products + 1
    passed = np.searchsorted(row * stride + free_before, sources[:, None] * stride + place, side="right")
    drawn: IntArray = place + passed - taken.indptr[sources][:, None]
    return drawn


def random_non_edges(
    known: sp.csr_array, count: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Distinct ordered pairs of different products that are no edge, each as likely as any other.

    Args:
        known: [n, n], nonzero where there is an edge.
        count: how many.
        generator: of the draws.

    Returns:
        First and second products, int64 [count] each.
    """
    taken = taken_pairs(known)
    products = known.shape[0]
    row = np.repeat(np.arange(products), np.diff(taken.indptr))
    free_before = row * products + taken.indices - np.arange(len(row))
    place = generator.choice(products**2 - len(row), count, replace=False)
    pair = place + np.searchsorted(free_before, place, side="right")
    return pair // products, pair % products


def taken_pairs(known: sp.csr_array) -> sp.csr_array:
    """What no negative may be: known pairs, and every product with itself, [n, n], sorted indices."""
    taken = sp.csr_array(abs(known) + sp.eye_array(known.shape[0], dtype=np.float32, format="csr"))
    taken.sort_indices()
    return taken
