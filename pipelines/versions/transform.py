"""Least-squares transforms from the vectors of one version to those of another, fitted batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Sums over pairs (x, y) that least squares needs: [a, a] numbers, whatever the number of pairs.

    Attributes:
        pairs: Number of pairs.
        x: Sum of x, float64 [a].
        y: Sum of y, float64 [b].
        xx: Sum of the outer products x xᵀ, float64 [a, a].
        xy: Sum of x yᵀ, float64 [a, b].
    """

    pairs: int
    x: Doubles
    y: Doubles
    xx: Doubles
    xy: Doubles

    @classmethod
    def of(cls, x: Floats, y: Floats) -> Moments:
        """Return the moments of the rows of `x`, float32 [n, a], and of `y`, float32 [n, b]."""
        exact, other = x.astype(np.float64), y.astype(np.float64)
        return cls(len(x), exact.sum(0), other.sum(0), exact.T @ exact, exact.T @ other)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of the pairs of both."""
        return Moments(
            self.pairs + other.pairs,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
        )


@dataclass(frozen=True)
class Transform:
    """The map x → x · weight + bias.

    Attributes:
        weight: Matrix of the map, float64 [a, b].
        bias: Shift of the map, float64 [b].
    """

    weight: Doubles
    bias: Doubles


def fit_orthogonal(moments: Moments) -> Transform:
    """Return the rotation or reflection R that minimises the sum of |x R - y|², without a shift (Schönemann 1966).

    R is the orthogonal factor of the polar decomposition of the sum of x yᵀ. Dot products, lengths and angles between
    vectors stay the same.

    Raises:
        ValueError: If x and y differ in dimension.
    """
    dimension, other = moments.xy.shape
    if dimension != other:
        raise ValueError(f"nothing orthogonal leads from {dimension} dimensions to {other}")
    rotation, _ = scipy.linalg.polar(moments.xy)
    return Transform(rotation, np.zeros(dimension))


def fit_affine(moments: Moments) -> Transform:
    """Return the weight and bias that minimise the sum of |x W + b - y|².

    The weight is zero in directions in which the x do not vary.
    """
    mean_x, mean_y = moments.x / moments.pairs, moments.y / moments.pairs
    covariance = moments.xx - moments.pairs * np.outer(mean_x, mean_x)
    cross = moments.xy - moments.pairs * np.outer(mean_x, mean_y)
    weight = np.linalg.lstsq(covariance, cross)[0].astype(np.float64, copy=False)
    return Transform(weight, mean_y - mean_x @ weight)
