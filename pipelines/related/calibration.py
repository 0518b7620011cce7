"""Scores that mean the same whoever asks: the logarithm of a probability, as a dot product still.

A softmax fixes the scores of one source up to a constant, so that those of two sources cannot be compared: not
between an edge and its reverse, nor by a threshold. With one more coordinate, −log Σ_v exp(s_u·t_v) in the source
vector and 1 in every target vector, the dot product is log p(v | u). The order of one source's targets stays.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

REFERENCE = 4096


class Calibration(nn.Module):
    """Adds the coordinate to source and target vectors, by a fixed sample of targets.

    Args:
        target: target vectors of all products, float32 [n, d].
        seed: of the sample; with no more than 4,096 products it is all of them.
    """

    def __init__(self, target: Tensor, seed: int) -> None:
        super().__init__()
        products = len(target)
        chosen = torch.randperm(products, generator=torch.Generator().manual_seed(seed))[:REFERENCE]
        self.register_buffer("reference", target[chosen.to(target.device)].clone())
        self.log_share = math.log(products / len(chosen))

    def forward(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Source and target vectors with one coordinate more, [n, d + 1] each."""
        reference: Tensor = self.get_buffer("reference")
        log_total = torch.logsumexp(source @ reference.T, dim=1, keepdim=True) + self.log_share
        return torch.cat([source, -log_total], dim=1), torch.cat([target, torch.ones_like(log_total)], dim=1)
