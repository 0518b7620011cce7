"""Counter-based random numbers: a draw is a hash of (seed, stream, keys), so no generator state is kept.

The price of product 7 in a synthetic store, or the crop of an image in step 9 of a training, is the same number in any
batch and in any order. A store of any size can therefore be written in the memory of a batch, and a training that was
killed continues with the same draws.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF


def bits(seed: int, stream: str, *keys: Ints) -> NDArray[np.uint64]:
    """Hash keys to 64 uniform bits each (the finaliser of splitmix64, once a key).

    Args:
        seed: Seed of the store, or of the training.
        stream: Name of the purpose of the draw; different streams are independent.
        keys: Broadcastable integer arrays, at least one.
    """
    start = (zlib.crc32(stream.encode()) * _GOLDEN + seed) & _MASK
    state = np.asarray(start, dtype=np.uint64)
    for key in keys:
        state = _mix(state ^ _mix(np.atleast_1d(key).astype(np.uint64) + np.uint64(_GOLDEN)))
    return state


def uniform(seed: int, stream: str, *keys: Ints) -> Doubles:
    """Draw from [0, 1); see `bits`."""
    return (bits(seed, stream, *keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(seed: int, stream: str, high: int, *keys: Ints) -> Ints:
    """Draw from 0, …, high − 1; see `bits`."""
    return (uniform(seed, stream, *keys) * high).astype(np.int64)


def normal(seed: int, stream: str, *keys: Ints) -> Doubles:
    """Draw from nearly a standard normal (the sum of three uniforms, so within ±3); see `bits`."""
    parts = [uniform(seed, f"{stream}/{part}", *keys) for part in range(3)]
    return 2.0 * (parts[0] + parts[1] + parts[2] - 1.5)


def zipf(share: Doubles, count: Ints, exponent: float) -> Ints:
    """Return the rank 0, …, count − 1 at quantile `share` of a law that falls as rank^−exponent, 0 ≤ exponent < 1."""
    rank = (count * share ** (1.0 / (1.0 - exponent))).astype(np.int64)
    return np.minimum(rank, count - 1)


def zipf_probability(rank: Ints, count: Ints, exponent: float) -> Doubles:
    """Return the probability with which `zipf` returns `rank` for a uniform `share`."""
    power = 1.0 - exponent
    return np.asarray(((rank + 1) / count) ** power - (rank / count) ** power, dtype=np.float64)


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)), dtype=np.uint64)
