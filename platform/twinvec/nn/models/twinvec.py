"""Twinvec's own model: proximity factors beside the content, refined by residual graph layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.aggregation import mean_neighbours
from twinvec.nn.sampling.blocks import Hop


class ResidualLayer(nn.Module):
    """A residual update from the neighbours: h + V gelu(norm(W_own h + Σ_r W_r mean_r h)).

    V starts at zero, so an untrained layer changes nothing. A product without neighbours keeps a vector of its own
    content.

    Args:
        width: Length of a vector.
        relations: Names of the edge types. Each has its own W.
    """

    def __init__(self, width: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.weights = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in relations})
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the output vectors, [rows, width].

        Args:
            own: Input vectors of the nodes themselves, [rows, width].
            below: Input vectors of their neighbours, [inputs of the hop, width].
            hop: The neighbours of each node.
        """
        hidden = self.own(own)
        for name, weight in self.weights.items():
            hidden = hidden + weight(mean_neighbours(below, hop.neighbours[name]))
        update: Tensor = self.out(functional.gelu(self.norm(hidden)))
        return own + update


class Twinvec(GraphEncoder):
    """Content and proximity factors through linear maps, then residual layers.

    Source and target share the layers, as in MERLIN, but have separate input maps. If there are factors, the content
    map starts at zero and the factor map at the identity: training starts from the factorisation.

    Args:
        content: Length of a product's features.
        proximity: Length of a node's factors, at most `dimension`; 0 if there are none.
        dimension: Length of an output vector.
        layers: Number of layers.
        relations: Names of the edge types.
        factor_dropout: Share of nodes trained without their factors, because new products have none.

    Example:
        >>> import torch
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.models import Twinvec
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> from twinvec.nn.training.inference import infer_dual
        >>> copurchase = double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4)
        >>> features = Features(content=torch.randn(4, 6), proximity=torch.randn(8, 3))
        >>> model = Twinvec(content=6, proximity=3, dimension=16, layers=2, relations=["copurchase"])
        >>> source, target = infer_dual(model, features, {"copurchase": copurchase})
        >>> source.shape, target.shape
        (torch.Size([4, 16]), torch.Size([4, 16]))
        >>> torch.equal(source[:, :3], features.proximity[:4])  # untrained: the factors themselves
        True
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
        """Return the vectors of layer 0, [nodes, dimension].

        Args:
            content: Features of the nodes' products, float32 [nodes, c].
            proximity: Factors of the nodes in their role, float32 [nodes, p].
            is_target: Whether a node is a product as a target, bool [nodes].
        """
        if self.training and self.factor_dropout:
            kept = torch.rand(len(proximity), 1, device=proximity.device) >= self.factor_dropout
            proximity = proximity * kept
        as_source, as_target = (self.from_content(content) + self.from_proximity(proximity)).chunk(2, dim=1)
        return torch.where(is_target.unsqueeze(1), as_target, as_source)
