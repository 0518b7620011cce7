"""EASE: a linear model of products by products, in closed form (Steck, WWW 2019)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp

from twinvec.nn.pagerank import keep_largest

FloatArray = npt.NDArray[np.float32]
# Ridge penalty λ of the weights.
PENALTY = 100.0
# Largest number of products: the weights of so many take 1.6 GB.
MOST_PRODUCTS = 20_000
# Power of the scores as nearness. As they are, they are flatter than PageRank: the nearest products count too little.
SHARPNESS = 2


def ease_rows(copurchase: sp.csr_array) -> sp.csr_array:
    """Return the rows that EASE reproduces, X = A + Aᵀ + I, float32 [n, n].

    Args:
        copurchase: Adjacency matrix of the co-purchases A, float32 [n, n].
    """
    own = sp.eye_array(copurchase.shape[0], dtype=np.float32, format="csr")
    return sp.csr_array(copurchase + copurchase.T + own).astype(np.float32)


def ease_weights(rows: sp.csr_array) -> FloatArray:
    """Return the weights B that reproduce the rows of X from each other, float32 [n, n].

    B minimises |X − X B|² + λ |B|² with a diagonal of zeros. With P = (XᵀX + λ I)⁻¹ it is B_ij = −P_ij / P_jj
    (equation 8 of the paper). Memory is that of one float32 matrix [n, n] beside the inversion's own; the time grows
    with n³.

    Args:
        rows: X, float32 [n, n].

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> rows = ease_rows(sp.csr_array(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]], np.float32)))
        >>> np.round(ease_weights(rows) * 1000).tolist()
        [[0.0, 20.0, 0.0], [20.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    weights: FloatArray = sp.csr_array(rows.T @ rows).toarray()
    weights.flat[:: len(weights) + 1] += PENALTY
    weights = scipy.linalg.inv(weights, overwrite_a=True, check_finite=False, assume_a="pos")
    np.divide(weights, -weights.diagonal(), out=weights)
    np.fill_diagonal(weights, 0)
    return weights


def ease_nearness(
    copurchase: sp.csr_array, keep: int, nodes: npt.NDArray[np.int64] | None = None, chunk: int = 1024
) -> sp.csr_array:
    """Return the largest scores of EASE of every product, or of some, to the power of `SHARPNESS`.

    Args:
        copurchase: Adjacency matrix of the co-purchases, float32 [n, n], n at most `MOST_PRODUCTS`.
        keep: Maximum number of entries of a row.
        nodes: Products whose rows are returned, int64 [r]; all n if not given.
        chunk: Rows computed at once.

    Returns:
        float32 [r, n], without negative scores and without an entry for the product itself.

    Raises:
        ValueError: If there are more than `MOST_PRODUCTS`.
    """
    products = copurchase.shape[0]
    if products > MOST_PRODUCTS:
        raise ValueError(f"EASE weighs every product by every other, and {products:,} are too many")
    rows = ease_rows(copurchase)
    weights = ease_weights(rows)
    nodes = np.arange(products) if nodes is None else nodes

    def nearest(some: npt.NDArray[np.int64]) -> sp.csr_array:
        scores = np.maximum(rows[some] @ weights, 0)
        scores[np.arange(len(some)), some] = 0
        best = np.partition(scores, -keep, axis=1)[:, -keep, None] if keep < products else 0
        return keep_largest(sp.csr_array(np.where(scores >= best, scores, 0)), keep)

    parts = [nearest(some) for some in np.split(nodes, range(chunk, len(nodes), chunk))]
    return sp.csr_array(sp.vstack(parts, format="csr")).power(SHARPNESS)
