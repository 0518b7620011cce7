"""The graph layers of the dual-embedding model, on the double cover of the product graph.

A layer does not know the two roles apart: on the double cover (see `pipelines.sampling.blocks.double_cover`) the
neighbours of a source node are target nodes and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.sampling.aggregation import mean_neighbours, sum_neighbours
from pipelines.sampling.blocks import Hop


class PaperLayer(nn.Module):
    """Equations 3 and 4 of MERLIN: FC[Σ_cp h W_cp, Σ_cv h W_cv], sums over the neighbours in the other role.

    The paper names no activation; `FC` is a linear map of the two parts, and the model puts a ReLU between layers.
    Sums and the maps W commute, so neighbours are summed first.

    Args:
        inputs: length of a vector below.
        outputs: length of a vector above.
        relations: names of the edge types, each with a W of its own.
    """

    def __init__(self, inputs: int, outputs: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.weights = nn.ModuleDict({name: nn.Linear(inputs, outputs, bias=False) for name in relations})
        self.combine = nn.Linear(len(relations) * outputs, outputs)

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Vectors above, [rows, outputs], from the neighbours' below, [inputs of the hop, inputs].

        The nodes' own vectors below do not enter: the equations have no such term.
        """
        parts = [weight(sum_neighbours(below, hop.neighbours[name])) for name, weight in self.weights.items()]
        above: Tensor = self.combine(torch.cat(parts, dim=1))
        return above


class ResidualLayer(nn.Module):
    """Adds to a vector what its neighbours say: h + V gelu(norm(W_own h + Σ_r W_r mean_r h)).

    V starts at zero, so that an untrained layer changes nothing and depth costs nothing. A product without
    neighbours keeps a vector of its own content.

    Args:
        width: length of a vector.
        relations: names of the edge types, each with a W of its own.
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
        """Vectors above, [rows, width], from the nodes' own below and their neighbours', [inputs of the hop, width]."""
        hidden = self.own(own)
        for name, weight in self.weights.items():
            hidden = hidden + weight(mean_neighbours(below, hop.neighbours[name]))
        update: Tensor = self.out(functional.gelu(self.norm(hidden)))
        return own + update
