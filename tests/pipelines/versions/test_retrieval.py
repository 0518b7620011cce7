"""Overlap of the neighbours of two versions, against loops over products."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.versions.retrieval import Floats, Nearest, jaccard, own_ranks, recall, unit

SEED = 20_265


def best_of(queries: Floats, candidates: Floats, sampled: list[int], k: int) -> list[set[int]]:
    """By a loop: for each query the k candidates with the highest scores, itself left out."""
    found = []
    for row, query in enumerate(queries):
        scored = [(float(query @ c), at) for at, c in enumerate(candidates) if sampled[at] != row]
        found.append({at for _, at in sorted(scored, reverse=True)[:k]})
    return found


@pytest.mark.parametrize("rows", [1, 7, 60])
def test_overlap_is_that_of_a_loop_however_candidates_are_cut_into_batches(rows: int) -> None:
    random = np.random.default_rng(SEED)
    new = random.standard_normal((60, 5)).astype(np.float32)
    old = (new + 0.7 * random.standard_normal((60, 5))).astype(np.float32)
    sampled = np.full(60, -1)
    drawn = random.choice(60, 9, replace=False)
    sampled[drawn] = np.arange(9)
    lists, sets = [], []
    for vectors in (new, old):
        nearest = Nearest.none(9, 10)
        for start in range(0, 60, rows):
            some = slice(start, start + rows)
            nearest = nearest.among(vectors[drawn] @ vectors[some].T, start, sampled[some])
        lists.append(nearest)
        sets.append(best_of(vectors[drawn], vectors, sampled.tolist(), 10))
    assert [set(row) for row in lists[0].positions.tolist()] == sets[0]
    expected = [len(a & b) / len(a | b) for a, b in zip(*sets, strict=True)]
    np.testing.assert_allclose(jaccard(*lists), expected)
    assert 0.1 < np.mean(expected) < 0.9, "the case should be neither of the trivial ones"
    assert recall(lists[0], lists[1]) == pytest.approx(
        np.mean([len(a & b) / len(b) for a, b in zip(*sets, strict=True)])
    )


def test_fewer_candidates_than_wanted_are_compared_as_they_are() -> None:
    nearest = Nearest.none(2, 10).among(np.eye(2, 3, dtype=np.float32), 0, np.array([0, 1, -1]))
    assert [set(row) for row in nearest.positions.tolist()] == [{1, 2, -1}, {0, 2, -1}]
    assert jaccard(nearest, nearest).tolist() == [1, 1]
    assert jaccard(nearest, Nearest.none(2, 10)).tolist() == [0, 0]


def test_a_rank_counts_what_scores_higher_and_half_of_what_scores_the_same() -> None:
    scores = np.array([[3, 1, 5, 3], [0, 9, 1, 2]], np.float32)
    assert own_ranks(scores).tolist() == [2.5, 1.0]


def test_a_zero_vector_stays_zero() -> None:
    assert unit(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [
        [pytest.approx(0.6), pytest.approx(0.8)],
        [0, 0],
    ]
