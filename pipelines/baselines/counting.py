"""Baselines by counting: popularity, pairs bought together, common neighbours."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from pipelines.baselines.problem import RankingProblem
from twinvec.metrics.scores import DotProducts, SparseScores

# An edge in the other direction outweighs any number of common neighbours.
RECIPROCAL = 1e3


def popularity(problem: RankingProblem) -> DotProducts:
    """Score every product by how often it is bought after another, whatever the source."""
    bought = np.asarray(problem.copurchase_counts().sum(0), np.float32).ravel()
    return DotProducts(torch.ones(len(bought), 1), torch.from_numpy(bought)[:, None])


def projection(problem: RankingProblem) -> SparseScores:
    """Score v by its share of u's co-purchases: orders projected on pairs, with their direction (arXiv 2506.09209).

    Pairs without a training edge score zero. A pair that was seen in the other direction scores half its share
    there.
    """
    seen = problem.copurchase_counts()
    share = _rows_to_one(seen)
    return SparseScores(sp.csr_array(share + 0.5 * _rows_to_one(sp.csr_array(seen.T))))


def association(problem: RankingProblem) -> SparseScores:
    """Score pairs by NPMI of co-purchases in either direction, plus one, so that unseen pairs come last.

    NPMI(u, v) = log(p(u, v) / p(u) p(v)) / −log p(u, v), as in MERLIN for categories (3.2).
    """
    directed = problem.copurchase_counts()
    both = sp.csr_array(directed + directed.T).tocoo()
    total = float(both.data.sum())
    single = np.asarray(both.sum(1)).ravel() / total
    first, second = both.coords
    joint = both.data / total
    # For a pair that is all there is, the denominator −log 1 is 0, and the association is the largest.
    surprise = np.maximum(-np.log(joint), 1e-12)
    npmi = np.clip(np.log(joint / (single[first] * single[second])) / surprise, -1, 1)
    values = (npmi + 1 + 1e-6).astype(np.float32)
    return SparseScores(sp.csr_array((values, (first, second)), shape=both.shape))


def reciprocal_adamic_adar(problem: RankingProblem) -> SparseScores:
    """Score the edge in the other direction first, then common neighbours, weighted by 1 / log(degree)."""
    directed = problem.copurchases()
    either = sp.csr_array(((directed + directed.T) > 0).astype(np.float32))
    degree = np.asarray(either.sum(1)).ravel()
    weight = np.where(degree > 1, 1 / np.log(np.maximum(degree, 2)), 0).astype(np.float32)
    common = either @ sp.diags_array(weight) @ either
    return SparseScores(sp.csr_array(common + RECIPROCAL * directed.T).astype(np.float32))


def _rows_to_one(matrix: sp.csr_array) -> sp.csr_array:
    total = np.asarray(matrix.sum(1)).ravel()
    return sp.csr_array(sp.diags_array(1 / np.where(total > 0, total, 1)) @ matrix).astype(np.float32)
