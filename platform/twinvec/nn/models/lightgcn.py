"""LightGCN (He et al., SIGIR 2020): propagation without weights.

https://arxiv.org/abs/2002.02126. The paper's graph has users and items. Here a product as a source takes the place of
a user and a product as a target that of an item: the double cover of all edges is that bipartite graph. The paper
learns a vector for each node. Here content goes through a linear map of the node's role, so new products have a vector
too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from twinvec.nn.models.content_encoder import ContentEncoder
from twinvec.nn.sampling.aggregation import mean_neighbours
from twinvec.nn.sampling.blocks import Hop


class Propagation(nn.Module):
    """Equation 3, h_u ← Σ_v h_v / √(d_u d_v), in a form that a sample of the neighbours estimates without bias.

    With g = h/√d it is g_u ← mean of its neighbours' g, and h_u = √d_u g_u. A row holds g, the sum of h so far, and √d.
    """

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the output rows, [rows, 2 width + 1].

        Args:
            own: Input rows of the nodes themselves, [rows, 2 width + 1].
            below: Input rows of their neighbours, [inputs of the hop, 2 width + 1].
            hop: The neighbours of each node, by one relation.
        """
        width = below.shape[1] // 2
        (neighbours,) = hop.neighbours.values()
        mean = mean_neighbours(below[:, :width], neighbours)
        total, root = own[:, width : 2 * width], own[:, 2 * width :]
        return torch.cat([mean, total + root * mean, root], dim=1)


class LightGCN(ContentEncoder):
    """The mean of the vectors of all layers, layer 0 included (equation 4 with α_k = 1/(K + 1)).

    Args:
        content: Length of a product's features.
        dimension: Length of an output vector.
        layers: Number of layers.

    Example:
        >>> import torch
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.models import LightGCN
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> from twinvec.nn.training.inference import infer_dual
        >>> edges = double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4)
        >>> root_degrees = edges.degrees().float().sqrt().unsqueeze(1)
        >>> features = Features(content=torch.randn(4, 6), proximity=root_degrees)
        >>> model = LightGCN(content=6, dimension=16, layers=2)
        >>> source, target = infer_dual(model, features, {"edges": edges})
        >>> source.shape, target.shape
        (torch.Size([4, 16]), torch.Size([4, 16]))
    """

    def __init__(self, content: int, dimension: int, layers: int) -> None:
        super().__init__(content, dimension)
        self.layers = nn.ModuleList(Propagation() for _ in range(layers))

    def start(self, content: Tensor, proximity: Tensor, is_target: Tensor) -> Tensor:
        """Return the rows of layer 0, [nodes, 2 dimension + 1]; see `Propagation`.

        Args:
            content: Features of the nodes' products, float32 [nodes, c].
            proximity: Square roots of the nodes' degrees in the whole graph, [nodes, 1].
            is_target: Whether a node is a product as a target, bool [nodes].
        """
        vectors = super().start(content, proximity, is_target)
        return torch.cat([vectors / proximity.clamp_min(1), vectors, proximity.to(vectors.dtype)], dim=1)

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the output rows of layer `index`; of the last layer, the vectors themselves, [rows, dimension]."""
        above = super().step(index, own, below, hop)
        if index + 1 < len(self.layers):
            return above
        width = above.shape[1] // 2
        return above[:, width : 2 * width] / (len(self.layers) + 1)
