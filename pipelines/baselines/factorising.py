"""Baselines by matrix factorisation of the co-purchases: one vector as source and one as target."""

from __future__ import annotations

import numpy as np
import scipy.sparse.linalg
import torch

from pipelines.baselines.problem import RankingProblem
from twinvec.metrics.scores import DotProducts


def directed_svd(problem: RankingProblem) -> DotProducts:
    """Truncated SVD of the directed adjacency matrix, the root of the singular values on each side."""
    matrix = problem.copurchases()
    rank = min(problem.dimension, problem.graph.products - 1)
    start = np.random.default_rng(problem.seed).standard_normal(problem.graph.products)
    left, values, right = scipy.sparse.linalg.svds(matrix, k=rank, v0=start)
    root = np.sqrt(values)
    source, target = (left * root).astype(np.float32), (right.T * root).astype(np.float32)
    return DotProducts(torch.from_numpy(source), torch.from_numpy(target))


def alternating_least_squares(problem: RankingProblem) -> DotProducts:
    """Implicit-feedback ALS (Hu, Koren & Volinsky, ICDM 2008): sources as users, targets as items."""
    from implicit.cpu.als import AlternatingLeastSquares  # an optional dependency

    model = AlternatingLeastSquares(
        factors=problem.dimension,
        regularization=1.0,
        alpha=10.0,
        iterations=20,
        num_threads=1,
        random_state=problem.seed,
    )
    model.fit(scipy.sparse.csr_matrix(problem.copurchase_counts()), show_progress=False)
    return DotProducts(torch.from_numpy(model.user_factors), torch.from_numpy(model.item_factors))
