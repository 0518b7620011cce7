"""Batches of rows, and ids by number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from twinvec.draws import Ints

# Rows made at once.
BATCH = 20_000


def batches(total: int, length: int = BATCH) -> Iterator[Ints]:
    """Yield 0, …, total − 1 in arrays of at most `length`."""
    for first in range(0, total, length):
        yield np.arange(first, min(first + length, total))


def numbered(letter: str, number: Ints) -> NDArray[np.bytes_]:
    """Return names such as `O000000042`: the letter and nine digits."""
    digits = (number[:, None] // 10 ** np.arange(8, -1, -1)) % 10 + ord("0")
    named = np.column_stack([np.full(len(number), ord(letter)), digits]).astype(np.uint8)
    return np.ascontiguousarray(named).view("S10")[:, 0]
