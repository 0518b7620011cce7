"""Classes of pairs by thresholds of one score: the baseline of a bi-encoder's cosine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from twinvec.metrics.classification import class_scores, confusion

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
CANDIDATES, ROUNDS = 40, 3


def best_thresholds(scores: Floats, classes: Ints, count: int) -> Floats:
    """Return the bounds between classes that give the best macro-F1, found one at a time; float64 [count − 1].

    Args:
        scores: Scores, higher for classes with smaller numbers, [n].
        classes: True classes, int64 [n].
        count: Number of classes.
    """
    candidates = np.quantile(scores, np.linspace(0, 1, CANDIDATES))
    bounds = np.quantile(scores, np.linspace(1, 0, count + 1)[1:-1])
    for _ in range(ROUNDS):
        for place in range(count - 1):
            tried = []
            for candidate in candidates:
                bounds[place] = candidate
                tried.append(_macro_f1(classes, classify_by_thresholds(scores, bounds), count))
            bounds[place] = candidates[int(np.argmax(tried))]
    return np.asarray(np.sort(bounds)[::-1])


def classify_by_thresholds(scores: Floats, bounds: Floats) -> Ints:
    """Return the class of each score, int64 [n]: the number of bounds that it does not reach."""
    return np.asarray((scores[:, None] < np.sort(bounds)[::-1]).sum(axis=1))


def _macro_f1(true: Ints, found: Ints, count: int) -> float:
    return float(class_scores(confusion(true, found, count))[2].mean())
