"""LightGCN (He et al., SIGIR 2020): nothing is learned but what the propagation starts from.

Its graph is that of users and items. Here a product as a source is the user and a product as a target the item: the
double cover of all edges, of both kinds, is that bipartite graph. In place of a vector to learn for each node, content
goes through a linear map of the node's role, so that new products have one too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.content_encoder import ContentEncoder, softmax_plan
from pipelines.related.data import EITHER, either
from pipelines.related.plan import Plan
from twinvec.nn.sampling.aggregation import mean_neighbours
from twinvec.nn.sampling.blocks import Hop, Neighbours
from twinvec.settings import RelatedSettings


class Propagation(nn.Module):
    """Equation 3, h_u ← Σ_v h_v / √(d_u d_v), in a form that a sample of the neighbours estimates without bias.

    With g = h/√d it is g_u ← mean of its neighbours' g, and h_u = √d_u g_u. A row has g, the sum of h so far, and √d.
    """

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Rows above, [rows, 2 width + 1], from the nodes' own below and their neighbours'."""
        width = below.shape[1] // 2
        mean = mean_neighbours(below[:, :width], hop.neighbours[EITHER])
        total, root = own[:, width : 2 * width], own[:, 2 * width :]
        return torch.cat([mean, total + root * mean, root], dim=1)


class LightGcnEncoder(ContentEncoder):
    """The mean of the vectors of all layers, the content's included (equation 4 with α_k = 1/(K + 1)).

    Args:
        content: length of a product's features.
        dimension: length of the vectors.
        layers: hops.
    """

    def __init__(self, content: int, dimension: int, layers: int) -> None:
        super().__init__(content, dimension)
        self.layers = nn.ModuleList(Propagation() for _ in range(layers))

    def start(self, content: Tensor, proximity: Tensor, is_target: Tensor) -> Tensor:
        """Rows of layer 0, [nodes, 2 dimension + 1]; see `Propagation`.

        Args:
            content: features of the nodes' products, float32 [nodes, c].
            proximity: roots of the nodes' degrees, [nodes, 1].
            is_target: whether a node is a product as a target, bool [nodes].
        """
        vectors = super().start(content, proximity, is_target)
        return torch.cat([vectors / proximity.clamp_min(1), vectors, proximity.to(vectors.dtype)], dim=1)

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Rows above layer `index`; above the last, the vectors themselves, [rows, dimension]."""
        above = super().step(index, own, below, hop)
        if index + 1 < len(self.layers):
            return above
        width = above.shape[1] // 2
        return above[:, width : 2 * width] / (len(self.layers) + 1)


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """The double cover of all edges, as one kind; direction is calibrated by the degrees in it, too."""
    return {EITHER: either(graph)}


def factors(graph: ProductGraph) -> Tensor:
    """The root of each node's degree, float32 [2n, 1]: of a sample of its neighbours it could not be told."""
    return either(graph).degrees().float().sqrt().unsqueeze(1)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """LightGCN on the content, by a softmax over the co-purchase edges."""
    model = LightGcnEncoder(content.shape[1], options.uncalibrated, options.layers)
    return softmax_plan(
        model, graph, content, relations(graph), options.lightgcn, options.calibrate, factors(graph)
    )
