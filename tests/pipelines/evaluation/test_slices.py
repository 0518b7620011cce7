"""Figures by kind of edge and of what is shown, against loops over edges and lists."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.evaluation.slices import best_targets, kinds_of, list_diversity, slices
from pipelines.graph.product_graph import Edges
from twinvec.metrics.scores import DotProducts

PRODUCTS = 40


def random_edges(seed: int, count: int) -> Edges:
    pairs = np.unique(np.random.default_rng(seed).integers(0, PRODUCTS, (count, 2)), axis=0)
    source, target = pairs[pairs[:, 0] != pairs[:, 1]].T
    return Edges(source, target, np.ones(len(source), np.int64))


def test_every_kind_is_what_it_says() -> None:
    random = np.random.default_rng(4)
    trained, edges = random_edges(1, 120), random_edges(2, 200)
    category = random.choice(["tea", "cups", "books"], PRODUCTS)
    marketplace = random.choice(["de", "us"], PRODUCTS)
    kinds = kinds_of(edges, trained, category, marketplace)
    ranks = random.integers(1, 30, len(edges)).astype(float)
    found = {each.kind: each for each in slices(ranks, kinds)}
    pairs = list(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    leads = [sum(trained.source == u) for u, _ in pairs]
    led_to = [sum(trained.target == v) for _, v in pairs]
    expected = {
        "all": [True] * len(pairs),
        "source in no training edge (cold start)": [n == 0 for n in leads],
        "source in 1 or 2": [n in (1, 2) for n in leads],
        "source in 3 to 9": [3 <= n <= 9 for n in leads],
        "source in 10 or more": [n >= 10 for n in leads],
        "target of no training edge (cold start)": [n == 0 for n in led_to],
        "same category": [category[u] == category[v] for u, v in pairs],
        "another category": [category[u] != category[v] for u, v in pairs],
        "marketplace de": [marketplace[u] == "de" for u, _ in pairs],
        "marketplace us": [marketplace[u] == "us" for u, _ in pairs],
    }
    for kind, chosen in expected.items():
        own = [rank for rank, is_own in zip(ranks, chosen, strict=True) if is_own]
        if not own:
            assert kind not in found
            continue
        assert found[kind].edges == len(own)
        assert found[kind].hits_at_10 == pytest.approx(np.mean([rank <= 10 for rank in own]))
        assert found[kind].mrr_at_10 == pytest.approx(np.mean([1 / r if r <= 10 else 0 for r in own]))
    thirds = [
        found[f"target among the {which} third"].edges
        for which in ("least popular", "middle", "most popular")
    ]
    assert sum(thirds) == len(edges)


def test_lists_leave_out_what_is_known_and_are_counted() -> None:
    source, target = torch.randn(2, PRODUCTS, 5).unbind()
    known = random_edges(3, 200).matrix(PRODUCTS)
    asked = np.array([0, 7, 31])
    lists = best_targets(DotProducts(source, target), asked, known, batch=2)
    scores = (source @ target.T).numpy()
    for row, u in enumerate(asked):
        allowed = [v for v in range(PRODUCTS) if v != u and not known[u, v]]
        assert lists[row].tolist() == sorted(allowed, key=lambda v: -scores[u, v])[:10]
    category = np.random.default_rng(5).choice(["tea", "cups", "books"], PRODUCTS)
    found = list_diversity(asked, lists, category)
    assert found.lists == 3
    assert found.coverage == len(set(lists.ravel().tolist())) / PRODUCTS
    assert found.categories == pytest.approx(np.mean([len(set(category[one])) for one in lists]))
    other = [category[v] != category[u] for u, one in zip(asked, lists, strict=True) for v in one]
    assert found.other_category == pytest.approx(np.mean(other))
