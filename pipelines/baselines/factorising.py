"""Baselines that factorise the matrix of co-purchases into a vector as source and one as target."""

from __future__ import annotations

import numpy as np
import scipy.sparse.linalg
import torch

from pipelines.baselines.problem import Given
from twinvec.metrics.scores import DotProducts


def directed_svd(given: Given) -> DotProducts:
    """Truncated singular value decomposition of the directed adjacency, the root of its values on each side."""
    matrix = given.copurchases()
    rank = min(given.dimension, given.graph.products - 1)
    start = np.random.default_rng(given.seed).standard_normal(given.graph.products)
    left, values, right = scipy.sparse.linalg.svds(matrix, k=rank, v0=start)
    root = np.sqrt(values)
    source, target = (left * root).astype(np.float32), (right.T * root).astype(np.float32)
    return DotProducts(torch.from_numpy(source), torch.from_numpy(target))


def alternating_least_squares(given: Given) -> DotProducts:
    """Implicit-feedback ALS (Hu, Koren & Volinsky, ICDM 2008): sources in the place of users, targets of items."""
    from implicit.cpu.als import AlternatingLeastSquares  # an optional dependency

    model = AlternatingLeastSquares(
        factors=given.dimension,
        regularization=1.0,
        alpha=10.0,
        iterations=20,
        num_threads=1,
        random_state=given.seed,
    )
    model.fit(scipy.sparse.csr_matrix(given.copurchase_counts()), show_progress=False)
    return DotProducts(torch.from_numpy(model.user_factors), torch.from_numpy(model.item_factors))
