"""Exact vectors of every node, a layer at a time: no sampling, and no more than two layers in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from twinvec.nn.graph_encoder import GraphEncoder, NodeFeatures
from twinvec.nn.sampling.blocks import Hop, Neighbours


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
    vectors = _together(
        features.nodes,
        chunk,
        lambda first, last: model.start(
            *features.of(torch.arange(first, min(last, features.nodes), device=features.device))
        ),
    )
    for index in range(len(model.layers)):
        vectors = _together(features.nodes, chunk, partial(_above, model, index, vectors, graph))
    return vectors


def _above(
    model: GraphEncoder, index: int, below: Tensor, graph: Mapping[str, Neighbours], first: int, last: int
) -> Tensor:
    return model.step(index, below[first:last], below, _hop(graph, first, last))


def _together(nodes: int, chunk: int, part: Callable[[int, int], Tensor]) -> Tensor:
    """The parts of all nodes, float32 [nodes, width], written where they belong: none is held twice."""
    vectors: Tensor | None = None
    for first in range(0, nodes, chunk):
        values = part(first, first + chunk)
        if vectors is None:
            vectors = values.new_empty((nodes, values.shape[1]), dtype=torch.float32)
        vectors[first : first + chunk] = values
    assert vectors is not None  # a graph has nodes
    return vectors


def _hop(graph: Mapping[str, Neighbours], first: int, last: int) -> Hop:
    return Hop(
        {name: neighbours.part(first, last) for name, neighbours in graph.items()},
        next(iter(graph.values())).rows,
    )
