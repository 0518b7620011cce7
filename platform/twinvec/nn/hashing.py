"""Hash vectors: fixed vectors of random signs that tell nodes apart without a table (WAML 2.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twinvec import draws

IntArray = npt.NDArray[np.int64]


def hash_vectors(stream: str, keys: IntArray, dimension: int, seed: int) -> npt.NDArray[np.float32]:
    """Return HASH: a vector of random signs and of unit length for each key (WAML 2.2).

    Two different keys are nearly orthogonal: their dot product is about 1/√d. The paper hashes an id into one of the
    d coordinates, where two nodes are the same with probability 1/d. Signs in all coordinates do not collide.

    Args:
        stream: Name of the kind of key: equal keys of different streams have different vectors.
        keys: int64 [n].
        dimension: d, a multiple of 8.
        seed: Seed of the signs.

    Returns:
        float32 [n, d].

    Example:
        >>> vectors = hash_vectors("node id", np.array([7, 8, 7]), dimension=64, seed=0)
        >>> vectors.shape, bool((vectors[0] == vectors[2]).all()), bool((vectors[0] == vectors[1]).all())
        ((3, 64), True, False)
    """
    words = draws.bits(seed, stream, keys[:, None], np.arange(-(-dimension // 64)))
    signs = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1)[:, :dimension]
    return (signs.astype(np.float32) * 2 - 1) / np.float32(np.sqrt(dimension))
