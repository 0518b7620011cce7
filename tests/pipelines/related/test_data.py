"""Relations, positives and how they are drawn, against dense matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
import torch
from scipy.stats import chi2

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.data import edge_positives, either, relations, similar
from twinvec.nn.features import Features
from twinvec.nn.losses.positives import Positives, blend
from twinvec.nn.sampling.blocks import Neighbours

MakeGraph = Callable[..., ProductGraph]


def dense(neighbours: Neighbours) -> npt.NDArray[np.float64]:
    matrix = np.zeros((neighbours.rows, neighbours.rows))
    for row in range(neighbours.rows):
        for position in neighbours.positions[neighbours.offsets[row] : neighbours.offsets[row + 1]]:
            matrix[row, position] += 1
    return matrix


def test_relations_are_double_covers(random_graph: MakeGraph) -> None:
    graph = random_graph(1)
    n = graph.products
    found = relations(graph, reverse=True)
    assert list(found) == ["copurchase", "coview", "reverse_copurchase", "reverse_coview"]
    assert list(relations(graph, reverse=False)) == ["copurchase", "coview"]
    for name, edges in (("copurchase", graph.copurchase), ("coview", graph.coview)):
        adjacency = edges.matrix(n).toarray()
        none = np.zeros((n, n))
        np.testing.assert_array_equal(dense(found[name]), np.block([[none, adjacency], [adjacency.T, none]]))
        np.testing.assert_array_equal(
            dense(found[f"reverse_{name}"]), np.block([[none, adjacency.T], [adjacency, none]])
        )


def test_similar_pairs_stay_within_a_role(random_graph: MakeGraph) -> None:
    graph = random_graph(3)
    n = graph.products
    adjacency = graph.coview.matrix(n).toarray()
    both = ((adjacency + adjacency.T) > 0).astype(float)
    assert (adjacency * adjacency.T).any(), "no pair is there both ways; the test shows nothing"
    none = np.zeros((n, n))
    np.testing.assert_array_equal(dense(similar(graph)), np.block([[both, none], [none, both]]))


def test_edges_of_either_kind_count_once(random_graph: MakeGraph) -> None:
    graph = random_graph(4)
    n = graph.products
    copurchase, coview = graph.copurchase.matrix(n).toarray(), graph.coview.matrix(n).toarray()
    assert (copurchase * coview).any(), "no edge is of both kinds; the test shows nothing"
    any_kind = ((copurchase + coview) > 0).astype(float)
    none = np.zeros((n, n))
    np.testing.assert_array_equal(dense(either(graph)), np.block([[none, any_kind], [any_kind.T, none]]))


def test_edge_positives_are_targets_alike(random_graph: MakeGraph) -> None:
    graph = random_graph(2)
    positives = edge_positives(graph)
    adjacency = graph.copurchase.matrix(graph.products).toarray()
    degrees = adjacency.sum(1)
    expected = adjacency / np.maximum(degrees, 1)[:, None]
    np.testing.assert_allclose(positives.matrix.toarray(), expected, rtol=1e-6)
    assert positives.sources().tolist() == np.flatnonzero(degrees).tolist()
    popularity = expected.sum(0) / expected.sum()
    np.testing.assert_allclose(positives.popularity().numpy(), popularity, rtol=1e-5)


def random_rows(rows: int, seed: int) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    matrix = np.where(random.random((rows, rows)) < 0.6, random.random((rows, rows)), 0)
    matrix[[0, 4, rows - 1]] = 0
    total = matrix.sum(1, keepdims=True)
    return (matrix / np.where(total > 0, total, 1)).astype(np.float32)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_blend(share: float) -> None:
    edges, nearness = random_rows(11, 1), random_rows(11, 2)
    edges[5] = 0
    mixed = (1 - share) * edges + share * nearness
    total = mixed.sum(1, keepdims=True)
    found = blend(Positives(sp.csr_array(edges)), sp.csr_array(nearness), share)
    np.testing.assert_allclose(found.matrix.toarray(), mixed / np.where(total > 0, total, 1), atol=1e-6)
    # A row of which nothing is left is not trained on.
    assert found.sources().tolist() == np.flatnonzero(total.ravel()).tolist()


def test_positives_are_drawn_as_likely_as_the_matrix_says() -> None:
    matrix = random_rows(9, seed=3)
    positives = Positives(sp.csr_array(matrix))
    sources = torch.tensor([8 - 1, 2, 3, 1, 5, 6])
    draws = 20_000
    drawn = positives.draw(sources, draws, np.random.default_rng(4))
    assert drawn.shape == (6, draws)
    for row, source in enumerate(sources.tolist()):
        counts = np.bincount(drawn[row], minlength=9)
        likely = matrix[source] > 0
        assert not counts[~likely].any()
        expected = matrix[source][likely] * draws
        statistic = ((counts[likely] - expected) ** 2 / expected).sum()
        assert chi2.sf(statistic, likely.sum() - 1) > 1e-4, (source, counts)


def test_draws_of_two_sources_are_independent() -> None:
    half = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0, 0, 0]], np.float32)
    first, second = Positives(sp.csr_array(half)).draw(torch.tensor([0, 1]), 4000, np.random.default_rng(5))
    # A quarter each of the four pairs: 1,000 ± 27.
    together = [int(((first == a) & (second == b)).sum()) for a in (1, 2) for b in (0, 2)]
    assert all(880 < count < 1120 for count in together)


def test_features_of_nodes_in_both_roles() -> None:
    features = Features(torch.randn(4, 3), torch.randn(8, 2))
    content, factors, is_target = features.of(torch.tensor([7, 0, 3, 4]))
    assert torch.equal(content, features.content[[3, 0, 3, 0]])
    assert torch.equal(factors, features.proximity[[7, 0, 3, 4]])
    assert is_target.tolist() == [True, False, False, True]
    assert (features.nodes, features.products) == (8, 4)
