"""The interfaces of the training loop and of inference: a graph encoder, and features of nodes."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from twinvec.nn.sampling.blocks import Hop


class GraphEncoder(nn.Module):
    """Base class of models that compute a vector of each node from its features and neighbourhood, a layer at a time.

    A subclass sets `layers`; each is called as `layer(own, below, hop)`. It overrides `start` unless the vectors of
    layer 0 are the first feature as it is.

    Example:
        >>> import torch
        >>> from twinvec.nn.layers.mean import MeanLayer
        >>> from twinvec.nn.sampling.blocks import from_edges
        >>> from twinvec.nn.sampling.csr import CsrSampler
        >>> class Encoder(GraphEncoder):
        ...     def __init__(self) -> None:
        ...         super().__init__()
        ...         self.layers = nn.ModuleList([MeanLayer(6, 16, ["edges"])])
        >>> graph = {"edges": from_edges(torch.tensor([0, 1]), torch.tensor([1, 0]), count=3)}
        >>> block = CsrSampler(graph, fanouts={"edges": 5}, hops=1).sample(torch.tensor([0, 2]))
        >>> Encoder()(torch.randn(len(block.nodes), 6), block).shape
        torch.Size([2, 16])
    """

    layers: nn.ModuleList

    def start(self, content: Tensor, /, *args: Any, **kwargs: Any) -> Tensor:
        """Return the vectors of layer 0, [nodes, width], from what `NodeFeatures.of` returns for some nodes.

        The default returns the first feature as it is.
        """
        return content

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the output vectors of layer `index`, [rows, width].

        Args:
            index: Number of the layer, from 0.
            own: Input vectors of the nodes themselves, [rows, width].
            below: Input vectors of their neighbours, [inputs of the hop, width].
            hop: The neighbours of each node, as positions in `below`.
        """
        above: Tensor = self.layers[index](own, below, hop)
        return self.activation(above) if index + 1 < len(self.layers) else above

    def activation(self, vectors: Tensor) -> Tensor:
        """Apply the nonlinearity between two layers. The default is the identity."""
        return vectors

    def forward(self, *inputs: Any) -> Tensor:
        """Return the vectors of a block's seeds, [seeds, width].

        Args:
            inputs: The features of `block.nodes`, as `start` takes them, then the block.
        """
        *features, block = inputs
        vectors = self.start(*features)
        for index, hop in enumerate(block.hops):
            vectors = self.step(index, vectors[: hop.rows], vectors, hop)
        return vectors


class NodeFeatures(Protocol):
    """Features of all nodes of a graph."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        ...

    @property
    def device(self) -> torch.device:
        """Device of the features."""
        ...

    def of(self, nodes: Tensor) -> tuple[Tensor, ...]:
        """Return the features of some nodes, int64 [nodes]: the arguments of `GraphEncoder.start`."""
        ...
