"""Hashes of nodes as vectors, which nothing trains: they tell nodes apart in no memory (WAML 2.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from twinvec import draws

IntArray = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


def hash_ids(ids: pa.StringArray) -> IntArray:
    """A number of 64 bits for each id, int64 [n]; the same on every machine."""
    values: npt.NDArray[np.object_] = ids.to_numpy(zero_copy_only=False)
    return np.asarray(pd.util.hash_array(values)).view(np.int64)


def hash_vectors(stream: str, keys: IntArray, dimension: int, seed: int) -> Floats:
    """HASH: a vector of random signs and length one for each key (WAML 2.2).

    Two different keys are nearly at right angles: their dot product is some 1/√d. The paper hashes an id into one of
    the d coordinates, where any two of its nodes are the same with probability 1/d; signs in all of them do not
    collide.

    Args:
        stream: what is hashed: equal keys of different streams have different vectors.
        keys: int64 [n].
        dimension: d, a multiple of 8.
        seed: of the signs.

    Returns:
        float32 [n, d].
    """
    words = draws.bits(seed, stream, keys[:, None], np.arange(-(-dimension // 64)))
    signs = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1)[:, :dimension]
    return (signs.astype(np.float32) * 2 - 1) / np.float32(np.sqrt(dimension))
