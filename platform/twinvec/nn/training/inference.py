"""Exact vectors of every node, a layer at a time: no sampling, and at most two layers in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder, NodeFeatures
from twinvec.nn.sampling.blocks import Hop, Neighbours


@torch.inference_mode()
def infer(
    model: GraphEncoder, features: NodeFeatures, graph: Mapping[str, Neighbours], chunk: int = 65_536
) -> Tensor:
    """Return the vectors of all nodes over all their neighbours.

    Each layer is computed for all nodes before the next, `chunk` nodes at a time. So nothing is computed twice, as it
    is when every node's neighbourhood is sampled.

    Args:
        model: The encoder. It is left in evaluation mode.
        features: Features of all nodes.
        graph: Relation → neighbours of all nodes, on the features' device.
        chunk: Nodes computed at once.

    Returns:
        float32 [nodes, width], on the features' device.
    """
    model.eval()
    vectors = _in_chunks(
        features.nodes,
        chunk,
        lambda first, last: model.start(
            *features.of(torch.arange(first, min(last, features.nodes), device=features.device))
        ),
    )
    for index in range(len(model.layers)):
        vectors = _in_chunks(features.nodes, chunk, partial(_layer, model, index, vectors, graph))
    return vectors


def infer_dual(
    model: GraphEncoder, features: Features, graph: Mapping[str, Neighbours], chunk: int = 65_536
) -> tuple[Tensor, Tensor]:
    """Return the source and the target vectors of all n products, float32 [n, dimension] each; see `infer`.

    Args:
        model: The encoder. It is left in evaluation mode.
        features: Features of the n products and factors of their 2n nodes.
        graph: Relation → neighbours of the 2n nodes of the double cover, on the features' device.
        chunk: Nodes computed at once.

    Example:
        >>> import torch
        >>> from twinvec.nn.models import GraphSAGE
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> graph = {"copurchase": double_cover(torch.tensor([0, 0]), torch.tensor([1, 2]), products=3)}
        >>> model = GraphSAGE(content=6, dimension=16, layers=2, relations=list(graph))
        >>> source, target = infer_dual(model, Features(torch.randn(3, 6), torch.zeros(6, 0)), graph)
        >>> source.shape, target.shape
        (torch.Size([3, 16]), torch.Size([3, 16]))
    """
    vectors = infer(model, features, graph, chunk)
    return vectors[: features.products], vectors[features.products :]


def _layer(
    model: GraphEncoder, index: int, below: Tensor, graph: Mapping[str, Neighbours], first: int, last: int
) -> Tensor:
    return model.step(index, below[first:last], below, _hop(graph, first, last))


def _in_chunks(nodes: int, chunk: int, part: Callable[[int, int], Tensor]) -> Tensor:
    """Return the parts of all nodes as one tensor, float32 [nodes, width]. Each part is copied once."""
    vectors: Tensor | None = None
    for first in range(0, nodes, chunk):
        values = part(first, first + chunk)
        if vectors is None:
            vectors = values.new_empty((nodes, values.shape[1]), dtype=torch.float32)
        vectors[first : first + chunk] = values
    assert vectors is not None  # A graph has nodes.
    return vectors


def _hop(graph: Mapping[str, Neighbours], first: int, last: int) -> Hop:
    return Hop(
        {name: neighbours.part(first, last) for name, neighbours in graph.items()},
        next(iter(graph.values())).rows,
    )
