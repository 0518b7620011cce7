"""Each baseline against what its definition says, on small graphs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipelines.baselines import counting, ease, factorising, magnet, walking
from pipelines.baselines.problem import RankingProblem, UnsuitedError
from pipelines.baselines.registry import baselines
from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.metrics.ranking import rank_by, ranking_metrics
from twinvec.metrics.scores import Scores
from twinvec.nn.ease import PENALTY


def edges(*rows: tuple[int, int, int]) -> Edges:
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    return Edges(columns[0], columns[1], columns[2])


def problem(products: int, copurchase: Edges, dimension: int = 8) -> RankingProblem:
    graph = ProductGraph(
        pa.array([f"p{number:03}" for number in range(products)]),
        copurchase,
        edges(),
        np.zeros(len(copurchase), np.int8),
        np.zeros(0, np.int8),
    )
    return RankingProblem(graph, {}, dimension, seed=5)


@pytest.fixture
def small() -> RankingProblem:
    """0 → 1 four times, 1 → 0 once, 0 → 2 once, 2 → 3 twice."""
    return problem(5, edges((0, 1, 4), (1, 0, 1), (0, 2, 1), (2, 3, 2)))


def score_matrix(scores: Scores) -> np.ndarray:
    return scores.block(np.arange(scores.products), 0, scores.products).numpy()


def test_popularity_is_how_often_a_product_is_a_target(small: RankingProblem) -> None:
    np.testing.assert_array_equal(score_matrix(counting.popularity(small)), [[1, 4, 1, 2, 0]] * 5)


def test_projection_is_the_share_of_a_source_s_orders(small: RankingProblem) -> None:
    found = score_matrix(counting.projection(small))
    assert found[0, 1] == pytest.approx(4 / 5 + 0.5 * 1)  # back from 1, all of whose orders come from 0
    assert found[2, 0] == pytest.approx(0.5)  # 2 was only bought after 0
    assert found[3, 0] == 0


def test_association_is_npmi_by_hand(small: RankingProblem) -> None:
    found = score_matrix(counting.association(small))
    # Both orders together: {0,1} 5, {0,2} 1, {2,3} 2, each counted from both ends: 16.
    together, alone = 5 / 16, (6 / 16) * (5 / 16)
    assert found[0, 1] == pytest.approx(1 + math.log(together / alone) / -math.log(together), abs=1e-5)
    np.testing.assert_allclose(found, found.T)
    assert found[0, 3] == 0 < found[found > 0].min()


def test_reciprocal_edges_come_before_common_neighbours() -> None:
    # 0 and 1 share 2 (of three neighbours) and 3 (of two); 4 → 0 leads back.
    found = score_matrix(
        counting.reciprocal_adamic_adar(
            problem(6, edges((0, 2, 1), (0, 3, 1), (1, 2, 1), (1, 3, 1), (5, 2, 1), (4, 0, 1)))
        )
    )
    assert found[0, 1] == pytest.approx(1 / math.log(3) + 1 / math.log(2))
    assert found[0, 5] == pytest.approx(1 / math.log(3))
    assert found[0].argmax() == 4


def test_directed_svd_gives_the_adjacency_back() -> None:
    random = np.random.default_rng()
    sources, targets = random.integers(0, 12, (2, 40))
    source, target = np.unique(np.stack([sources, targets]), axis=1)
    graph = problem(12, Edges(source, target, np.ones(0, np.int64)))
    edge = graph.graph.copurchase
    matrix = np.zeros((12, 12), np.float32)
    matrix[edge.source, edge.target] = 1
    left, values, right = np.linalg.svd(matrix)
    best = (left[:, :8] * values[:8]) @ right[:8]
    np.testing.assert_allclose(score_matrix(factorising.directed_svd(graph)), best, atol=1e-4)


def random_problem(products: int) -> RankingProblem:
    drawn = np.unique(np.random.default_rng().integers(0, products, (6 * products, 2)), axis=0)
    source, target = drawn[drawn[:, 0] != drawn[:, 1]].T
    return problem(products, Edges(source, target, np.ones(len(source), np.int64)))


def test_ease_is_ridge_regression_of_each_product_on_the_others() -> None:
    training = random_problem(31)
    adjacency = training.copurchases().toarray().astype(np.float64)
    rows = adjacency + adjacency.T + np.eye(31)
    weights = np.zeros((31, 31))
    for product in range(31):
        # A column without a diagonal is a ridge regression on all other columns.
        others = np.delete(np.arange(31), product)
        known = rows[:, others]
        solved = np.linalg.solve(known.T @ known + PENALTY * np.eye(30), known.T @ rows[:, product])
        weights[others, product] = solved
    scores = ease.ease(training)
    np.testing.assert_allclose(score_matrix(scores), rows @ weights, rtol=1e-4, atol=1e-6)
    source, target = np.random.default_rng().integers(0, 31, (2, 50))
    np.testing.assert_allclose(
        scores.pairs(source, target), (rows @ weights)[source, target], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(scores.block(source, 5, 12), score_matrix(scores)[source, 5:12])
    assert (scores.rounding(source, target).numpy() >= 0).all()


def test_ease_refuses_more_products_than_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "MOST_PRODUCTS", 30)
    with pytest.raises(
        UnsuitedError, match=r"31 products are more than the 30 .*\n.*leave the row `ease` out"
    ):
        ease.ease(random_problem(31))


@pytest.fixture(scope="module")
def groups() -> tuple[RankingProblem, Edges]:
    """Groups of eight, each product bought after each other one of its group, an edge in five held out."""
    random = np.random.default_rng(2)
    pairs = np.array(
        [(group * 8 + a, group * 8 + b) for group in range(20) for a in range(8) for b in range(8) if a != b]
    )
    random.shuffle(pairs)
    rows = [(int(a), int(b), 1) for a, b in pairs]
    cut = len(rows) // 5
    return problem(160, edges(*rows[cut:]), 16), edges(*rows[:cut])


@pytest.mark.parametrize("name", sorted(baselines([])))
def test_held_out_edges_in_groups_are_found(name: str, groups: tuple[RankingProblem, Edges]) -> None:
    training, held_out = groups
    scores = baselines([])[name](training)
    assert scores is not None
    known = training.copurchases()
    metrics = ranking_metrics(rank_by(scores, (held_out.source, held_out.target), known))
    assert metrics.mrr_at_10 >= (0.0 if name == "popularity" else 0.5), metrics
    again = baselines([])[name](training)
    assert again is not None
    np.testing.assert_array_equal(score_matrix(scores), score_matrix(again))


def test_magnet_tells_the_direction_of_edges_it_has_not_seen() -> None:
    random = np.random.default_rng(4)
    pairs = np.array([(a, b) for a in range(20) for b in range(20, 40)])
    random.shuffle(pairs)
    found = score_matrix(magnet.magnet(problem(40, edges(*((int(a), int(b), 1) for a, b in pairs[100:])), 8)))
    source, target = pairs[:100].T
    assert np.mean(found[source, target] > found[target, source]) > 0.9


def test_content_is_compared_by_cosine_or_left_out(small: RankingProblem) -> None:
    vectors = np.eye(5, dtype=np.float32)
    cosine = baselines(["text"])["text cosine"](replace(small, content={"text": vectors}))
    assert cosine is not None
    np.testing.assert_array_equal(score_matrix(cosine), np.eye(5))
    assert baselines(["image"])["image cosine"](small) is None


def test_walks_follow_the_edges(small: RankingProblem) -> None:
    pairs = {(a, b - 5) for a, b in walking.WalkedPairs(small)}
    assert {(0, 1), (0, 2), (2, 3), (1, 2)} <= pairs  # 1 → 0 → 2 within a window
    assert not any(a == 3 or b == 4 for a, b in pairs), "3 leads nowhere, nothing leads to 4"
