"""Matrices made in blocks of rows, in memory and in files."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from twinvec.nn.row_blocks import in_row_blocks


@pytest.mark.parametrize("block", [1, 7, 30, 100])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_blocks_are_the_whole(block: int, share: float) -> None:
    whole = sp.random_array((30, 12), density=share, rng=np.random.default_rng(1), dtype=np.float32).tocsr()
    found = in_row_blocks(lambda first, last: whole[first:last], 30, block)
    np.testing.assert_array_equal(found.toarray(), whole.toarray())
    assert found.shape == whole.shape
    assert found.dtype == np.float32
    assert found.indices.dtype == np.int32


def test_columns_of_a_row_are_sorted() -> None:
    row = sp.csr_array((np.array([1, 2, 3], np.float32), np.array([4, 0, 2]), np.array([0, 3])), shape=(1, 5))
    found = in_row_blocks(lambda first, last: row.copy(), rows=2, block=1)
    np.testing.assert_array_equal(found.indices, [0, 2, 4, 0, 2, 4])
    np.testing.assert_array_equal(found.toarray(), [[2, 0, 3, 0, 1]] * 2)
