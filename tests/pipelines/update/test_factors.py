"""Factors of new products: those that the decomposition would have given them, had it known them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.update.factors import fold_in
from twinvec.nn.proximity import proximity
from twinvec.settings.related_models import ProximitySettings

OPTIONS = ProximitySettings(least=1e-6, keep=1000, coview_weight=1.0)


def random_graph(products: int, seed: int) -> ProductGraph:
    random = np.random.default_rng(seed)
    # Two halves that are seldom bought together, so that some factors tell them apart.
    pairs = {
        (int(a), int((b if random.random() < 0.05 else b // 2 * 2 + a % 2) % products))
        for a, b in random.integers(products, size=(5 * products, 2))
    }
    source, target = np.array(sorted((a, b) for a, b in pairs if a != b), np.int64).T
    edges = Edges(source, target, np.ones(len(source), np.int64))
    none = edges.only(np.zeros(len(edges), np.bool_))
    ids = pa.array([f"p{number:03}" for number in range(products)])
    split = np.zeros(len(edges), np.int8)
    return ProductGraph(ids, edges, none, split, np.zeros(0, np.int8))


def test_a_product_that_was_trained_on_is_folded_in_where_it_was() -> None:
    graph = random_graph(60, 3)
    # Of full rank, nothing is lost: what is folded in of the same graph is what the decomposition gave.
    copurchase, coview = graph.copurchase.matrix(60), graph.coview.matrix(60)
    factors = proximity(copurchase, coview, 60, **OPTIONS.model_dump(), seed=0).factors.numpy()
    place = np.arange(60)
    place[[7, 8, 40]] = -1
    found = fold_in(graph, place, factors, OPTIONS).numpy().reshape(2, 60, -1)
    known = place >= 0
    source, target = np.split(factors, 2)
    np.testing.assert_array_equal(found[0, known], source[known])
    np.testing.assert_array_equal(found[1, known], target[known])
    # The three see only the others, so what they are among each other is missing; by the others they are the same.
    wanted = source @ target.T
    for row in np.flatnonzero(~known):
        again = found[0, row] @ target[known].T
        assert np.corrcoef(again, wanted[row, known])[0, 1] > 0.98
        again = source[known] @ found[1, row]
        assert np.corrcoef(again, wanted[known, row])[0, 1] > 0.98


def test_products_without_edges_and_recipes_without_factors() -> None:
    graph = random_graph(20, 5)
    alone = ProductGraph(
        pa.array([f"p{number:03}" for number in range(21)]),
        graph.copurchase,
        graph.coview,
        graph.split,
        graph.coview_split,
    )
    factors = np.ones((40, 3), np.float32)
    found = fold_in(alone, np.append(np.arange(20), -1), factors, OPTIONS).reshape(2, 21, 3)
    assert found[:, 20].eq(0).all()
    assert found[:, :20].eq(1).all()
    assert fold_in(alone, np.append(np.arange(20), -1), np.zeros((40, 0), np.float32), OPTIONS).shape == (
        42,
        0,
    )
