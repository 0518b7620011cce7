"""Scores that mean the same whoever asks, as a dot product still.

A softmax fixes the scores of one source up to a constant, so that those of two sources cannot be compared: not
between an edge and its reverse, nor by a threshold. With one more coordinate, d_u − log Σ_v exp(s_u·t_v) in the source
vector and 1 in every target vector, the dot product is log p(v | u) + d_u. d_u are the log-odds, by its degrees, that
an edge leads away from u rather than to it (`pipelines.related.leading`), times a weight. The order of one source's
targets stays.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipelines.related.leading import fit_direction, log_degrees
from pipelines.sampling.blocks import Neighbours

REFERENCE = 4096


class Calibration(nn.Module):
    """Adds the coordinate to source and target vectors, by a fixed sample of targets.

    Args:
        target: target vectors of all products, float32 [n, d].
        cover: double cover of the edges that are predicted, 2n nodes, sources first, on the same device.
        seed: of the sample; with no more than 4,096 products it is all of them.
        weight: of the log-odds of direction. Over one, since scores that are compared differ in nearness as well.
    """

    def __init__(self, target: Tensor, cover: Neighbours, seed: int, weight: float = 1.0) -> None:
        super().__init__()
        products = len(target)
        chosen = torch.randperm(products, generator=torch.Generator().manual_seed(seed))[:REFERENCE]
        self.register_buffer("reference", target[chosen.to(target.device)].clone())
        self.register_buffer("direction", weight * fit_direction(cover).to(target.device))
        self.log_share = math.log(products / len(chosen))

    def forward(self, source: Tensor, target: Tensor, cover: Neighbours) -> tuple[Tensor, Tensor]:
        """Source and target vectors with one coordinate more, [n, d + 1] each.

        Args:
            source, target: float32 [n, d].
            cover: of the same n products.
        """
        log_total = torch.logsumexp(source @ self.get_buffer("reference").T, dim=1) + self.log_share
        leads = -(log_degrees(cover) @ self.get_buffer("direction"))
        return (
            torch.cat([source, (leads - log_total).unsqueeze(1)], dim=1),
            torch.cat([target, torch.ones_like(log_total).unsqueeze(1)], dim=1),
        )
