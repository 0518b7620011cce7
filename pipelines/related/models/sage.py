"""GraphSAGE (Hamilton, Ying & Leskovec, NeurIPS 2017) with means, on the double cover.

The layers of DGL and PyG take graph objects of theirs; ours takes the two tensors a relation that blocks and exported
models are made of, needs no tensor with a row an edge, and is exported without either library.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.content_encoder import ContentEncoder, softmax_plan
from pipelines.related.plan import Plan
from twinvec.nn.layers.mean import MeanLayer
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings


class SageEncoder(ContentEncoder):
    """Content through a map of the role, then `MeanLayer`s with a ReLU between them.

    Args:
        content: length of a product's features.
        dimension: length of the vectors.
        layers: hops.
        relations: names of the edge types.
    """

    def __init__(self, content: int, dimension: int, layers: int, relations: Sequence[str]) -> None:
        super().__init__(content, dimension)
        self.layers = nn.ModuleList(MeanLayer(dimension, dimension, relations) for _ in range(layers))

    def activation(self, vectors: Tensor) -> Tensor:
        """ReLU between layers."""
        return torch.relu(vectors)


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """The double covers of both kinds of edges."""
    return data.relations(graph, reverse=False)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """GraphSAGE on the content, by a softmax over the co-purchase edges."""
    cover = relations(graph)
    model = SageEncoder(content.shape[1], options.uncalibrated, options.layers, list(cover))
    return softmax_plan(model, graph, content, cover, options.sage, options.calibrate)
