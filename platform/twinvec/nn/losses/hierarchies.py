"""Losses over labels of several levels that HRMS is compared with.

This module is not imported by `twinvec.nn.losses`: pytorch-metric-learning takes seconds to import.
"""

from __future__ import annotations

import math

from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor, nn


class OneLevel(nn.Module):
    """A loss of pytorch-metric-learning that reads one level of the labels, with a miner if it has one.

    Args:
        loss: A loss of the library.
        miner: A miner of the library, or None.
        level: Column of the labels.
    """

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None, level: int = 0) -> None:
        super().__init__()
        self.loss, self.miner, self.level = loss, miner, level

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of vectors [n, d] with labels [n, levels]."""
        groups = labels[:, self.level]
        pairs = self.miner(embeddings, groups) if self.miner is not None else None
        value: Tensor = self.loss(embeddings, groups, pairs)
        return value


class HiMulConLoss(nn.Module):
    """Hierarchical multi-label contrastive loss, HiMulCon (Zhang et al., CVPR 2022, equation 4).

    The supervised contrastive loss of each level, weighted by exp(1/l), where l counts levels from the finest, 1, and
    divided by the number of levels.

    Args:
        levels: Number of levels, the finest first.
        temperature: τ.

    Example:
        >>> import torch
        >>> loss = HiMulConLoss(levels=2)
        >>> loss(torch.eye(4), torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])).shape
        torch.Size([])
    """

    def __init__(self, levels: int, temperature: float = 0.1) -> None:
        super().__init__()
        self.levels = levels
        self.contrastive = SupConLoss(temperature)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of vectors [n, d] with labels [n, levels], a scalar."""
        total = embeddings.new_zeros(())
        for level in range(self.levels):
            total = total + math.exp(1 / (level + 1)) * self.contrastive(embeddings, labels[:, level])
        return total / self.levels
