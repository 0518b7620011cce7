"""Vectors that are made batch by batch, in a file in place of memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt


def disk_matrix(folder: Path, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """A float32 matrix [rows, columns] of zeros in an unnamed file, which is gone when the matrix is."""
    with tempfile.TemporaryFile(dir=folder) as file:  # the mapping outlives the file's name and handle
        return np.memmap(file, np.float32, "w+", shape=(rows, columns))
