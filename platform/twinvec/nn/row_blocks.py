"""Sparse matrices of more rows than memory should hold, made and kept block by block."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

# Rows of a block. A hundred entries each take 100 MiB.
ROWS = 2**17


def in_row_blocks(
    make: Callable[[int, int], sp.csr_array], rows: int, block: int | None = None
) -> sp.csr_array:
    """Return a matrix of which only a block of rows need be in memory.

    Of more than one block, the entries lie in files without a name, in the folder for temporary files (`TMPDIR`). They
    are mapped into memory, which the system takes back when it is short, and are gone with the matrix.

    Args:
        make: Returns the rows from a first one up to a last one, float32 [last − first, n].
        rows: Number of rows in all, at least one.
        block: Rows made at once; `ROWS` if not given.

    Returns:
        float32 [rows, n].

    Example:
        >>> import scipy.sparse as sp
        >>> whole = sp.csr_array([[0, 1], [2, 3], [4, 0]], dtype="float32")
        >>> in_row_blocks(lambda first, last: whole[first:last], rows=3, block=2).toarray().tolist()
        [[0.0, 1.0], [2.0, 3.0], [4.0, 0.0]]
    """
    block = block or ROWS
    if rows <= block:
        return make(0, rows)
    counts: list[npt.NDArray[np.int64]] = []
    with tempfile.TemporaryFile() as data, tempfile.TemporaryFile() as indices:
        for first in range(0, rows, block):
            part = make(first, min(first + block, rows))
            part.sort_indices()
            part.data.astype(np.float32, copy=False).tofile(data)
            part.indices.astype(np.int32, copy=False).tofile(indices)
            counts.append(np.diff(part.indptr).astype(np.int64))
            columns = part.shape[1]
        ends = np.concatenate([[0], *counts]).cumsum()
        # SciPy would copy 32-bit columns to have them as wide as the ends of rows.
        narrow = ends.astype(np.int32) if ends[-1] < 2**31 else ends
        return sp.csr_array(
            (_mapped(data, np.float32), _mapped(indices, np.int32), narrow), shape=(rows, columns)
        )


def _mapped(file: Any, dtype: type) -> npt.NDArray[Any]:
    file.flush()
    # A file of no bytes cannot be mapped.
    return np.memmap(file, dtype, "r+") if file.tell() else np.zeros(0, dtype)
