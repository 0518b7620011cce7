"""Random walks over the product graph: approximate personalised PageRank of every node, or of some."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from twinvec.nn.losses.positives import rows_to_one

FloatArray = npt.NDArray[np.float32]
# A node passes its walkers on if a neighbour gets at least this share of the least probability that is kept. Walkers
# at a product with thousands of neighbours would otherwise take nearly all of the time and leave nothing that is kept.
PASSED_ON = 0.03


def walk_matrix(copurchase: sp.csr_array, coview: sp.csr_array, coview_weight: float) -> sp.csr_array:
    """Return the weighted graph of the walks: co-purchase and co-view edges, in both directions.

    Args:
        copurchase, coview: Adjacency matrices [n, n]: the weight of each edge, at most 1. Of two edges against each
            other, the larger counts.
        coview_weight: What a co-view edge weighs beside a co-purchase edge.

    Returns:
        Symmetric weights, float32 [n, n].
    """

    def both(edges: sp.csr_array) -> sp.csr_array:
        return sp.csr_array(edges.maximum(edges.T)).astype(np.float32)

    return sp.csr_array(both(copurchase) + coview_weight * both(coview))


def personalised_pagerank(
    weights: sp.csr_array,
    restart: float,
    steps: int,
    least: float,
    keep: int,
    chunk: int = 512,
    nodes: npt.NDArray[np.int64] | None = None,
) -> sp.csr_array:
    """Return the largest entries of the approximate personalised PageRank of every node, or of some.

    The power iteration Σ_k restart (1 − restart)^k P^k from each node. Probabilities under `least` are dropped after
    each step, so memory and time grow with the entries kept, not with n². A node whose neighbours would each get less
    than `PASSED_ON` of that passes nothing on, as in the push of Andersen, Chung & Lang (FOCS 2006), so that the time
    does not grow with the degree of the most popular products.

    Args:
        weights: Edge weights, float32 [n, n].
        restart: Probability of returning to the start at each step.
        steps: Terms of the series.
        least: Probabilities under this are dropped.
        keep: Maximum number of entries of a row.
        chunk: Rows computed at once.
        nodes: Start nodes, int64 [r]; all n if not given.

    Returns:
        float32 [r, n]. Rows have no entry for the node itself; indices are sorted.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> path = sp.csr_array(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32))
        >>> near = personalised_pagerank(path, restart=0.5, steps=1, least=0.0, keep=2).toarray()
        >>> near.tolist()
        [[0.0, 0.25, 0.0], [0.125, 0.0, 0.125], [0.0, 0.25, 0.0]]
    """
    starts = np.arange(weights.shape[0]) if nodes is None else nodes
    return pagerank_of(Transition(rows_to_one(weights)), starts, restart, steps, least, keep, chunk)


def pagerank_of(
    transition: Transition,
    nodes: npt.NDArray[np.int64],
    restart: float,
    steps: int,
    least: float,
    keep: int,
    chunk: int = 512,
) -> sp.csr_array:
    """Return `personalised_pagerank` of some nodes, by a transition that may serve for others, too, float32 [r, n].

    Args:
        transition: P, of n nodes.
        nodes: Start nodes, int64 [r].
        restart, steps, least, keep, chunk: As in `personalised_pagerank`.
    """

    def near(some: npt.NDArray[np.int64]) -> sp.csr_array:
        total = walks(transition, some, restart, steps, least)
        total[np.arange(len(some)), some] = 0
        total.eliminate_zeros()
        return keep_largest(total, keep)

    # SciPy multiplies without holding the interpreter, so threads share the work.
    with ThreadPoolExecutor(torch.get_num_threads()) as executor:
        parts = [*executor.map(near, np.split(nodes, range(chunk, len(nodes), chunk)))]
    return sp.csr_array(sp.vstack(parts, format="csr"))


@dataclass(frozen=True)
class Transition:
    """One step of a random walk.

    Attributes:
        probabilities: P, rows that sum to one or zero, float32 [n, n].
    """

    probabilities: sp.csr_array

    @cached_property
    def largest(self) -> FloatArray:
        """The largest probability of each row, float32 [n]."""
        return np.asarray(self.probabilities.max(axis=1).toarray(), np.float32).ravel()


def walks(
    transition: Transition, starts: npt.NDArray[np.int64], restart: float, steps: int, least: float
) -> sp.csr_array:
    """Return Σ_k restart (1 − restart)^k P^k from some nodes, their own entries included, float32 [r, n].

    Args:
        transition: P, of n nodes.
        starts: Start nodes, int64 [r].
        restart, steps, least: As in `personalised_pagerank`.
    """
    size = len(starts)
    ones = np.ones(size, np.float32)
    # SciPy keeps the integers that it is given, and 32 bits take two thirds of the memory of a row.
    ends = np.arange(size, dtype=np.int32), starts.astype(np.int32)
    walk = sp.csr_array((ones, ends), shape=(size, len(transition.largest)))
    total = restart * walk
    for _ in range(steps):
        passed = (1 - restart) * walk.data * transition.largest[walk.indices]
        walk.data[passed < PASSED_ON * least] = 0
        walk.eliminate_zeros()
        walk = (1 - restart) * (walk @ transition.probabilities)
        walk.data[walk.data < least] = 0
        walk.eliminate_zeros()
        total = total + restart * walk
    return sp.csr_array(total)


def keep_largest(matrix: sp.csr_array, keep: int) -> sp.csr_array:
    """Return the matrix with only the `keep` largest entries of each row; of equal ones, those of the lower columns."""
    matrix.sort_indices()
    row = np.repeat(np.arange(matrix.shape[0], dtype=matrix.indices.dtype), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    rank = np.arange(len(row)) - matrix.indptr[row]
    chosen = order[rank < keep]
    kept = sp.csr_array((matrix.data[chosen], (row[chosen], matrix.indices[chosen])), shape=matrix.shape)
    kept.sort_indices()
    return kept
