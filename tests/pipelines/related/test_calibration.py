"""Calibrated vectors: the dot product is the logarithm of a probability."""

from __future__ import annotations

import pytest
import torch

from pipelines.related import calibration
from pipelines.related.calibration import Calibration


def test_scores_are_log_probabilities_and_the_order_stays() -> None:
    source, target = torch.randn(2, 37, 6).unbind()
    as_source, as_target = Calibration(target, seed=1)(source, target)
    found = as_source @ as_target.T
    torch.testing.assert_close(found, torch.log_softmax(source @ target.T, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(37))
    assert torch.equal(found.argsort(1), (source @ target.T).argsort(1))


def test_a_sample_of_targets_estimates_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "REFERENCE", 1500)
    source, target = 0.3 * torch.randn(4000, 8), torch.randn(4000, 8)
    one, again, other = (Calibration(target, seed) for seed in (1, 1, 2))
    assert len(one.get_buffer("reference")) == 1500
    assert torch.equal(one.get_buffer("reference"), again.get_buffer("reference"))
    assert not torch.equal(one.get_buffer("reference"), other.get_buffer("reference"))
    calibrated, _ = one(source, target)
    exact = torch.logsumexp(source @ target.T, 1)
    assert (-calibrated[:, -1] - exact).abs().max() < 0.25
    assert (-calibrated[:, -1] - exact).mean().abs() < 0.02
