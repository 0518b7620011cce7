"""Factors of a sparse matrix against the dense singular value decomposition, whole and in blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp

from twinvec.nn.factorisation import factorise, factors_in_blocks

WAYS: Mapping[str, Callable[..., npt.NDArray[np.float32]]] = {
    "whole": factorise,
    "in blocks": partial(factors_in_blocks, entries=50),
}


def product(factors: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
    result: npt.NDArray[np.float32] = factors[:rows] @ factors[rows:].T
    return result


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("columns", "dimension"), [(19, 19), (19, 24), (12, 15)])
def test_factors_of_full_rank_reproduce_the_logarithm(way: str, columns: int, dimension: int) -> None:
    random = np.random.default_rng(6)
    dense = np.where(random.random((19, columns)) < 0.5, random.random((19, columns)), 0).astype(np.float32)
    rank = int(np.linalg.matrix_rank(dense))
    assert rank == columns
    factors = WAYS[way](sp.csr_array(dense), dimension, least=0.01, seed=1)
    assert factors.shape == (19 + columns, dimension)
    np.testing.assert_allclose(product(factors, 19), np.log1p(dense / 0.01), atol=1e-4)
    np.testing.assert_allclose(factors[:, rank:], 0, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_fewer_factors_are_the_best_of_their_rank(way: str) -> None:
    random = np.random.default_rng(7)
    low = random.random((40, 3)) @ random.random((3, 40))
    dense = (low + 0.05 * random.random((40, 40))).astype(np.float32)
    logarithm = np.log1p(dense / 0.1)
    factors = WAYS[way](sp.csr_array(dense), 5, least=0.1, seed=2)
    values = np.linalg.svd(logarithm, compute_uv=False)
    best = np.sqrt((values[5:] ** 2).sum())
    assert np.linalg.norm(product(factors, 40) - logarithm) == pytest.approx(best, rel=0.02)
    lengths = np.linalg.norm(factors[:40], axis=0), np.linalg.norm(factors[40:], axis=0)
    np.testing.assert_allclose(lengths, [np.sqrt(values[:5])] * 2, rtol=0.05)
    again = WAYS[way](sp.csr_array(dense), 5, least=0.1, seed=2)
    np.testing.assert_array_equal(factors, again)


@pytest.mark.parametrize("way", WAYS)
def test_factors_leave_the_matrix_as_it_was(way: str) -> None:
    matrix = sp.csr_array(np.random.default_rng(8).random((15, 15)).astype(np.float32))
    before = matrix.copy()
    WAYS[way](matrix, 4, 0.1, 0)
    np.testing.assert_array_equal(matrix.toarray(), before.toarray())


def test_popular_columns_are_a_block_of_their_own() -> None:
    dense = np.zeros((300, 40), np.float32)
    dense[:, :2] = 1
    dense[np.arange(300), 2 + np.arange(300) % 38] = 0.5
    factors = factors_in_blocks(sp.csr_array(dense), 40, least=0.1, seed=3, entries=100)
    np.testing.assert_allclose(product(factors, 300), np.log1p(dense / 0.1), atol=1e-4)
