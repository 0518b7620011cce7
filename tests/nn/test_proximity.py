"""Directed proximity, EASE's part of it, and the factors against the matrix they factorise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp

from twinvec.nn import row_blocks
from twinvec.nn.ease import PENALTY, ease_nearness
from twinvec.nn.losses import Positives, blend, rows_to_one
from twinvec.nn.pagerank import personalised_pagerank, walk_matrix
from twinvec.nn.proximity import directed_nearness, proximity, target_share


def test_target_share_by_hand() -> None:
    # 0 → 1, 2 → 1, 1 → 3; node 4 alone. In-degrees 0, 2, 0, 1, 0; degrees 1, 3, 1, 1, 0.
    copurchase = sp.csr_array((np.ones(3, np.float32), ([0, 2, 1], [1, 1, 3])), shape=(5, 5))
    coview: Any = sp.csr_array((5, 5), dtype=np.float32)
    weights = walk_matrix(copurchase, coview, 0.5)
    np.testing.assert_allclose(target_share(copurchase, weights), [1 / 2, 3 / 4, 1 / 2, 2 / 2, 1 / 1])


def dense_ease(edges: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Scores of EASE by one ridge regression a product, squared, without negative ones and a product itself."""
    rows = (edges + edges.T + np.eye(len(edges))).astype(np.float64)
    weights = np.zeros_like(rows)
    for product in range(len(rows)):
        others = np.delete(np.arange(len(rows)), product)
        known = rows[:, others]
        ridge = known.T @ known + PENALTY * np.eye(len(others))
        weights[others, product] = np.linalg.solve(ridge, known.T @ rows[:, product])
    scores = np.maximum(rows @ weights, 0)
    np.fill_diagonal(scores, 0)
    return np.square(scores)


def random_edges(products: int, seed: int) -> npt.NDArray[np.float32]:
    edges = (np.random.default_rng(seed).random((products, products)) < 0.15).astype(np.float32)
    np.fill_diagonal(edges, 0)
    return edges


@pytest.mark.parametrize("chunk", [3, 100])
def test_ease_nearness_is_ridge_regression(chunk: int) -> None:
    edges = random_edges(31, seed=9)
    found = ease_nearness(sp.csr_array(edges), keep=31, chunk=chunk)
    np.testing.assert_allclose(found.toarray(), dense_ease(edges), atol=1e-7)
    some = np.array([4, 30, 7])
    nearest = ease_nearness(sp.csr_array(edges), keep=5, nodes=some, chunk=chunk).toarray()
    assert (np.count_nonzero(nearest, axis=1) == 5).all()
    np.testing.assert_allclose(nearest.max(1), dense_ease(edges)[some].max(1), atol=1e-7)


def test_ease_takes_its_share_of_each_row() -> None:
    edges = random_edges(23, seed=10)
    copurchase: Any = sp.csr_array(edges)
    coview: Any = sp.csr_array((23, 23), dtype=np.float32)
    walks: dict[str, Any] = {"coview_weight": 1.0, "restart": 0.3, "steps": 6, "least": 1e-6, "keep": 23}
    plain = directed_nearness(copurchase, coview, **walks)(np.arange(23)).toarray()
    mixed = directed_nearness(copurchase, coview, **walks, ease=0.4)(np.arange(23)).toarray()
    linear = dense_ease(edges) * target_share(copurchase, walk_matrix(copurchase, coview, 1.0))
    linear *= plain.sum(1, keepdims=True) / linear.sum(1, keepdims=True)
    np.testing.assert_allclose(mixed, 0.6 * plain + 0.4 * linear, rtol=1e-4, atol=1e-7)


def test_proximity_is_the_directed_pagerank_and_its_factors() -> None:
    copurchase: Any = sp.csr_array(random_edges(23, seed=11))
    coview: Any = sp.csr_array(random_edges(23, seed=12))
    walks: dict[str, Any] = {"coview_weight": 0.3, "restart": 0.2, "steps": 8, "least": 1e-4, "keep": 23}
    found = proximity(copurchase, coview, dimension=32, **walks, ease=0.0, seed=1)
    weights = walk_matrix(copurchase, coview, 0.3)
    nearness = personalised_pagerank(weights, 0.2, 8, 1e-4, 23).toarray()
    directed = nearness * target_share(copurchase, weights)
    np.testing.assert_allclose(found.matrix.toarray(), directed, atol=1e-6)
    source, target = found.factors[:23].numpy(), found.factors[23:].numpy()
    assert found.factors.shape == (46, 32)
    np.testing.assert_allclose(source @ target.T, np.log1p(directed / 1e-4), atol=1e-3)


def test_blocks_of_rows_give_the_same_nearness(monkeypatch: pytest.MonkeyPatch) -> None:
    copurchase: Any = sp.csr_array(random_edges(23, seed=13))
    coview: Any = sp.csr_array(random_edges(23, seed=14))
    walks: dict[str, Any] = {"coview_weight": 0.3, "restart": 0.2, "steps": 8, "least": 1e-4, "keep": 23}
    whole = proximity(copurchase, coview, dimension=23, **walks, ease=0.0, seed=1)
    monkeypatch.setattr(row_blocks, "ROWS", 10)
    parts = proximity(copurchase, coview, dimension=23, **walks, ease=0.0, seed=1)
    np.testing.assert_allclose(parts.matrix.toarray(), whole.matrix.toarray(), rtol=1e-5)
    found, wanted = (each.factors[:23] @ each.factors[23:].T for each in (parts, whole))
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    positives = blend(Positives(rows_to_one(copurchase)), parts.matrix, share=0.4)
    both = 0.6 * rows_to_one(copurchase).toarray() + 0.4 * rows_to_one(whole.matrix).toarray()
    np.testing.assert_allclose(positives.matrix.toarray(), both / both.sum(1, keepdims=True), atol=1e-6)
