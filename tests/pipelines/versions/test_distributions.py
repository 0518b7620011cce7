from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.versions.distributions import Distribution, Shift, norms, pair_similarities

SEED = 20_267


def test_the_distance_is_the_widest_gap_between_the_shares_below_a_value() -> None:
    random = np.random.default_rng(SEED)
    new, old = random.normal(0.4, 1, 73), random.normal(0, 1.3, 91)
    gaps = [abs(np.mean(new <= value) - np.mean(old <= value)) for value in np.concatenate([new, old])]
    assert Shift.between(new, old).distance == pytest.approx(max(gaps))
    assert Shift.between(new, new).distance == 0


def test_a_distribution_of_known_values() -> None:
    found = Distribution.of(np.arange(101.0))
    deviation: Any = pytest.approx(np.sqrt(850))
    assert found == Distribution(50, deviation, 5, 50, 95)


def test_vectors_of_unit_length_do_not_differ_by_rounding() -> None:
    random = np.random.default_rng(SEED)
    vectors = random.standard_normal((200, 33)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert set(norms(vectors)) == {1.0}
    np.testing.assert_allclose(norms(7 * vectors), 7, atol=1e-5)


def test_pairs_are_of_different_products_and_the_same_for_a_seed() -> None:
    one_hot = 2 * np.eye(5, dtype=np.float32)
    assert not pair_similarities(one_hot, one_hot, 1000, cosine=True, seed=1).any(), "a product with itself"
    random = np.random.default_rng(SEED)
    first, last = (random.standard_normal((40, 3)).astype(np.float32) for _ in range(2))
    found = pair_similarities(first, last, 50_000, cosine=False, seed=2)
    scores = (first @ last.T)[~np.eye(40, dtype=bool)]
    assert found.mean() == pytest.approx(scores.mean(), abs=0.05)
    assert found.std() == pytest.approx(scores.std(), rel=0.05)
    assert (found == pair_similarities(first, last, 50_000, cosine=False, seed=2)).all()
