"""A one-layer graph convolution over co-views on concatenated text and image features (MERLIN 3.5, 4.1.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.aggregation import sum_neighbours
from twinvec.nn.sampling.blocks import Hop


@dataclass(frozen=True)
class ContentFeatures:
    """Text and image features of n products, and which of them are there.

    Attributes:
        text: float32 [n, t].
        has_text: bool [n].
        image: float32 [n, i]; i may be 0.
        has_image: bool [n].
    """

    text: Tensor
    has_text: Tensor
    image: Tensor
    has_image: Tensor

    @property
    def nodes(self) -> int:
        """How many products there are."""
        return len(self.text)

    @property
    def device(self) -> torch.device:
        """Where the features are."""
        return self.text.device

    def of(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The features of some products: what the encoder's `start` takes."""
        return self.text[nodes], self.has_text[nodes], self.image[nodes], self.has_image[nodes]

    def to(self, device: torch.device) -> ContentFeatures:
        """The same on another device."""
        return ContentFeatures(
            self.text.to(device), self.has_text.to(device), self.image.to(device), self.has_image.to(device)
        )


class AlignmentEncoder(GraphEncoder):
    """θ_u = W mean(x_u and the x_v of its co-viewed products) + b at length one, with x = [text, image].

    The paper compares θ by their dot product and says nothing of their length; left free, a few long vectors are
    everybody's nearest.
    What a product lacks is a learned vector in its place, never a zero that would look like a feature.

    Args:
        text: length of the text features.
        image: length of the image features; 0 if there are none.
        dimension: length of the result.
    """

    RELATION = "coview"

    def __init__(self, text: int, image: int, dimension: int) -> None:
        super().__init__()
        self.no_text = nn.Parameter(torch.randn(text) / max(text, 1) ** 0.5)
        self.no_image = nn.Parameter(torch.randn(image) / max(image, 1) ** 0.5)
        self.weight = nn.Linear(text + image, dimension)
        self.layers = nn.ModuleList([self.weight])

    def start(self, text: Tensor, has_text: Tensor, image: Tensor, has_image: Tensor) -> Tensor:
        """The features [text, image] side by side, [nodes, text + image], a learned vector where one is missing."""
        return torch.cat(
            [
                torch.where(has_text.unsqueeze(1), text, self.no_text),
                torch.where(has_image.unsqueeze(1), image, self.no_image),
            ],
            dim=1,
        )

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """The convolution, [rows, dimension], of unit length; arguments as in `GraphEncoder.step`."""
        neighbours = hop.neighbours[self.RELATION]
        mean = (own + sum_neighbours(below, neighbours)) / (neighbours.degrees() + 1).unsqueeze(1)
        return functional.normalize(self.weight(mean), dim=1)

    @torch.no_grad()
    def start_at_principal_axes(self, *features: Tensor) -> None:
        """Let W keep as much of some products' features as it can, for training to start from.

        Args:
            features: what `start` takes, of a sample of products.
        """
        inputs = self.start(*features)
        rank = min(*inputs.shape, self.weight.out_features)
        _, _, axes = torch.pca_lowrank(inputs, rank)
        self.weight.weight[:rank] = axes.T
        self.weight.bias[:rank] = -(inputs.mean(0) @ axes)
