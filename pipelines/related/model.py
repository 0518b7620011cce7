"""The two recipes of the dual-embedding model: features and a block of the double cover in, vectors out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipelines.related.layers import PaperLayer, ResidualLayer
from pipelines.sampling.blocks import Hop
from pipelines.training.encoder import GraphEncoder


class PaperEncoder(GraphEncoder):
    """MERLIN as published: h⁰ = X, then equations 3 and 4, with a ReLU between layers.

    Args:
        content: length of a product's features.
        dimension: length of the vectors.
        layers: hops.
        relations: names of the edge types.
    """

    def __init__(self, content: int, dimension: int, layers: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            PaperLayer(content if index == 0 else dimension, dimension, relations) for index in range(layers)
        )

    def start(self, content: Tensor, proximity: Tensor, is_target: Tensor) -> Tensor:
        """The features as they are: source and target start alike.

        Args:
            content: features of the nodes' products, float32 [nodes, c].
            proximity: not used.
            is_target: not used.
        """
        return content

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Equations 3 and 4 of layer `index`."""
        return super().step(index, own, torch.relu(below) if index else below, hop)


class TwinvecEncoder(GraphEncoder):
    """Twinvec's own recipe: content and proximity factors, refined by residual layers.

    Source and target share the layers, as in the paper, but enter them through maps of their own. Where there are
    factors, the map of the content starts at zero and theirs at one: training starts from the factorisation.

    Args:
        content: length of a product's features.
        proximity: length of the factors, at most `dimension`.
        dimension: length of the vectors.
        layers: hops.
        relations: names of the edge types.
        factor_dropout: share of nodes that are trained without their factors, as new products have none.
    """

    def __init__(
        self,
        content: int,
        proximity: int,
        dimension: int,
        layers: int,
        relations: Sequence[str],
        factor_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.factor_dropout = factor_dropout
        self.from_content = nn.Linear(content, 2 * dimension)
        self.from_proximity = nn.Linear(proximity, 2 * dimension, bias=False)
        self.layers = nn.ModuleList(ResidualLayer(dimension, relations) for _ in range(layers))
        if proximity:
            nn.init.zeros_(self.from_content.weight)
            nn.init.zeros_(self.from_content.bias)
            with torch.no_grad():
                self.from_proximity.weight.copy_(torch.eye(dimension, proximity).repeat(2, 1))

    def start(self, content: Tensor, proximity: Tensor, is_target: Tensor) -> Tensor:
        """Content and factors through the maps of the node's role, [nodes, dimension].

        Args:
            content: features of the nodes' products, float32 [nodes, c].
            proximity: factors of the nodes in their role, float32 [nodes, p].
            is_target: whether a node is a product as a target, bool [nodes].
        """
        if self.training and self.factor_dropout:
            kept = torch.rand(len(proximity), 1, device=proximity.device) >= self.factor_dropout
            proximity = proximity * kept
        as_source, as_target = (self.from_content(content) + self.from_proximity(proximity)).chunk(2, dim=1)
        return torch.where(is_target.unsqueeze(1), as_target, as_source)
