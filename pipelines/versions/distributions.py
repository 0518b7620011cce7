"""Distributions of norms and similarities of vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.stats

from pipelines.versions.retrieval import Doubles, Floats, unit

# Precision of a norm in float32: two versions of unit length must not differ by rounding.
DECIMALS = 6


@dataclass(frozen=True)
class Distribution:
    """Mean, standard deviation, and the values below which 5, 50 and 95 % lie."""

    mean: float
    std: float
    p5: float
    median: float
    p95: float

    @classmethod
    def of(cls, values: Doubles) -> Distribution:
        """Return the distribution of values [n]."""
        return cls(float(values.mean()), float(values.std()), *map(float, np.percentile(values, (5, 50, 95))))


@dataclass(frozen=True)
class Shift:
    """Change of one quantity between two versions.

    Attributes:
        new, old: Distributions of the quantity.
        distance: Kolmogorov-Smirnov statistic, the largest difference of the cumulative distributions, 0 to 1.
    """

    new: Distribution
    old: Distribution
    distance: float

    @classmethod
    def between(cls, new: Doubles, old: Doubles) -> Shift:
        """Return the shift from values `old` [n] to values `new` [m]."""
        distance = float(scipy.stats.ks_2samp(new, old, method="asymp").statistic)
        return cls(Distribution.of(new), Distribution.of(old), distance)


def norms(vectors: Floats) -> Doubles:
    """Return the length of each vector, float64 [n]."""
    lengths: Doubles = np.linalg.norm(vectors.astype(np.float64), axis=1).round(DECIMALS)
    return lengths


def pair_similarities(first: Floats, last: Floats, pairs: int, cosine: bool, seed: int) -> Doubles:
    """Return the similarity of random pairs of different products, float64 [pairs].

    Args:
        first, last: Vectors that are compared, float32 [n, d]; the same array twice for versions with one column.
        pairs: Number of pairs to draw.
        cosine: Whether vectors are compared by cosine, else by the dot product.
        seed: Seed of the draw.
    """
    random = np.random.default_rng(seed)
    one = random.integers(len(first), size=pairs)
    other = (one + random.integers(1, len(first), size=pairs)) % len(first)
    if cosine:
        first, last = unit(first), unit(last)
    result: Doubles = np.einsum("pd,pd->p", first[one], last[other], dtype=np.float64)
    return result
