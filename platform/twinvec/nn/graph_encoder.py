"""What the training loop and the inference ask of a model and of its features."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from twinvec.nn.sampling.blocks import Hop


class GraphEncoder(nn.Module):
    """Gives each node of a graph a vector from its features and its neighbourhood, a layer at a time.

    A subclass has `layers`, called as `layer(own, below, hop)`, and says what the vectors of layer 0 are unless they
    are a node's first feature as it is.
    """

    layers: nn.ModuleList

    def start(self, content: Tensor, /, *args: Any, **kwargs: Any) -> Tensor:
        """Vectors of layer 0, [nodes, width], of what `NodeFeatures.of` gives for some nodes: the first, as it is."""
        return content

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Vectors above layer `index`, [rows, width].

        Args:
            index: of the layer, from 0.
            own: vectors below of the nodes that get one above, [rows, width].
            below: vectors below of their neighbours, [inputs of the hop, width].
            hop: which of them each node has.
        """
        above: Tensor = self.layers[index](own, below, hop)
        return self.activation(above) if index + 1 < len(self.layers) else above

    def activation(self, vectors: Tensor) -> Tensor:
        """What is done to the vectors between two layers: nothing, unless a model says otherwise."""
        return vectors

    def forward(self, *inputs: Any) -> Tensor:
        """Vectors of a block's seeds, [seeds, width], of the features of `block.nodes` and, last, the block."""
        *features, block = inputs
        vectors = self.start(*features)
        for index, hop in enumerate(block.hops):
            vectors = self.step(index, vectors[: hop.rows], vectors, hop)
        return vectors


class NodeFeatures(Protocol):
    """Features of all nodes of a graph."""

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the features are."""
        ...

    def of(self, nodes: Tensor) -> tuple[Tensor, ...]:
        """The features of some nodes, int64 [nodes]: the arguments of `GraphEncoder.start`."""
        ...
