"""Proximity of products in the graph: personalised PageRank and its factorisation.

The approach is STRAP's (Yin & Wei, KDD 2019): approximate personalised PageRank of every node, whose logarithm is
factorised into a source vector and a target vector of each node.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from twinvec.nn.losses.positives import rows_to_one

FloatArray = npt.NDArray[np.float32]
# Of the randomised singular value decomposition. Each is two products with the matrix.
POWER_ITERATIONS = 3
# A node passes its walkers on if a neighbour gets at least this share of the least probability that is kept. Walkers
# at a product with thousands of neighbours would otherwise take nearly all of the time and leave nothing that is kept.
PASSED_ON = 0.03


def walk_matrix(copurchase: sp.csr_array, coview: sp.csr_array, coview_weight: float) -> sp.csr_array:
    """Return the weighted graph of the walks: co-purchase and co-view edges, in both directions.

    Args:
        copurchase, coview: Adjacency matrices [n, n]; entries over zero are edges.
        coview_weight: Weight of a co-view edge; a co-purchase edge weighs 1.

    Returns:
        Symmetric weights, float32 [n, n].
    """

    def both(edges: sp.csr_array) -> sp.csr_array:
        return sp.csr_array(((edges + edges.T) > 0).astype(np.float32))

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
    transition = Transition(rows_to_one(weights))
    starts = np.arange(weights.shape[0]) if nodes is None else nodes

    def near(some: npt.NDArray[np.int64]) -> sp.csr_array:
        total = walks(transition, some, restart, steps, least)
        total[np.arange(len(some)), some] = 0
        total.eliminate_zeros()
        return keep_largest(total, keep)

    # SciPy multiplies without holding the interpreter, so threads share the work.
    with ThreadPoolExecutor(torch.get_num_threads()) as executor:
        parts = [*executor.map(near, np.split(starts, range(chunk, len(starts), chunk)))]
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
    walk = sp.csr_array((ones, (np.arange(size), starts)), shape=(size, len(transition.largest)))
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
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    rank = np.arange(len(row)) - matrix.indptr[row]
    chosen = order[rank < keep]
    kept = sp.csr_array((matrix.data[chosen], (row[chosen], matrix.indices[chosen])), shape=matrix.shape)
    kept.sort_indices()
    return kept


def target_share(copurchase: sp.csr_array, weights: sp.csr_array) -> FloatArray:
    """Return how much each product is a target: (1 + in-degree) / (1 + degree), float32 [n].

    A product that has seldom been a target is seldom a target again. Nearness alone has no direction.
    """
    into = np.asarray((copurchase > 0).sum(0)).ravel()
    share: FloatArray = ((1 + into) / (1 + np.asarray(weights.sum(1)).ravel())).astype(np.float32)
    return share


def directed_nearness(
    copurchase: sp.csr_array,
    coview: sp.csr_array,
    coview_weight: float,
    restart: float,
    steps: int,
    least: float,
    keep: int,
    nodes: npt.NDArray[np.int64] | None = None,
) -> sp.csr_array:
    """Return the nearness of each product as a target to every node, or to some: PageRank times `target_share`.

    Args:
        copurchase, coview, coview_weight: As in `walk_matrix`.
        restart, steps, least, keep, nodes: As in `personalised_pagerank`.

    Returns:
        float32 [r, n].
    """
    weights = walk_matrix(copurchase, coview, coview_weight)
    nearness = personalised_pagerank(weights, restart, steps, least, keep, nodes=nodes)
    return sp.csr_array(nearness @ sp.diags_array(target_share(copurchase, weights)))


def factorise(
    proximity: sp.csr_array, dimension: int, least: float, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return factors whose dot product reproduces log(1 + proximity / least).

    Args:
        proximity: float32 [n, n].
        dimension: Length of the factors.
        least: Proximity at which the logarithm starts to rise.
        seed: Seed of the randomised singular value decomposition.

    Returns:
        Source and target factors, float32 [n, dimension] each. Columns beyond the rank are zero.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> near = sp.csr_array(np.array([[0, 0.2], [0.1, 0]], np.float32))
        >>> source, target = factorise(near, dimension=4, least=0.1, seed=0)
        >>> np.allclose(source @ target.T, np.log1p(near.toarray() / 0.1), atol=1e-5)
        True
    """
    logarithm = proximity.copy()
    logarithm.data = np.log1p(logarithm.data / least)
    rank = min(dimension, *proximity.shape)
    left, values, right = randomized_svd(logarithm, rank, n_iter=POWER_ITERATIONS, random_state=seed)
    root = np.sqrt(values)
    source = np.zeros((proximity.shape[0], dimension), np.float32)
    target = np.zeros((proximity.shape[0], dimension), np.float32)
    source[:, :rank] = left * root
    target[:, :rank] = right.T * root
    return source, target


@dataclass(frozen=True)
class Proximity:
    """Directed proximity of products in the graph.

    Attributes:
        matrix: float32 [n, n], each row summing to one or to zero.
        factors: Factors of each node of the double cover, sources first, float32 [2n, p].
    """

    matrix: sp.csr_array
    factors: Tensor


def proximity(
    copurchase: sp.csr_array,
    coview: sp.csr_array,
    dimension: int,
    coview_weight: float,
    restart: float,
    steps: int,
    least: float,
    keep: int,
    seed: int,
) -> Proximity:
    """Return the directed nearness of all products and its factors.

    Args:
        copurchase, coview, coview_weight: As in `walk_matrix`.
        dimension: Length of the factors.
        restart, steps, least, keep: As in `personalised_pagerank`.
        seed: Seed of the factorisation.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> copurchase = sp.csr_array(np.array([[0, 1, 1], [0, 0, 0], [0, 1, 0]], np.float32))
        >>> coview = sp.csr_array((3, 3), dtype=np.float32)
        >>> near = proximity(
        ...     copurchase, coview, dimension=8, coview_weight=1.0, restart=0.15, steps=10, least=1e-4, keep=50, seed=0
        ... )
        >>> near.matrix.shape, near.factors.shape
        ((3, 3), torch.Size([6, 8]))
    """
    directed = directed_nearness(copurchase, coview, coview_weight, restart, steps, least, keep)
    source, target = factorise(directed, dimension, least, seed)
    return Proximity(rows_to_one(directed), torch.from_numpy(np.concatenate([source, target])))
