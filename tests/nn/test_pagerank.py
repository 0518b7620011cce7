"""Personalised PageRank against its closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from twinvec.nn.pagerank import PASSED_ON, keep_largest, personalised_pagerank, walk_matrix

Array = npt.NDArray[np.float64]


def random_weights(nodes: int, seed: int) -> sp.csr_array:
    """Weights of which some nodes have none."""
    random = np.random.default_rng(seed)
    dense = np.where(random.random((nodes, nodes)) < 0.12, random.random((nodes, nodes)), 0)
    dense = dense + dense.T
    dense[[2, nodes - 1]] = 0
    dense[:, [2, nodes - 1]] = 0
    np.fill_diagonal(dense, 0)
    return sp.csr_array(dense.astype(np.float32))


def walk(weights: sp.csr_array) -> Array:
    dense = weights.toarray().astype(np.float64)
    steps: Array = dense / np.maximum(dense.sum(1, keepdims=True), 1e-12)
    return steps


def off_diagonal(matrix: Array) -> Array:
    return matrix - np.diag(np.diag(matrix))


@pytest.mark.parametrize("restart", [0.15, 0.5])
@pytest.mark.parametrize("steps", [1, 4])
def test_pagerank_is_the_series(restart: float, steps: int) -> None:
    weights = random_weights(33, seed=1)
    step = walk(weights)
    series: Any = sum(
        restart * (1 - restart) ** k * np.linalg.matrix_power(step, k) for k in range(steps + 1)
    )
    found = personalised_pagerank(weights, restart, steps, least=0, keep=33)
    np.testing.assert_allclose(found.toarray(), off_diagonal(series), atol=1e-6)


def test_many_steps_are_the_closed_form() -> None:
    weights = random_weights(29, seed=2)
    exact: Any = 0.2 * np.linalg.inv(np.eye(29) - 0.8 * walk(weights))
    found = personalised_pagerank(weights, 0.2, steps=90, least=0, keep=29)
    np.testing.assert_allclose(found.toarray(), off_diagonal(exact), atol=1e-6)
    assert not found.diagonal().any()
    assert found[[2]].nnz == found[[28]].nnz == 0


def test_thresholds_only_remove() -> None:
    weights = random_weights(41, seed=3)
    exact = personalised_pagerank(weights, 0.15, 10, least=0, keep=41).toarray()
    for least, keep in ((0.02, 41), (0, 5), (0.03, 7)):
        found = personalised_pagerank(weights, 0.15, 10, least, keep)
        assert found.nnz < np.count_nonzero(exact)
        assert (found.toarray() <= exact + 1e-7).all()
        assert np.diff(found.indptr).max() <= keep
        assert found.has_sorted_indices
    # What is lost to a walk that is given up is little: at each step no more than `least` a node that it is at.
    close = personalised_pagerank(weights, 0.15, 10, least=1e-4, keep=41).toarray()
    assert np.abs(close - exact).sum(1).max() < 0.01


@pytest.mark.parametrize("chunk", [1, 7, 37, 1000])
def test_chunks_do_not_matter(chunk: int) -> None:
    weights = random_weights(37, seed=4)
    whole = personalised_pagerank(weights, 0.15, 5, 1e-3, 9)
    parts = personalised_pagerank(weights, 0.15, 5, 1e-3, 9, chunk=chunk)
    np.testing.assert_array_equal(parts.toarray(), whole.toarray())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_keep_largest(seed: int, keep: int) -> None:
    random = np.random.default_rng(seed)
    dense = np.where(random.random((8, 6)) < 0.6, random.permutation(48).reshape(8, 6) + 1.0, 0)
    found = keep_largest(sp.csr_array(dense), keep)
    expected = np.zeros_like(dense)
    for row in range(8):
        for column in sorted(range(6), key=lambda place: -dense[row, place])[:keep]:
            expected[row, column] = dense[row, column]
    np.testing.assert_array_equal(found.toarray(), expected)


def test_the_walk_goes_both_ways() -> None:
    copurchase = sp.csr_array(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32))
    coview = sp.csr_array(np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], np.float32))
    # 0–1 is a co-purchase both ways, which is still one, and a co-view; 1–2 is a co-view.
    np.testing.assert_allclose(
        walk_matrix(copurchase, coview, 0.25).toarray(), [[0, 1.25, 0], [1.25, 0, 0.25], [0, 0.25, 0]]
    )


def test_a_hub_passes_nothing_on_that_would_be_dropped() -> None:
    random = np.random.default_rng(5)
    dense = np.where(random.random((60, 60)) < 0.05, random.random((60, 60)), 0) + np.eye(60, k=1)
    dense[0, 1:] = 1
    step = walk(sp.csr_array((dense + dense.T).astype(np.float32)))
    restart, least = 0.3, 0.08
    held_back = 0
    expected = np.zeros((60, 60))
    for start in range(60):
        at = np.eye(60)[start]
        expected[start] += restart * at
        for _ in range(5):
            passes = at * (1 - restart) * step.max(1) >= PASSED_ON * least
            held_back += int((at[~passes] > 0).sum())
            at = (1 - restart) * np.where(passes, at, 0) @ step
            at[at < least] = 0
            expected[start] += restart * at
    assert held_back
    found = personalised_pagerank(sp.csr_array((dense + dense.T).astype(np.float32)), restart, 5, least, 60)
    np.testing.assert_allclose(found.toarray(), off_diagonal(expected), atol=1e-6)
