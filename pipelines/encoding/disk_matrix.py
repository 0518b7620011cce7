"""A matrix in a file, for vectors that are made batch by batch and may not fit in memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt


def disk_matrix(folder: Path, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Return a float32 matrix [rows, columns] of zeros in an unnamed file, which is deleted with the matrix.

    Raises:
        OSError: If the disk has no room for it.
    """
    with tempfile.TemporaryFile(dir=folder) as file:  # The mapping outlives the file's name and handle.
        if size := 4 * rows * columns:
            # Room is taken now: a disk that is full when a page is written would kill the process (SIGBUS).
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(folder)) from error
        return np.memmap(file, np.float32, "w+", shape=(rows, columns))
