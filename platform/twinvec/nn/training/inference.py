"""Exact vectors of every node, a layer at a time: no sampling, and at most two layers in memory.

Of a model with one layer, only the outputs are kept of all nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder, NodeFeatures
from twinvec.nn.sampling.blocks import Hop, Neighbours

# Nodes computed at once. On a CPU, more take as long and more memory.
CPU_CHUNK, GPU_CHUNK = 2_048, 8_192
# Edges of these nodes, about. The most popular products have so many neighbours that fewer nodes are taken.
MOST_EDGES = 2**18


@torch.inference_mode()
def infer(
    model: GraphEncoder, features: NodeFeatures, graph: Mapping[str, Neighbours], chunk: int | None = None
) -> Tensor:
    """Return the vectors of all nodes over all their neighbours.

    Each layer is computed for all nodes before the next, `chunk` nodes at a time. So nothing is computed twice, as it
    is when every node's neighbourhood is sampled. A single layer reads features, which are gathered for each chunk:
    those of all nodes would take more memory than all else.

    Args:
        model: The encoder. It is left in evaluation mode.
        features: Features of all nodes.
        graph: Relation → neighbours of all nodes, on the features' device.
        chunk: Nodes computed at once, or fewer of many neighbours; what suits the device if not given.

    Returns:
        float32 [nodes, width], on the features' device.
    """
    model.eval()
    chunk = chunk or (CPU_CHUNK if features.device.type == "cpu" else GPU_CHUNK)

    def start(nodes: Tensor) -> Tensor:
        return model.start(*features.of(nodes))

    def start_of(first: int, last: int) -> Tensor:
        return start(torch.arange(first, min(last, features.nodes), device=features.device))

    def only_layer(first: int, last: int) -> Tensor:
        nodes, hop = _gathered(_hop(graph, first, last))
        return model.step(0, start_of(first, last), start(nodes), hop)

    if len(model.layers) == 1:
        return _in_chunks(features.nodes, _by_edges(graph, chunk), only_layer)
    chunks = [(first, first + chunk) for first in range(0, features.nodes, chunk)]
    vectors = _in_chunks(features.nodes, chunks, start_of)
    for index in range(len(model.layers)):
        vectors = _in_chunks(features.nodes, chunks, partial(_layer, model, index, vectors, graph))
    return vectors


def infer_dual(
    model: GraphEncoder, features: Features, graph: Mapping[str, Neighbours], chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the source and the target vectors of all n products, float32 [n, dimension] each; see `infer`.

    Args:
        model: The encoder. It is left in evaluation mode.
        features: Features of the n products and factors of their 2n nodes.
        graph: Relation → neighbours of the 2n nodes of the double cover, on the features' device.
        chunk: As in `infer`.

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


def _by_edges(graph: Mapping[str, Neighbours], chunk: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last node of chunks: of at most `chunk` nodes, and of `MOST_EDGES` edges or one node."""
    ends = np.sum([neighbours.offsets.cpu().numpy() for neighbours in graph.values()], axis=0)
    first, nodes = 0, len(ends) - 1
    while first < nodes:
        full = int(np.searchsorted(ends, ends[first] + MOST_EDGES, side="right")) - 1
        last = min(first + chunk, max(full, first + 1), nodes)
        yield first, last
        first = last


def _in_chunks(nodes: int, chunks: Iterable[tuple[int, int]], part: Callable[[int, int], Tensor]) -> Tensor:
    """Return the parts of all nodes as one tensor, float32 [nodes, width]. Each part is copied once."""
    vectors: Tensor | None = None
    for first, last in chunks:
        values = part(first, last)
        if vectors is None:
            vectors = values.new_empty((nodes, values.shape[1]), dtype=torch.float32)
        vectors[first:last] = values
    assert vectors is not None  # A graph has nodes.
    return vectors


def _hop(graph: Mapping[str, Neighbours], first: int, last: int) -> Hop:
    return Hop(
        {name: neighbours.part(first, last) for name, neighbours in graph.items()},
        next(iter(graph.values())).rows,
    )


def _gathered(hop: Hop) -> tuple[Tensor, Hop]:
    """Return the nodes that are neighbours in a hop, int64 [distinct], and the hop with positions among these."""
    parts = list(hop.neighbours.values())
    nodes, places = torch.unique(torch.cat([part.positions for part in parts]), return_inverse=True)
    split = places.split([len(part.positions) for part in parts])
    neighbours = {
        name: Neighbours(part.offsets, some)
        for (name, part), some in zip(hop.neighbours.items(), split, strict=True)
    }
    return nodes, Hop(neighbours, len(nodes))
