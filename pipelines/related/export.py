"""The dual-embedding model as a function of plain tensors, to be kept in MLflow and run without our code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipelines.related.features import Features
from pipelines.sampling.blocks import Hop, Neighbours
from pipelines.training.encoder import GraphEncoder


class FullGraph(nn.Module):
    """Source and target vectors of all n products, from their features and the whole graph.

    Args:
        encoder: the trained model.
        relations: names of the edge types, in the order in which their tensors are given.
    """

    def __init__(self, encoder: GraphEncoder, relations: Sequence[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self.relations = tuple(relations)

    def forward(self, content: Tensor, proximity: Tensor, *graph: Tensor) -> tuple[Tensor, Tensor]:
        """Source and target vectors, float32 [n, dimension] each.

        Args:
            content: float32 [n, c].
            proximity: factors of the 2n nodes of the double cover, sources first, float32 [2n, p].
            graph: for each relation, offsets int64 [2n + 1] and positions int64 [edges] of the nodes' neighbours.
        """
        is_target = torch.arange(proximity.shape[0], device=content.device) >= content.shape[0]
        vectors = self.encoder.start(torch.cat([content, content]), proximity, is_target)
        parts = {
            name: Neighbours(graph[2 * place], graph[2 * place + 1])
            for place, name in enumerate(self.relations)
        }
        hop = Hop(parts, proximity.shape[0])
        for index in range(len(self.encoder.layers)):
            vectors = self.encoder.step(index, vectors, vectors, hop)
        return vectors[: content.shape[0]], vectors[content.shape[0] :]


def full_graph_inputs(features: Features, graph: Mapping[str, Neighbours]) -> dict[str, Tensor]:
    """The arguments of `FullGraph.forward` by name, in order."""
    inputs = {"content": features.content, "proximity": features.proximity}
    for name, neighbours in graph.items():
        inputs[f"{name}_offsets"] = neighbours.offsets
        inputs[f"{name}_positions"] = neighbours.positions
    return inputs
