"""Baselines that count: popularity, pairs bought together, and neighbours in common."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from pipelines.baselines.problem import Given
from twinvec.metrics.scores import DotProducts, SparseScores

# An edge against its own direction outweighs any number of neighbours in common.
RECIPROCAL = 1e3


def popularity(given: Given) -> DotProducts:
    """Every product by how often it is bought after another, whatever the source."""
    bought = np.asarray(given.copurchase_counts().sum(0), np.float32).ravel()
    return DotProducts(torch.ones(len(bought), 1), torch.from_numpy(bought)[:, None])


def projection(given: Given) -> SparseScores:
    """The share of u's co-purchases that are of v: the orders projected on pairs, with their direction.

    The model of arXiv 2506.09209. It knows the pairs it has seen and no others; among held-out edges, those whose
    pair it saw in the other order are told by that order, at half the share.
    """
    seen = given.copurchase_counts()
    share = _rows_to_one(seen)
    return SparseScores(sp.csr_array(share + 0.5 * _rows_to_one(sp.csr_array(seen.T))))


def association(given: Given) -> SparseScores:
    """NPMI of two products in co-purchases of either order, plus one, so that unseen pairs come last.

    NPMI(u, v) = log(p(u, v) / p(u) p(v)) / −log p(u, v), as MERLIN has it for categories (3.2).
    """
    directed = given.copurchase_counts()
    both = sp.csr_array(directed + directed.T).tocoo()
    total = float(both.data.sum())
    single = np.asarray(both.sum(1)).ravel() / total
    first, second = both.coords
    together = both.data / total
    # A pair that is all there is has −log 1 = 0 below the line, and is as associated as can be.
    surprise = np.maximum(-np.log(together), 1e-12)
    npmi = np.clip(np.log(together / (single[first] * single[second])) / surprise, -1, 1)
    values = (npmi + 1 + 1e-6).astype(np.float32)
    return SparseScores(sp.csr_array((values, (first, second)), shape=both.shape))


def reciprocal_adamic_adar(given: Given) -> SparseScores:
    """The edge in the other direction first, then neighbours in common, which count the more the fewer they have."""
    directed = given.copurchases()
    either = sp.csr_array(((directed + directed.T) > 0).astype(np.float32))
    degree = np.asarray(either.sum(1)).ravel()
    weight = np.where(degree > 1, 1 / np.log(np.maximum(degree, 2)), 0).astype(np.float32)
    common = either @ sp.diags_array(weight) @ either
    return SparseScores(sp.csr_array(common + RECIPROCAL * directed.T).astype(np.float32))


def _rows_to_one(matrix: sp.csr_array) -> sp.csr_array:
    total = np.asarray(matrix.sum(1)).ravel()
    return sp.csr_array(sp.diags_array(1 / np.where(total > 0, total, 1)) @ matrix).astype(np.float32)
