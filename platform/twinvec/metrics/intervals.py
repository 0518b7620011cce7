"""Confidence intervals of means, by the bootstrap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

RESAMPLES = 1000


def confidence_interval(values: npt.NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """Return the 95% confidence interval of the mean of `values`, [n], by percentiles of resampled means.

    The interval of a difference is paired if `values` are differences on the same edges.

    Example:
        >>> import numpy as np
        >>> low, high = confidence_interval(np.array([0.0, 1.0] * 50))
        >>> low < 0.5 < high
        True
    """
    if len(np.unique(values)) == 1:
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=10,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
