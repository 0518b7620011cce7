"""Twinvec's own model: proximity factors beside the content, refined by one look at the neighbours.

The layer is decoupled from the graph, as in SGC (Wu et al., ICML 2019) and SIGN (Frasca et al., 2020): it reads means
of the neighbours' features, which are not learned. So a step costs the same in a catalogue of any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from twinvec.nn.features import CONTENT_GAIN
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.aggregation import mean_neighbours
from twinvec.nn.sampling.blocks import Hop


class NeighbourLayer(nn.Module):
    """A hidden layer over a node's features and its neighbours' means: M f + V gelu(norm(W x + Σ_r W_r mean_r x)).

    x are all features of a node, f its p proximity factors. M starts at the identity and the first p rows of V at zero,
    so the first p values of an untrained layer are the factors. A node without neighbours has a vector of its own
    features.

    Args:
        content: Length of a product's features.
        proximity: Length of a node's factors, at most `dimension`; 0 if there are none.
        hidden: Length of the hidden layer.
        dimension: Length of an output vector.
        relations: Names of the edge types. Each has its own W.
        factor_dropout: Share of nodes trained without their own factors, because new products have none.
    """

    def __init__(
        self,
        content: int,
        proximity: int,
        hidden: int,
        dimension: int,
        relations: Sequence[str],
        factor_dropout: float,
    ) -> None:
        super().__init__()
        self.factors = slice(content, content + proximity)
        self.factor_dropout = factor_dropout
        width = content + proximity + 1  # the role is the last feature
        self.own = nn.Linear(width, hidden)
        self.weights = nn.ModuleDict({name: nn.Linear(width, hidden, bias=False) for name in relations})
        self.norm = nn.LayerNorm(hidden)
        self.out = nn.Linear(hidden, dimension)
        self.from_factors = nn.Linear(proximity, dimension, bias=False) if proximity else None
        if self.from_factors is not None:
            nn.init.eye_(self.from_factors.weight)
            nn.init.zeros_(self.out.weight[:proximity])
            nn.init.zeros_(self.out.bias[:proximity])

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the output vectors, [rows, dimension].

        Args:
            own: Features of the nodes themselves, [rows, width].
            below: Features of their neighbours, [inputs of the hop, width].
            hop: The neighbours of each node.
        """
        if self.training and self.factor_dropout:
            kept = torch.rand(len(own), 1, device=own.device) >= self.factor_dropout
            own = torch.cat([own[:, : self.factors.start], own[:, self.factors] * kept, own[:, -1:]], dim=1)
        hidden = self.own(own)
        for name, weight in self.weights.items():
            hidden = hidden + weight(mean_neighbours(below, hop.neighbours[name]))
        vectors: Tensor = self.out(functional.gelu(self.norm(hidden)))
        return vectors if self.from_factors is None else vectors + self.from_factors(own[:, self.factors])


class Twinvec(GraphEncoder):
    """Content, proximity factors and the means of both over the neighbours, through one hidden layer.

    Source and target share all weights; the role is a feature. If there are factors, training starts from the
    factorisation.

    Args:
        content, proximity, hidden, dimension, relations, factor_dropout: As in `NeighbourLayer`.

    Example:
        >>> import torch
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.models import Twinvec
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> from twinvec.nn.training.inference import infer_dual
        >>> copurchase = double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4)
        >>> features = Features(content=torch.randn(4, 6), proximity=torch.randn(8, 3))
        >>> model = Twinvec(content=6, proximity=3, hidden=32, dimension=16, relations=["copurchase"])
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
        hidden: int,
        dimension: int,
        relations: Sequence[str],
        factor_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [NeighbourLayer(content, proximity, hidden, dimension, relations, factor_dropout)]
        )

    def start(self, content: Tensor, proximity: Tensor, is_target: Tensor) -> Tensor:
        """Return all features of the nodes, [nodes, c + p + 1].

        Args:
            content: Features of the nodes' products, float32 [nodes, c].
            proximity: Factors of the nodes in their role, float32 [nodes, p].
            is_target: Whether a node is a product as a target, bool [nodes].
        """
        role = is_target.unsqueeze(1).to(content.dtype)
        return torch.cat([CONTENT_GAIN * content, proximity, role], dim=1)
