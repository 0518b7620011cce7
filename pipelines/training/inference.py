"""Exact vectors of every node, a layer at a time: no sampling, and no more than two layers in memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pipelines.sampling.blocks import Hop, Neighbours
from pipelines.training.encoder import GraphEncoder, NodeFeatures


@torch.inference_mode()
def infer(
    model: GraphEncoder, features: NodeFeatures, graph: Mapping[str, Neighbours], chunk: int = 65_536
) -> Tensor:
    """Vectors of all nodes over all their neighbours.

    Each layer is computed for all nodes before the next, `chunk` nodes at a time, so that nothing is
    computed twice, as it is when every node's neighbourhood is sampled.

    Args:
        model: the encoder, left in evaluation mode.
        features: of all nodes.
        graph: relation → neighbours of all nodes, on the features' device.
        chunk: nodes worked on at once.

    Returns:
        float32 [nodes, width], on the features' device.
    """
    model.eval()
    every = torch.arange(features.nodes, device=features.device)
    vectors = torch.cat([model.start(*features.of(part)).float() for part in torch.split(every, chunk)])
    for index in range(len(model.layers)):
        parts = [
            model.step(
                index, vectors[first : first + chunk], vectors, _hop(graph, first, first + chunk)
            ).float()
            for first in range(0, features.nodes, chunk)
        ]
        vectors = torch.cat(parts)
    return vectors


def _hop(graph: Mapping[str, Neighbours], first: int, last: int) -> Hop:
    return Hop(
        {name: neighbours.part(first, last) for name, neighbours in graph.items()},
        next(iter(graph.values())).rows,
    )
