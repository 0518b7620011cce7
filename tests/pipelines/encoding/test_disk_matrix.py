from pathlib import Path

import numpy as np

from pipelines.encoding.disk_matrix import disk_matrix


def test_a_matrix_on_disk_is_a_matrix_and_leaves_no_file(tmp_path: Path) -> None:
    matrix = disk_matrix(tmp_path, 5, 3)
    assert matrix.dtype == np.float32
    values = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    matrix[:4] = values
    np.testing.assert_array_equal(matrix[:4], values)
    np.testing.assert_array_equal(matrix[4], 0)
    assert not list(tmp_path.iterdir())
