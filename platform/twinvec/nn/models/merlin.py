"""MERLIN as published: source and target vectors by sums over neighbours (Section 3.6).

"MERLIN: Multimodal & Multilingual Embedding for Recommendations at Large-scale via Item Associations", CIKM 2024.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.aggregation import sum_neighbours
from twinvec.nn.sampling.blocks import Hop


class MERLINLayer(nn.Module):
    """Equations 3 and 4 of MERLIN: FC[Σ_cp h W_cp, Σ_cv h W_cv], sums over the neighbours in the other role.

    The layer does not distinguish the two roles: on the double cover (`twinvec.nn.sampling.blocks.double_cover`) the
    neighbours of a source node are target nodes, and the other way round.

    The paper names no activation. `FC` is a linear map of the concatenated sums, and the model applies a ReLU between
    layers. A sum and a linear map commute, so neighbours are summed first, and W and `FC` are one map: half the work.

    Args:
        inputs: Length of an input vector.
        outputs: Length of an output vector.
        relations: Names of the edge types. Each has its own W.
    """

    def __init__(self, inputs: int, outputs: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.weights = nn.ModuleDict({name: nn.Linear(inputs, outputs, bias=False) for name in relations})
        self.combine = nn.Linear(len(relations) * outputs, outputs)

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the output vectors, [rows, outputs].

        Args:
            own: Input vectors of the nodes themselves, [rows, inputs]. Not used: the equations have no such term.
            below: Input vectors of their neighbours, [inputs of the hop, inputs].
            hop: The neighbours of each node.
        """
        combine = self.combine.weight.chunk(len(self.weights), dim=1)
        above: Tensor = self.combine.bias
        for (name, weight), part in zip(self.weights.items(), combine, strict=True):
            both = part @ weight.get_parameter("weight")
            above = torch.addmm(above, sum_neighbours(below, hop.neighbours[name]), both.T)
        return above


class MERLIN(GraphEncoder):
    """MERLIN as published (3.6): h⁰ = X for source and target, then equations 3 and 4, with a ReLU between layers.

    Args:
        content: Length of a product's features.
        dimension: Length of an output vector.
        layers: Number of layers; 2 in the paper (4.1.3).
        relations: Names of the edge types.

    Example:
        >>> import torch
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.models import MERLIN
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> from twinvec.nn.training.inference import infer_dual
        >>> copurchase = double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4)
        >>> features = Features(content=torch.randn(4, 6), proximity=torch.zeros(8, 0))
        >>> model = MERLIN(content=6, dimension=16, layers=2, relations=["copurchase"])
        >>> source, target = infer_dual(model, features, {"copurchase": copurchase})
        >>> source.shape, target.shape
        (torch.Size([4, 16]), torch.Size([4, 16]))
    """

    def __init__(self, content: int, dimension: int, layers: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MERLINLayer(content if index == 0 else dimension, dimension, relations) for index in range(layers)
        )

    def activation(self, vectors: Tensor) -> Tensor:
        """Apply a ReLU, in place."""
        return vectors.relu_()
