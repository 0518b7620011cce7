"""Link prediction against counting pair by pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
import torch

from twinvec.metrics.direction import direction_by
from twinvec.metrics.link_prediction import link_metrics, random_negatives, random_non_edges
from twinvec.metrics.scores import DotProducts, SparseScores

IntArray = npt.NDArray[np.int64]
PRODUCTS = 23


def random_graph(seed: int, count: int = 160) -> sp.csr_array:
    dense = np.zeros((PRODUCTS, PRODUCTS), np.float32)
    dense[tuple(np.random.default_rng(seed).integers(0, PRODUCTS, (2, count)))] = 1
    np.fill_diagonal(dense, 0)
    return sp.csr_array(dense)


def ends_of(known: sp.csr_array) -> tuple[IntArray, IntArray]:
    source, target = known.tocoo().coords
    return source.astype(np.int64), target.astype(np.int64)


def test_negatives_are_every_pair_that_is_no_edge_and_no_other() -> None:
    known = random_graph(1)
    sources = np.arange(PRODUCTS)
    drawn = random_negatives(sources, known, 2000, np.random.default_rng(2))
    for source in sources:
        free = set(range(PRODUCTS)) - {int(source), *known[[source]].indices.tolist()}
        values, counts = np.unique(drawn[source], return_counts=True)
        assert set(values.tolist()) == free
        assert counts.min() > 0.6 * 2000 / len(free), "all are as likely"
    again = random_negatives(sources, known, 2000, np.random.default_rng(2))
    np.testing.assert_array_equal(drawn, again)


@pytest.mark.parametrize("whole_numbers", [False, True])
def test_figures_are_those_of_counting_pair_by_pair(whole_numbers: bool) -> None:
    torch.manual_seed(3)
    source, target = torch.randn(2, PRODUCTS, 4).unbind()
    if whole_numbers:
        source, target = source.round(), target.round()
    known = random_graph(4)
    sources, targets = ends_of(known)
    edges = sources[::3], targets[::3]
    scores = DotProducts(source, target)
    others = random_negatives(edges[0], known, 10, np.random.default_rng(5))
    ranks, ordered = [], []
    positives = [float(source[u] @ target[v]) for u, v in zip(*edges, strict=True)]
    negatives = [[float(source[u] @ target[z]) for z in row] for u, row in zip(edges[0], others, strict=True)]
    for own, row in zip(positives, negatives, strict=True):
        above = sum(other > own + 1e-5 for other in row)
        equal = sum(abs(other - own) <= 1e-5 for other in row)
        ranks.append(1 + above + equal / 2)
        ordered += [
            1.0 if own > z + 1e-5 else 0.5 if own > z - 1e-5 else 0.0 for row in negatives for z in row
        ]

    found = link_metrics(scores, edges, known, seed=5)
    assert found.edges == len(edges[0])
    assert found.hits_at_3 == pytest.approx(np.mean(np.array(ranks) <= 3))
    assert found.mrr == pytest.approx(np.mean(1 / np.array(ranks)))
    assert found.auc_random == pytest.approx(np.mean(ordered), abs=1e-6)
    assert found.auc_dir == direction_by(scores, edges, known).auc_dir


def test_the_edges_themselves_are_perfect_and_a_model_that_knows_nothing_is_at_chance() -> None:
    known = random_graph(6)
    edges = ends_of(known)
    perfect = link_metrics(SparseScores(known), edges, known, seed=0)
    assert (perfect.hits_at_3, perfect.mrr, perfect.auc_random, perfect.auc_dir) == (1, 1, 1, 1)
    nothing = link_metrics(DotProducts(*torch.ones(2, PRODUCTS, 3).unbind()), edges, known, seed=0)
    assert nothing.hits_at_3 == 0
    assert nothing.mrr == pytest.approx(1 / 6)
    assert (nothing.auc_random, nothing.auc_dir) == (0.5, 0.5)


def test_edges_of_a_source_that_knows_everything_are_left_out() -> None:
    dense = np.zeros((6, 6), np.float32)
    dense[0, 1:] = 1  # nothing is left to set against these
    dense[1, 2] = 1
    known = sp.csr_array(dense)
    found = link_metrics(SparseScores(known), ends_of(known), known, seed=0)
    assert found.edges == 1
    assert found.mrr == 1


def test_non_edges_are_all_pairs_but_edges_and_none_twice() -> None:
    known = random_graph(7)
    free = PRODUCTS * (PRODUCTS - 1) - known.nnz
    first, second = random_non_edges(known, free, np.random.default_rng(8))
    drawn = set(zip(first.tolist(), second.tolist(), strict=True))
    assert len(drawn) == free
    assert all(u != v for u, v in drawn)
    assert drawn.isdisjoint(zip(*(end.tolist() for end in ends_of(known)), strict=True))
