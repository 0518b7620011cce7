"""The nearest products and how heavy they count, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipelines.cold_start import neighbours
from pipelines.cold_start.neighbours import AlignedProducts
from pipelines.ranking.cold import nearest_rows, weigh
from twinvec.vectors import point_id


@pytest.mark.parametrize("block", [7, 100, 1000])
def test_the_nearest_are_those_of_a_full_comparison(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    random = np.random.default_rng(block)
    vectors = random.standard_normal((203, 17))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"p{row}" for row in range(203)]
    products = AlignedProducts(
        pa.chunked_array([ids[:50], ids[50:]]),
        pa.chunked_array([["us"] * 100, ["es"] * 103]),
        vectors.astype(np.float16),
    )
    query = (vectors[5] + 0.1 * random.standard_normal(17)).astype(np.float32)
    query /= np.linalg.norm(query)
    cosines = vectors.astype(np.float16).astype(np.float32) @ query
    order = np.argsort(-cosines)
    for k in (1, 10, 203, 500):
        scores = products.cosines(query)
        rows = nearest_rows(scores, k)
        expected = [point_id("us" if row < 100 else "es", ids[row]) for row in order[:k]]
        assert products.points(rows) == expected
        np.testing.assert_allclose(scores[rows], cosines[order[:k]], atol=1e-6)


def test_weights_sum_to_one_and_fall_with_the_cosine() -> None:
    weights = weigh(np.array([0.9, 0.8, 0.8, 0.2], np.float32))
    assert weights.sum() == pytest.approx(1)
    assert weights[0] / weights[1] == pytest.approx(np.exp(1), rel=1e-5)
    assert weights[1] == weights[2] > weights[3]
    np.testing.assert_allclose(weigh(np.full(5, -0.3, np.float32)), np.full(5, 0.2), rtol=1e-6)
