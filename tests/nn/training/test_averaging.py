"""The running average of weights, beside its definition."""

from __future__ import annotations

import torch
from torch import nn

from twinvec.nn.training.averaging import RunningAverage


def test_the_average_of_weights_and_the_last_buffers() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    average, share = RunningAverage(model, 0.5), 0.5
    layer = model[0]
    assert isinstance(layer, nn.Linear)
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for step in range(30):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter))
        model(torch.randn(8, 4))
        average.update(model)
        kept = min(share, (1 + step) / (10 + step)) if step else 0.0
        expected = kept * expected + (1 - kept) * layer.weight.double()
    torch.testing.assert_close(average.model[0].weight.double(), expected, rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(average.model.buffers(), model.buffers(), strict=True):
        assert torch.equal(mine, theirs)
    assert model[1].num_batches_tracked == 30
