"""Calibrated vectors: the dot product is the logarithm of a probability, and tells direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.related import calibration
from pipelines.related.calibration import Calibration
from pipelines.related.leading import fit_direction, log_degrees
from pipelines.sampling.blocks import Neighbours, double_cover


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


def test_direction_moves_all_scores_of_a_source_alike() -> None:
    source, target = torch.randn(2, 50, 6).unbind()
    cover = double_cover(*popular_targets(50, 400), 50)
    as_source, as_target = Calibration(target, cover, seed=1, weight=1.5)(source, target, cover)
    moved = as_source @ as_target.T - torch.log_softmax(source @ target.T, 1)
    expected = -1.5 * (log_degrees(cover) @ fit_direction(cover))
    torch.testing.assert_close(moved, expected.unsqueeze(1).expand(50, 50), atol=1e-5, rtol=1e-5)
    assert expected[:10].mean() < expected[-10:].mean() - 1  # what is led to does not lead


def test_direction_is_fitted_as_if_each_edge_were_not_there_yet() -> None:
    source, target = popular_targets(60, 300)
    both = torch.tensor([3]), torch.tensor([40])  # this pair is an edge each way, and tells nothing
    source, target = torch.cat([source, *both]), torch.cat([target, *both[::-1]])
    pairs = sorted(set(zip(source.tolist(), target.tolist(), strict=True)) | {(40, 3)})
    weights = fit_direction(double_cover(*torch.tensor(pairs).T, 60)).double()

    def log_degrees_without(edge: tuple[int, int], product: int) -> list[float]:
        rest = [other for other in pairs if other != edge]
        return [np.log1p(sum(other[end] == product for other in rest)) for end in (1, 0)]

    one_way = [(u, v) for u, v in pairs if (v, u) not in pairs]
    rows = torch.tensor(
        [
            np.subtract(log_degrees_without(edge, edge[1]), log_degrees_without(edge, edge[0])).tolist()
            for edge in one_way
        ],
        dtype=torch.float64,
    )
    # The gradient of the ridge-penalised logistic loss (each edge counted both ways) vanishes at the weights.
    gradient = weights - 2 * (torch.sigmoid(-rows @ weights).unsqueeze(1) * rows).sum(0)
    assert gradient.abs().max() < 0.05
    assert weights[0] > 0.5


def test_without_one_way_edges_direction_is_left_alone() -> None:
    source, target = popular_targets(20, 60)
    cover = double_cover(torch.cat([source, target]), torch.cat([target, source]), 20)
    assert torch.equal(fit_direction(cover), torch.zeros(2))


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
