"""Recall by the number of training pairs, against a loop."""

from __future__ import annotations

import numpy as np
import pytest

from twinvec.metrics.recall import recall_by_count

RANGES = {"0": [0], "1_to_3": [1, 2, 3], "4_to_9": [4, 5, 6, 7, 8, 9], "10_or_more": list(range(10, 40))}


@pytest.mark.parametrize("pairs", [0, 1, 17, 300])
def test_recall_is_that_of_a_loop(pairs: int) -> None:
    random = np.random.default_rng(pairs)
    ranks = random.integers(1, 50, pairs).astype(float)
    counts = {end: random.integers(0, 14, pairs) for end in ("products", "sellers")}
    expected = {"recall_at_20": sum(rank <= 20 for rank in ranks) / max(pairs, 1), "offers": float(pairs)}
    for end, values in counts.items():
        for label, numbers in RANGES.items():
            chosen = [rank for rank, count in zip(ranks, values, strict=True) if count in numbers]
            if chosen:
                expected[f"recall_at_20_{end}_{label}"] = sum(rank <= 20 for rank in chosen) / len(chosen)
                expected[f"offers_{end}_{label}"] = float(len(chosen))
    assert recall_by_count(ranks, counts, k=20) == pytest.approx(expected)
