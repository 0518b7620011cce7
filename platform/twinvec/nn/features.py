"""Input features of the nodes of the double cover."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# Models that learn by a softmax read content at this size. Content has unit length and hundreds of coordinates, each so
# small that it was learned too late. On validation edges, 4 was better than 1, and 16 no better than 4.
CONTENT_GAIN = 4.0


@dataclass(frozen=True)
class Features:
    """Content features of n products, and factors of their 2n nodes.

    Attributes:
        content: Features of each product, float32 [n, c].
        proximity: Factors of each node of the double cover, sources first, float32 [2n, p]; p may be 0.

    Example:
        >>> import torch
        >>> features = Features(content=torch.randn(4, 6), proximity=torch.zeros(8, 0))
        >>> features.products, features.nodes
        (4, 8)
        >>> content, factors, is_target = features.of(torch.tensor([0, 5]))
        >>> content.shape, is_target.tolist()
        (torch.Size([2, 6]), [False, True])
    """

    content: Tensor
    proximity: Tensor

    @property
    def products(self) -> int:
        """Number of products, n."""
        return self.content.shape[0]

    @property
    def nodes(self) -> int:
        """Number of nodes of the double cover, 2n."""
        return 2 * self.products

    @property
    def device(self) -> torch.device:
        """Device of the features."""
        return self.content.device

    def of(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the arguments of the encoders' `start` for some nodes, int64 [nodes].

        Returns:
            Content float32 [nodes, c], factors float32 [nodes, p], and whether each is a target, bool [nodes].
        """
        is_target = nodes >= self.products
        # `embedding`, not indexing: on a CPU it is three times as fast.
        content, proximity = (
            functional.embedding(rows, values)
            for rows, values in ((nodes - is_target * self.products, self.content), (nodes, self.proximity))
        )
        return content, proximity, is_target

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Features:
        """Return the features on another device, or in another type."""
        return Features(self.content.to(device, dtype), self.proximity.to(device, dtype))
