"""A graph layer that more than one model has."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from twinvec.nn.sampling.aggregation import mean_neighbours
from twinvec.nn.sampling.blocks import Hop


class MeanLayer(nn.Module):
    """W h_u + b + Σ_r W_r mean_{v ∈ N_r(u)} h_v: GraphSAGE's with means, a map for each kind of edge.

    Algorithm 1 of GraphSAGE, lines 4 and 5: W [own, neighbours] is a sum of two maps. The encoder puts the nonlinearity
    between layers; line 7, which makes all vectors as long as each other, is left out, as scores need their lengths.

    Args:
        inputs: length of a vector below.
        outputs: length of a vector above.
        relations: names of the edge types, each with a W of its own.
    """

    def __init__(self, inputs: int, outputs: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.weights = nn.ModuleDict({name: nn.Linear(inputs, outputs, bias=False) for name in relations})

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Vectors above, [rows, outputs].

        Args:
            own: vectors below of the nodes themselves, [rows, inputs].
            below: those of their neighbours, [inputs of the hop, inputs].
            hop: which of them each node has.
        """
        above: Tensor = self.own(own)
        for name, weight in self.weights.items():
            above = above + weight(mean_neighbours(below, hop.neighbours[name]))
        return above
