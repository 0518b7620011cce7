"""Rates of the arms of an experiment, and whether their difference is decided, however often one looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True)
class Rate:
    """A share of independent visitors, with its Wilson interval.

    Attributes:
        count: Visitors who did.
        total: Visitors.
        low, high: Bounds of the interval.
    """

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """Share of the visitors; 0 without any."""
        return self.count / self.total if self.total else 0.0


@dataclass(frozen=True)
class Difference:
    """Difference of two rates, with bounds that hold at every look together.

    Attributes:
        value: Second rate less the first.
        low, high: Bounds of the confidence sequence; −1 and 1 before there is enough to tell.
    """

    value: float
    low: float
    high: float

    @property
    def decided(self) -> bool:
        """True if zero is outside the bounds: the experiment can stop."""
        return self.low > 0 or self.high < 0


def rate(count: int, total: int, alpha: float = 0.05) -> Rate:
    """Return a rate with its Wilson interval of level 1 − alpha.

    Example:
        >>> shown = rate(10, 100)
        >>> round(shown.low, 3), round(shown.high, 3)
        (0.055, 0.174)
    """
    if total == 0:
        return Rate(0, 0, 0.0, 1.0)
    interval = binomtest(count, total).proportion_ci(1 - alpha, method="wilson")
    return Rate(count, total, float(interval.low), float(interval.high))


def difference(first: Rate, second: Rate, alpha: float = 0.05, planned: int = 2_000) -> Difference:
    """Return the difference of two rates with an asymptotic confidence sequence.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
    sequences", equation of theorem 2.2: with t observations of variance σ², the mean is within
    σ √(2 (t ρ² + 1) / (t² ρ²) · log(√(t ρ² + 1) / α)) at all t together with probability 1 − α. Here t is the number of
    visitors of both arms, and σ² that of t times the variance of the difference, each share drawn one visitor towards a
    half so that it is not zero.

    Args:
        first, second: Rates.
        alpha: Chance of a wrong decision at any look.
        planned: Number of visitors at which the bounds are tightest.

    Example:
        >>> difference(rate(100, 2000), rate(200, 2000)).decided
        True
    """
    if first.total == 0 or second.total == 0:
        return Difference(second.value - first.value, -1.0, 1.0)
    t = first.total + second.total
    variance = sum(_variance(each) for each in (first, second)) * t
    factor = -2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1
    rho2 = factor / planned
    width = math.sqrt(
        variance * 2 * (t * rho2 + 1) / (t**2 * rho2) * math.log(math.sqrt(t * rho2 + 1) / alpha)
    )
    value = second.value - first.value
    return Difference(value, max(-1.0, value - width), min(1.0, value + width))


def _variance(shown: Rate) -> float:
    """Return the variance of a rate, with one visitor more who did and one who did not."""
    share = (shown.count + 1) / (shown.total + 2)
    return share * (1 - share) / shown.total
