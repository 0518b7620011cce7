"""EASE: a linear model of products by products, in closed form (Steck, WWW 2019)."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import torch

from pipelines.baselines.problem import RankingProblem, UnsuitedError
from twinvec.metrics.scores import SparseTimesDense

# Ridge penalty λ of the weights.
PENALTY = 100.0
# Largest number of products: the weights of so many take 1.6 GB.
MOST = 20_000


def ease(problem: RankingProblem) -> SparseTimesDense:
    """Score pairs by X B, where B reproduces the rows of X = A + Aᵀ + I from each other.

    A is the adjacency matrix of the co-purchases. B minimises |X − X B|² + λ |B|² with a diagonal of zeros. With
    P = (XᵀX + λ I)⁻¹ it is B_ij = −P_ij / P_jj (equation 8 of the paper). Memory is that of one float32 matrix
    [n, n] beside the inversion's own; the time grows with n³.

    Raises:
        UnsuitedError: If there are more than 20,000 products.
    """
    products = problem.graph.products
    if products > MOST:
        raise UnsuitedError(
            f"EASE weighs every product by every other, and {products:,} products are more than the {MOST:,} that "
            "fit into memory",
            "leave the row `ease` out, or take a smaller catalogue",
        )
    edges = problem.copurchases()
    rows = sp.csr_array(edges + edges.T + sp.eye_array(products, dtype=np.float32, format="csr"))
    weights = sp.csr_array(rows.T @ rows).toarray()
    weights.flat[:: products + 1] += PENALTY
    weights = scipy.linalg.inv(weights, overwrite_a=True, check_finite=False, assume_a="pos")
    np.divide(weights, -weights.diagonal(), out=weights)
    np.fill_diagonal(weights, 0)
    return SparseTimesDense(rows.astype(np.float32), torch.from_numpy(np.ascontiguousarray(weights)))
