"""A linear map of the content for each role: layer 0 of GraphSAGE, GAT and LightGCN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from twinvec.nn.features import CONTENT_GAIN
from twinvec.nn.graph_encoder import GraphEncoder


class ContentEncoder(GraphEncoder):
    """Content through a linear map of the node's role. A subclass adds the layers.

    The layers of its subclasses were published for graphs without roles. On the double cover a node's neighbours are
    in the other role, so the layers need no change. The two maps distinguish the roles of a product without edges.

    Args:
        content: Length of a product's features.
        width: Length of a vector of layer 0.

    Example:
        >>> import torch
        >>> encoder = ContentEncoder(content=6, width=8)
        >>> is_target = torch.tensor([False, False, True])
        >>> encoder.start(torch.randn(3, 6), torch.zeros(3, 0), is_target).shape
        torch.Size([3, 8])
    """

    def __init__(self, content: int, width: int) -> None:
        super().__init__()
        self.from_content = nn.Linear(content, 2 * width)

    def start(self, content: Tensor, proximity: Tensor, is_target: Tensor) -> Tensor:
        """Return the vectors of layer 0, [nodes, width].

        Args:
            content: Features of the nodes' products, float32 [nodes, c].
            proximity: Not used.
            is_target: Whether a node is a product as a target, bool [nodes].
        """
        as_source, as_target = self.from_content(CONTENT_GAIN * content).chunk(2, dim=1)
        return torch.where(is_target.unsqueeze(1), as_target, as_source)
