"""The link recipe, on a graph whose rule is known, and against its formulas."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.link_recipe import LinkRecipe, fit_links, log_degrees, smoothed
from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.metrics.link_prediction import random_non_edges

PRODUCTS, TOPICS = 300, 10


def as_graph(pairs: np.ndarray) -> ProductGraph:
    nothing = np.zeros(0, np.int64)
    return ProductGraph(
        pa.array([f"p{number:03}" for number in range(PRODUCTS)]),
        Edges(pairs[:, 0], pairs[:, 1], np.ones(len(pairs), np.int64)),
        Edges(nothing, nothing, nothing),
        np.zeros(len(pairs), np.int8),
        nothing.astype(np.int8),
    )


@pytest.fixture(scope="module")
def held_out() -> tuple[ProductGraph, np.ndarray, np.ndarray]:
    """Edges within a topic, from the first half of the products to the second; some left out; noisy content."""
    random = np.random.default_rng(5)
    topic = random.integers(0, TOPICS, PRODUCTS)
    pairs = np.unique(random.integers(0, PRODUCTS, (60_000, 2)), axis=0)
    first, second = pairs.T
    right = (topic[first] == topic[second]) & (first < PRODUCTS // 2) & (second >= PRODUCTS // 2)
    edges = random.permutation(pairs[right])[:900]
    content = np.eye(TOPICS, dtype=np.float32)[topic] + random.normal(0, 1.0, (PRODUCTS, TOPICS))
    return as_graph(edges[150:]), edges[:150], content.astype(np.float32)


def test_held_out_edges_score_above_other_pairs_and_their_reverses(
    held_out: tuple[ProductGraph, np.ndarray, np.ndarray],
) -> None:
    graph, edges, content = held_out
    scores = fit_links(graph, content, LinkRecipe(), seed=1)
    known = as_graph(np.concatenate([edges, np.stack([graph.copurchase.source, graph.copurchase.target], 1)]))
    others = random_non_edges(known.copurchase.matrix(PRODUCTS), 1000, np.random.default_rng(2))
    own = scores.pairs(edges[:, 0], edges[:, 1]).numpy()
    truth = np.repeat([1, 0], [len(edges), 1000])
    reached = roc_auc_score(truth, np.concatenate([own, scores.pairs(*others).numpy()]))
    unit = content / np.linalg.norm(content, axis=1, keepdims=True)
    alone = roc_auc_score(
        truth, (unit[np.r_[edges[:, 0], others[0]]] * unit[np.r_[edges[:, 1], others[1]]]).sum(1)
    )
    assert reached > 0.95 > alone
    assert (own > scores.pairs(edges[:, 1], edges[:, 0]).numpy()).mean() > 0.95
    assert scores.source.shape == scores.target.shape == (PRODUCTS, TOPICS + 2)
    again = fit_links(graph, content, LinkRecipe(), seed=1)
    np.testing.assert_array_equal(again.source, scores.source)


def test_scores_are_log_odds_of_cosine_and_degrees(
    held_out: tuple[ProductGraph, np.ndarray, np.ndarray],
) -> None:
    graph, _, content = held_out
    scores = fit_links(graph, content, LinkRecipe(), seed=3)
    first, second = np.random.default_rng(4).integers(0, PRODUCTS, (2, 400))
    near, degrees = smoothed(content, graph.copurchase, 2), log_degrees(graph.copurchase, PRODUCTS)
    cosine = (near[first] * near[second]).sum(1, keepdims=True)
    terms = np.concatenate([cosine, degrees[first], degrees[second], np.ones((400, 1))], axis=1)
    found = scores.pairs(first, second).numpy()
    six, *_ = np.linalg.lstsq(terms.astype(np.float64), found.astype(np.float64), rcond=None)
    np.testing.assert_allclose(terms @ six, found, atol=1e-3)
    assert six[0] > 0
    assert six[1] > six[2], "what leads away from a product says more for it as a source"
    assert six[4] > six[3]


def test_smoothing_is_the_normalised_mean_over_the_undirected_graph() -> None:
    # 0 → 1 → 2, both ways between 1 and 2; 3 alone.
    edges = Edges(np.array([0, 1, 2]), np.array([1, 2, 1]), np.ones(3, np.int64))
    content = np.random.default_rng(6).normal(size=(4, 3)).astype(np.float32)
    either = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    degree = either.sum(1)
    wanted = np.linalg.matrix_power(either / np.sqrt(np.outer(degree, degree)), 2) @ content
    np.testing.assert_allclose(
        smoothed(content, edges, 2), wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-5
    )
    np.testing.assert_allclose(log_degrees(edges, 4), np.log1p([[1, 0], [1, 2], [1, 1], [0, 0]]), rtol=1e-6)
