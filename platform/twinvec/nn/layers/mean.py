"""The mean-aggregation layer of GraphSAGE and DAEMON."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from twinvec.nn.sampling.aggregation import mean_neighbours
from twinvec.nn.sampling.blocks import Hop


class MeanLayer(nn.Module):
    """W h_u + b + Σ_r W_r mean_{v ∈ N_r(u)} h_v: GraphSAGE's mean aggregator with a map for each relation.

    Algorithm 1 of GraphSAGE, lines 4 and 5: W [own, neighbours] is a sum of two maps. The encoder applies the
    nonlinearity between layers. Line 7, which normalises all vectors, is left out, because scores need their lengths.

    Args:
        inputs: Length of an input vector.
        outputs: Length of an output vector.
        relations: Names of the edge types. Each has its own W.

    Example:
        >>> import torch
        >>> from twinvec.nn.sampling.blocks import from_edges
        >>> neighbours = from_edges(torch.tensor([0, 0]), torch.tensor([1, 2]), count=3)
        >>> layer, vectors = MeanLayer(inputs=6, outputs=16, relations=["edges"]), torch.randn(3, 6)
        >>> layer(vectors, vectors, Hop({"edges": neighbours}, inputs=3)).shape
        torch.Size([3, 16])
    """

    def __init__(self, inputs: int, outputs: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.weights = nn.ModuleDict({name: nn.Linear(inputs, outputs, bias=False) for name in relations})

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the output vectors, [rows, outputs].

        Args:
            own: Input vectors of the nodes themselves, [rows, inputs].
            below: Input vectors of their neighbours, [inputs of the hop, inputs].
            hop: The neighbours of each node.
        """
        above: Tensor = self.own(own)
        for name, weight in self.weights.items():
            above = above + weight(mean_neighbours(below, hop.neighbours[name]))
        return above
