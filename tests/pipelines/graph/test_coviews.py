"""Ranks of co-viewed products in a space, against a dense computation."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipelines.graph.coviews import coview_metrics
from pipelines.graph.product_graph import Edges, ProductGraph, Split
from pipelines.graph.renumbering import renumbered, row_of


@pytest.mark.parametrize("seed", range(3))
def test_ranks_match_a_dense_computation(seed: int) -> None:
    random = np.random.default_rng(seed)
    products, listed = 60, 150
    pairs = np.unique(random.integers(0, products, (listed, 2)), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    # Both directions of a pair are on one side.
    side = {frozenset(pair): random.integers(0, 3) for pair in pairs.tolist()}
    split = np.array([side[frozenset(pair)] for pair in pairs.tolist()], np.int8)
    edges = Edges(pairs[:, 0].copy(), pairs[:, 1].copy(), np.ones(len(pairs), np.int64))
    ids = pa.array([f"p{number:02}" for number in range(products)])
    graph = ProductGraph(ids, edges, edges, np.zeros(len(pairs), np.int8), split)
    # Some products have no vector, and those that have come in another order.
    chosen = random.permutation(products)[:50]
    vectors = random.normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    row = {int(product): place for place, product in enumerate(chosen)}
    linked: dict[int, set[int]] = {place: set() for place in range(50)}
    test: set[tuple[int, int]] = set()
    for (a, b), which in zip(pairs.tolist(), split.tolist(), strict=True):
        if a in row and b in row:
            linked[row[a]].add(row[b])
            linked[row[b]].add(row[a])
            if which == Split.TEST:
                test |= {(row[a], row[b]), (row[b], row[a])}
    scores = vectors @ vectors.T
    languages = random.integers(-1, 3, 50)
    ranks, across = [], []
    for a, b in test:
        others = [other for other in range(50) if other != a and other != b and other not in linked[a]]
        ranks.append(1 + sum(scores[a, other] > scores[a, b] for other in others))
        across.append(languages[a] != languages[b] and min(languages[a], languages[b]) >= 0)
    assert any(across)
    found = coview_metrics(graph, [f"p{number:02}" for number in chosen], vectors, languages)
    for prefix, some in (
        ("", ranks),
        ("across_", [rank for rank, kept in zip(ranks, across, strict=True) if kept]),
    ):
        assert found[f"coview_{prefix}hits_at_5"] == pytest.approx(np.mean([rank <= 5 for rank in some]))
        assert found[f"coview_{prefix}mrr_at_10"] == pytest.approx(
            np.mean([1 / rank if rank <= 10 else 0 for rank in some])
        )
    alone = coview_metrics(graph, [f"p{number:02}" for number in chosen], vectors, np.zeros(50, np.int64))
    assert not [name for name in alone if "across" in name]


def test_pairs_of_products_without_a_vector_are_left_out() -> None:
    ids = pa.array(list("abcd"))
    numbers = np.array([0, 1, 2])
    pairs = Edges(numbers, numbers + 1, numbers)
    graph = ProductGraph(ids, pairs, pairs, np.zeros(3, np.int8), np.full(3, Split.TEST, np.int8))
    row = row_of(graph, ["d", "c", "a"])
    assert row.tolist() == [2, -1, 1, 0]
    kept = renumbered(pairs, row)
    assert (kept.source.tolist(), kept.target.tolist()) == ([1], [0])
    assert coview_metrics(graph, ["a", "c"], np.eye(2, dtype=np.float32)) == {}
