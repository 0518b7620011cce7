"""What the dual-embedding model reads of a node of the double cover."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Features:
    """Features of n products, and factors of their 2n nodes.

    Attributes:
        content: of each product, float32 [n, c].
        proximity: of each node of the double cover, float32 [2n, p]; p may be 0.
    """

    content: Tensor
    proximity: Tensor

    @property
    def products(self) -> int:
        """How many products there are."""
        return self.content.shape[0]

    @property
    def nodes(self) -> int:
        """Nodes of the double cover."""
        return 2 * self.products

    @property
    def device(self) -> torch.device:
        """Where the features are."""
        return self.content.device

    def of(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Content, factors and role of some nodes: what the encoders' `start` takes."""
        is_target = nodes >= self.products
        # `embedding`, not indexing: on a CPU it is three times as fast.
        content, proximity = (
            functional.embedding(rows, values)
            for rows, values in ((nodes - is_target * self.products, self.content), (nodes, self.proximity))
        )
        return content, proximity, is_target

    def to(self, device: torch.device) -> Features:
        """The same on another device."""
        return Features(self.content.to(device), self.proximity.to(device))
