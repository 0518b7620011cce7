"""Calibrated vectors: the dot product is the log-odds of an edge, and tells direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from pipelines.graph.product_graph import Edges
from twinvec.metrics.link_prediction import link_metrics
from twinvec.metrics.scores import DotProducts
from twinvec.nn import calibration
from twinvec.nn.calibration import Calibration, calibrate, weight_fitter
from twinvec.nn.sampling.blocks import Neighbours, double_cover


def without_edges(products: int) -> Neighbours:
    none = torch.zeros(0, dtype=torch.int64)
    return double_cover(none, none, products)


def popular_targets(products: int, edges: int) -> tuple[Tensor, Tensor]:
    """Edges that lead to products of low numbers."""
    random = np.random.default_rng(5)
    pairs = np.sort(random.integers(0, products, (edges, 2)), axis=1)
    source, target = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0).T[::-1]
    return torch.from_numpy(source.copy()), torch.from_numpy(target.copy())


def test_scores_are_log_probabilities_and_the_order_stays() -> None:
    source, target = torch.randn(2, 37, 6).unbind()
    cover = without_edges(37)
    as_source, as_target = Calibration(target, cover, seed=1)(source, target, cover)
    found = as_source @ as_target.T
    torch.testing.assert_close(found, torch.log_softmax(source @ target.T, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(37))
    assert torch.equal(found.argsort(1), (source @ target.T).argsort(1))


def weighed_by_hand(weights: np.ndarray, into: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """τ and c of each product, by its degrees."""
    one, other = ((np.log1p(each) - np.log1p(each).mean()) / np.log1p(each).std() for each in (into, out))
    one, other = one.clip(-3, 3), other.clip(-3, 3)
    terms = np.stack([np.ones_like(one), one, other, one**2, one * other, other**2])
    return np.exp(weights[0] @ terms), weights[1] @ terms


def test_scores_are_weighed_by_the_degrees_of_the_source_and_the_order_stays() -> None:
    source, target = torch.randn(2, 50, 6).unbind()
    edges = popular_targets(50, 400)
    cover = double_cover(*edges, 50)
    calibration = Calibration(target, cover, seed=1)
    weights = 0.3 * torch.randn(2, 6)
    calibration.set_weights(weights)
    as_source, as_target = calibration(source, target, cover)
    into, out = (np.bincount(end.numpy(), minlength=50) for end in edges[::-1])
    weight, constant = weighed_by_hand(weights.numpy(), into, out)
    expected = weight[:, None] * torch.log_softmax(source @ target.T, 1).numpy() + constant[:, None]
    np.testing.assert_allclose((as_source @ as_target.T).numpy(), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal((as_source @ as_target.T).argmax(1), (source @ target.T).argmax(1))


def test_weights_beyond_any_number_at_rare_degrees_leave_finite_scores_in_their_order() -> None:
    source, target = torch.randn(2, 50, 6).unbind()
    cover = double_cover(*popular_targets(50, 400), 50)
    calibration = Calibration(target, cover, seed=1)
    weights = torch.zeros(2, 6)
    weights[0, 3] = 40.0  # τ = exp(40 · 9) three standard deviations from the mean
    calibration.set_weights(weights)
    log_weight = calibration.terms(cover) @ weights[0]
    assert not log_weight.exp().isfinite().all()
    as_source, as_target = calibration(source, target, cover)
    found = as_source.double() @ as_target.double().T
    assert found.isfinite().all()
    assert torch.equal(found.argmax(1), (source @ target.T).argmax(1))


@pytest.mark.parametrize("direction", [0.0, 0.6, 1.0])
def test_the_weights_are_those_of_the_least_loss(direction: float) -> None:
    products, random = 60, np.random.default_rng(3)
    source, target = torch.randn(2, products, 5).unbind()
    start, end = (each.numpy() for each in popular_targets(products, 500))
    start, end = np.append(start, end[:9]), np.append(end, start[:9])  # nine pairs are edges both ways
    held_out = random.random(len(start)) < 0.4
    edges = Edges(start, end, np.ones(len(start), np.int64))
    trained = edges.only(~held_out)
    cover = double_cover(torch.from_numpy(trained.source), torch.from_numpy(trained.target), products)
    known = edges.matrix(products)
    settle = weight_fitter(edges.only(held_out).ends, known, direction, seed=4)
    calibration, *_ = calibrate(source, target, cover, 1, settle)
    found = calibration.get_buffer("weights").double().numpy()

    pairs = set(zip(start.tolist(), end.tolist(), strict=True))
    asked = [(u, v) for u, v in zip(start[held_out], end[held_out], strict=True)]
    one_way = [(u, v) for u, v in asked if (v, u) not in pairs]
    anyone, drawn = np.random.default_rng(4).integers(0, products, (2, 4 * len(asked)))
    sources = [*start[held_out], *start[held_out], *anyone[2 * len(asked) :]]
    wrong = [(u, v) for u, v in zip(sources, drawn, strict=True) if (u, v) not in pairs and u != v]
    log_p = torch.log_softmax(source.double() @ target.double().T, 1).numpy()
    into, out = (np.bincount(each, minlength=products) for each in (trained.target, trained.source))

    def loss(weights: np.ndarray) -> float:
        weight, constant = weighed_by_hand(weights, into, out)

        def against(right: list[tuple[int, int]], other: list[tuple[int, int]]) -> float:
            ours, theirs = (
                np.array([weight[u] * log_p[u, v] + constant[u] for u, v in each]) for each in (right, other)
            )
            return float(
                minimize_scalar(
                    lambda threshold: (
                        np.logaddexp(0, threshold - ours).mean() + np.logaddexp(0, theirs - threshold).mean()
                    )
                ).fun
            )

        swapped = [(v, u) for u, v in one_way]
        told = direction * against(one_way, swapped) + (1 - direction) * against(asked, wrong)
        return told + 1e-3 * float((weights[:, 1:] ** 2).sum())

    least = loss(found)
    assert least < loss(np.zeros((2, 6))) - 0.02
    for _ in range(40):
        step = random.standard_normal((2, 6))
        for size in (0.003, 0.1, 1.0):
            assert loss(found + size * step) > least - 1e-7


def test_edges_are_told_from_their_reverses_and_from_random_pairs() -> None:
    products, random = 300, np.random.default_rng(6)
    start, end = (each.numpy() for each in popular_targets(products, 6_000))
    position = random.standard_normal((products, 4)).astype(np.float32)
    near = ((position[start] - position[end]) ** 2).sum(1) < 5
    edges = Edges(start[near], end[near], np.ones(int(near.sum()), np.int64))
    part = random.integers(0, 3, len(edges))
    trained, settled_by, tested = (edges.only(part == number) for number in range(3))
    cover = double_cover(torch.from_numpy(trained.source), torch.from_numpy(trained.target), products)
    # Scores know how near two products are, and nothing of direction.
    squares = (position**2).sum(1, keepdims=True)
    one = np.ones_like(squares)
    source = torch.from_numpy(np.hstack([2 * position, one]))
    target = torch.from_numpy(np.hstack([position, -squares]))
    known = edges.matrix(products)
    _, *plain = calibrate(source, target, cover, 1, None)
    _, *settled = calibrate(source, target, cover, 1, weight_fitter(settled_by.ends, known, 0.75, 1))
    before, after = (link_metrics(DotProducts(*each), tested.ends, known, 0) for each in (plain, settled))
    assert before.auc_dir == pytest.approx(0.5, abs=0.05)
    assert after.auc_dir > before.auc_dir + 0.2
    assert after.auc_random > before.auc_random - 0.1
    assert after.mrr == pytest.approx(before.mrr)


def test_without_edges_to_weight_fitter_scores_stay_log_probabilities() -> None:
    start, end = (each.numpy() for each in popular_targets(20, 60))
    both = Edges(np.append(start, end), np.append(end, start), np.ones(2 * len(start), np.int64))
    source, target = torch.randn(2, 20, 3).unbind()
    cover = double_cover(torch.from_numpy(both.source), torch.from_numpy(both.target), 20)
    none = both.only(np.zeros(len(both), bool))
    for edges, direction in ((none, 0.75), (both, 1.0)):
        calibration, *_ = calibrate(
            source, target, cover, 1, weight_fitter(edges.ends, both.matrix(20), direction, 1)
        )
        assert torch.equal(calibration.get_buffer("weights"), torch.zeros(2, 6))


def test_a_sample_of_targets_estimates_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "REFERENCE", 1500)
    source, target = 0.3 * torch.randn(4000, 8), torch.randn(4000, 8)
    cover = without_edges(4000)
    one, again, other = (Calibration(target, cover, seed) for seed in (1, 1, 2))
    assert len(one.get_buffer("reference")) == 1500
    assert torch.equal(one.get_buffer("reference"), again.get_buffer("reference"))
    assert not torch.equal(one.get_buffer("reference"), other.get_buffer("reference"))
    calibrated, _ = one(source, target, cover)
    exact = torch.logsumexp(source @ target.T, 1)
    assert (-calibrated[:, -1] - exact).abs().max() < 0.25
    assert (-calibrated[:, -1] - exact).mean().abs() < 0.02
