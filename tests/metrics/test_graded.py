"""Graded relevance against loops over the rankings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from twinvec.metrics.graded import best_threshold, rank_graded


@pytest.mark.parametrize(
    ("listings", "k", "chunk"), [(0, 5, 4), (1, 5, 4), (3, 5, 1), (29, 4, 7), (40, 39, 64)]
)
def test_figures_by_loops(listings: int, k: int, chunk: int) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(listings, 5), dim=1)
    products = np.random.default_rng().integers(0, max(2, listings // 3), listings)
    families = products // 2
    graded = rank_graded(vectors, products, families, k, chunk)
    cosines = vectors @ vectors.T
    k = min(k, listings - 1)
    for i in range(listings):
        others = sorted((j for j in range(listings) if j != i), key=lambda j: -float(cosines[i, j]))
        gains = [
            1.0 if products[j] == products[i] else 0.25 if families[j] == families[i] else 0.0 for j in others
        ]
        best = sorted(gains, reverse=True)[:k]
        ideal = sum(gain / math.log2(place + 2) for place, gain in enumerate(best))
        found = sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:k]))
        related, exact = sum(gain > 0 for gain in gains), sum(gain == 1 for gain in gains)
        hits, exact_hits = sum(gain > 0 for gain in gains[:k]), sum(gain == 1 for gain in gains[:k])
        expected = (
            hits / min(related, k) if related else math.nan,
            exact_hits / min(exact, k) if exact else math.nan,
            found / ideal if related else math.nan,
        )
        actual = (graded.recall[i], graded.exact_recall[i], graded.ndcg[i])
        assert actual == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_the_threshold_has_the_best_f1() -> None:
    random = np.random.default_rng()
    scores, true = random.random((6, 5)), random.random((6, 5)) < 0.4
    true[0, 0] = True
    total = int(true.sum()) + 3

    def f1(threshold: float) -> float:
        chosen = scores >= threshold
        return float(2 * (chosen & true).sum() / (chosen.sum() + total))

    best = best_threshold(scores, true, total)
    assert f1(best) == pytest.approx(max(f1(each) for each in scores.ravel()))
