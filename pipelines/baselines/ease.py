"""EASE (Steck, WWW 2019) as a baseline."""

from __future__ import annotations

import torch

from pipelines.baselines.problem import RankingProblem, UnsuitedError
from twinvec.metrics.scores import SparseTimesDense
from twinvec.nn.ease import MOST_PRODUCTS, ease_rows, ease_weights


def ease(problem: RankingProblem) -> SparseTimesDense:
    """Score pairs by X B, where B reproduces the rows of X = A + Aᵀ + I from each other; see `twinvec.nn.ease`.

    Raises:
        UnsuitedError: If there are more than 20,000 products.
    """
    products = problem.graph.products
    if products > MOST_PRODUCTS:
        raise UnsuitedError(
            f"EASE weighs every product by every other, and {products:,} products are more than the "
            f"{MOST_PRODUCTS:,} that fit into memory",
            "leave the row `ease` out, or take a smaller catalogue",
        )
    rows = ease_rows(problem.copurchases())
    return SparseTimesDense(rows, torch.from_numpy(ease_weights(rows)))
