"""How near products are to each other in the graph: personalised PageRank and its factorisation.

The approach is STRAP's (Yin & Wei, KDD 2019): approximate personalised PageRank of every node, its logarithm
factorised into a vector of each node as source and one as target.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

FloatArray = npt.NDArray[np.float32]


def walk_matrix(copurchase: sp.csr_array, coview: sp.csr_array, coview_weight: float) -> sp.csr_array:
    """The graph that is walked: co-purchase and co-view edges in both directions, co-views at `coview_weight`.

    Args:
        copurchase, coview: adjacency matrices [n, n]; entries over zero are edges.
        coview_weight: weight of a co-view edge beside a co-purchase edge's one.

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
    chunk: int = 2048,
    nodes: npt.NDArray[np.int64] | None = None,
) -> sp.csr_array:
    """Approximate personalised PageRank of every node, or of some, its largest entries only.

    The power iteration Σ_k restart (1 − restart)^k P^k from each node, in which probabilities under `least` are
    dropped after each step: memory and time go with what is kept, not with n².

    Args:
        weights: edge weights, float32 [n, n].
        restart: chance to go home at each step.
        steps: terms of the series.
        least: walks less probable than this are given up.
        keep: most entries kept of a row.
        chunk: rows worked on at once.
        nodes: the r nodes that rows are wanted of; all n if not given.

    Returns:
        float32 [r, n], rows without the node itself, sorted indices.
    """
    out = np.asarray(weights.sum(1)).ravel()
    transition = sp.csr_array(sp.diags_array(1 / np.maximum(out, 1e-12)) @ weights).astype(np.float32)
    everything = weights.shape[0]
    wanted = np.arange(everything) if nodes is None else nodes
    parts = []
    for first in range(0, len(wanted), chunk):
        here = wanted[first : first + chunk]
        size = len(here)
        walk = sp.csr_array((np.ones(size, np.float32), (np.arange(size), here)), shape=(size, everything))
        total = restart * walk
        for _ in range(steps):
            walk = (1 - restart) * (walk @ transition)
            walk.data[walk.data < least] = 0
            walk.eliminate_zeros()
            total = total + restart * walk
        total = sp.csr_array(total)
        total[np.arange(size), here] = 0
        total.eliminate_zeros()
        parts.append(keep_largest(total, keep))
    return sp.csr_array(sp.vstack(parts, format="csr"))


def keep_largest(matrix: sp.csr_array, keep: int) -> sp.csr_array:
    """The `keep` largest entries of each row."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))
    rank = np.arange(len(row)) - matrix.indptr[row]
    chosen = order[rank < keep]
    kept = sp.csr_array((matrix.data[chosen], (row[chosen], matrix.indices[chosen])), shape=matrix.shape)
    kept.sort_indices()
    return kept


def target_share(copurchase: sp.csr_array, weights: sp.csr_array) -> FloatArray:
    """How much of a product's place in the graph it owes to being a target: (1 + in-degree) / (1 + degree), [n].

    A product that others are seldom bought before is seldom a target again; nearness alone, which has no direction,
    does not know that.
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
    """How near each product is to every node, or to some, as a target: nearness times its `target_share`.

    Args:
        copurchase, coview, coview_weight: as `walk_matrix` has them.
        restart, steps, least, keep, nodes: as `personalised_pagerank` has them.

    Returns:
        float32 [r, n].
    """
    weights = walk_matrix(copurchase, coview, coview_weight)
    nearness = personalised_pagerank(weights, restart, steps, least, keep, nodes=nodes)
    return sp.csr_array(nearness @ sp.diags_array(target_share(copurchase, weights)))


def factorise(
    proximity: sp.csr_array, dimension: int, least: float, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Vectors whose dot product reproduces log(1 + proximity / least).

    Args:
        proximity: float32 [n, n].
        dimension: length of the vectors.
        least: proximity at which the logarithm starts to rise.
        seed: of the randomised singular value decomposition.

    Returns:
        Source and target factors, float32 [n, dimension] each; columns that the rank does not fill are zero.
    """
    logarithm = proximity.copy()
    logarithm.data = np.log1p(logarithm.data / least)
    rank = min(dimension, *proximity.shape)
    left, values, right = randomized_svd(logarithm, rank, n_iter=6, random_state=seed)
    root = np.sqrt(values)
    source = np.zeros((proximity.shape[0], dimension), np.float32)
    target = np.zeros((proximity.shape[0], dimension), np.float32)
    source[:, :rank] = left * root
    target[:, :rank] = right.T * root
    return source, target
