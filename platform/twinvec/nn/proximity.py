"""Directed proximity of products in the graph, and its factorisation.

The approach is STRAP's (Yin & Wei, KDD 2019): approximate personalised PageRank of every node, whose logarithm is
factorised into a source vector and a target vector of each node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from twinvec.nn.ease import ease_nearness
from twinvec.nn.factorisation import factorise
from twinvec.nn.losses.positives import rows_to_one
from twinvec.nn.pagerank import Transition, pagerank_of, walk_matrix
from twinvec.nn.row_blocks import in_row_blocks

FloatArray = npt.NDArray[np.float32]


def target_share(copurchase: sp.csr_array, weights: sp.csr_array) -> FloatArray:
    """Return how much each product is a target: (1 + in-degree) / (1 + degree), float32 [n].

    A product that has seldom been a target is seldom a target again. Nearness alone has no direction.
    """
    into = np.asarray(copurchase.sum(0)).ravel()
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
    ease: float = 0.0,
) -> Callable[[npt.NDArray[np.int64]], sp.csr_array]:
    """Return the function that gives the nearness of each product as a target to some nodes.

    It is PageRank times `target_share`. A share of it can be EASE: on a graph of many edges a product, PageRank is
    close to popularity, and EASE tells apart what is bought with just this product.

    Args:
        copurchase, coview, coview_weight: As in `walk_matrix`.
        restart, steps, least, keep: As in `personalised_pagerank`.
        ease: Share of `ease_nearness`, from 0 to 1; its rows are scaled to those of PageRank.

    Returns:
        A function of nodes, int64 [r], that returns float32 [r, n].
    """
    weights = walk_matrix(copurchase, coview, coview_weight)
    transition = Transition(rows_to_one(weights))
    share = sp.diags_array(target_share(copurchase, weights))
    del weights

    def rows(nodes: npt.NDArray[np.int64]) -> sp.csr_array:
        nearness = sp.csr_array(pagerank_of(transition, nodes, restart, steps, least, keep) @ share)
        if not ease:
            return nearness
        linear = rows_to_one(sp.csr_array(ease_nearness(copurchase, keep, nodes) @ share))
        return sp.csr_array((1 - ease) * nearness + sp.diags_array(ease * nearness.sum(1)) @ linear)

    return rows


@dataclass(frozen=True)
class Proximity:
    """Directed proximity of products in the graph.

    Attributes:
        matrix: `directed_nearness` of all products, float32 [n, n].
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
    ease: float,
    seed: int,
) -> Proximity:
    """Return the directed nearness of all products and its factors.

    Args:
        copurchase, coview, coview_weight: As in `walk_matrix`.
        dimension: Length of the factors.
        restart, steps, least, keep: As in `personalised_pagerank`.
        ease: As in `directed_nearness`.
        seed: Seed of the factorisation.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> copurchase = sp.csr_array(np.array([[0, 1, 1], [0, 0, 0], [0, 1, 0]], np.float32))
        >>> coview = sp.csr_array((3, 3), dtype=np.float32)
        >>> walks = {"coview_weight": 1.0, "restart": 0.15, "steps": 10, "least": 1e-4, "keep": 50}
        >>> near = proximity(copurchase, coview, dimension=8, **walks, ease=0.0, seed=0)
        >>> near.matrix.shape, near.factors.shape
        ((3, 3), torch.Size([6, 8]))
    """
    rows = directed_nearness(copurchase, coview, coview_weight, restart, steps, least, keep, ease)
    matrix = in_row_blocks(lambda first, last: rows(np.arange(first, last)), copurchase.shape[0])
    return Proximity(matrix, torch.from_numpy(factorise(matrix, dimension, least, seed)))
