"""A disk without room is an error, not the end of the process."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.encoding.disk_matrix import disk_matrix
from twinvec.vectors.shards import explained

FULL = """
import sys
from pathlib import Path
from pipelines.encoding.disk_matrix import disk_matrix
try:
    disk_matrix(Path(sys.argv[1]), 1000, 1000)[:] = 1
except OSError as error:
    print(error.errno, error.filename)
"""


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=1m none "{tmp_path}"'
    root = Path(__file__).parents[3]
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False).returncode
    ):
        pytest.skip("no right to mount a small disk")
    command = f'{mount} && "{sys.executable}" -c "$0" "{tmp_path}"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, FULL], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(errno.ENOSPC), str(tmp_path)]


def test_a_matrix_on_disk_is_a_matrix_and_leaves_no_file(tmp_path: Path) -> None:
    matrix = disk_matrix(tmp_path, 5, 3)
    assert matrix.dtype == np.float32
    values = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    matrix[:4] = values
    np.testing.assert_array_equal(matrix[:4], values)
    np.testing.assert_array_equal(matrix[4], 0)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_damaged_collection() -> None:
    with pytest.raises(Exception, match="free space") as raised, explained("open it", "drop it"):
        raise RuntimeError("No space left on device (os error 28)")
    assert "drop it" not in str(raised.value)
