"""Fingerprint of a set of points: one number, independent of their order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from twinvec.vectors.points import FloatArray

MODULUS = 2**64


def fingerprint(ids: Sequence[str], source: FloatArray, target: FloatArray) -> int:
    """Return the sum modulo 2^64 of a 64-bit hash of each point's id and two vectors.

    The fingerprint of a set is the sum of the fingerprints of its batches, however the set is cut. Uploaded and
    stored points can therefore be compared in the memory of one batch. A missing, repeated or foreign point changes
    it, as does one bit of a vector.

    Args:
        ids: N point ids, which are UUIDs.
        source: [n, d] float32.
        target: [n, d] float32.
    """
    keys = np.frombuffer(bytes.fromhex("".join(ids).replace("-", "")), ">u8").astype(np.uint64).reshape(-1, 2)
    # Two numbers a word, of which there are 2d. Adding 0 makes -0.0, which JSON may lose, the same as 0.0.
    bits = np.ascontiguousarray(np.hstack([source, target]) + np.float32(0)).view(np.uint64)
    words = np.hstack([keys, bits])
    weights = np.random.default_rng(0).integers(MODULUS, size=words.shape[1], dtype=np.uint64) | np.uint64(1)
    return int(_scrambled(words @ weights).sum(dtype=np.uint64))


def _scrambled(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Apply SplitMix64's last step: without it, a sum of linear hashes would not tell whose vector is whose."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
