"""Differences in macro-F1 between two models with several seeds, with intervals that are paired by test query."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipelines.relevance.judged import Judged
from twinvec.metrics.classification import class_scores

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
DRAWS = 1_000


def f1_gain(judged: Judged, rows: Ints, ours: Ints, other: Ints) -> tuple[float, float, float]:
    """Return the mean gain in macro-F1 and its interval of 95%: test queries are drawn 1,000 times, with all seeds.

    Args:
        judged: Judged pairs.
        rows: Rows of the n test pairs.
        ours, other: Predicted classes of both models, int64 [seeds, n].
    """
    count = len(judged.names)
    codes = judged.pairs.query_nodes.take(rows.tolist()).dictionary_encode().indices.to_numpy()
    true, queries = judged.classes[rows], int(codes.max()) + 1

    def confusions(predicted: Ints) -> Ints:
        """Return the confusion matrices of each seed and query, int64 [seeds, queries, classes²]."""
        cells = codes * count * count + true * count + predicted
        size = queries * count * count
        return np.stack([np.bincount(each, minlength=size).reshape(queries, -1) for each in cells])

    def macro(weights: Ints, counts: Ints) -> Floats:
        drawn = np.einsum("dq,sqc->dsc", weights, counts).reshape(len(weights), len(counts), count, count)
        return np.asarray(class_scores(drawn)[2].mean(-1).mean(-1))

    weights = np.random.default_rng(0).multinomial(queries, np.full(queries, 1 / queries), DRAWS)
    ours, other = confusions(ours), confusions(other)
    everyone = np.ones((1, queries), np.int64)
    gain = float((macro(everyone, ours) - macro(everyone, other))[0])
    low, high = np.quantile(macro(weights, ours) - macro(weights, other), [0.025, 0.975])
    return gain, float(low), float(high)


def f1_gains(
    judged: Judged, rows: Ints, ours: Ints, other: Ints, parts: Mapping[str, npt.NDArray[np.bool_]]
) -> str:
    """Return the gain and its interval of each part of the test pairs that is not empty, such as `us +0.1 [0, +0.2]`.

    Args:
        judged, rows, ours, other: As in `f1_gain`.
        parts: Which of the n test pairs each part has, bool [n], by its name.
    """
    gains = {
        name: f1_gain(judged, rows[part], ours[:, part], other[:, part])
        for name, part in parts.items()
        if part.any()
    }
    return "; ".join(
        f"{name} {gain:+.3f} [{low:+.3f}, {high:+.3f}]" for name, (gain, low, high) in gains.items()
    )
