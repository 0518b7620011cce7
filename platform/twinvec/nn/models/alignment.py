"""Alignment: one graph convolution over co-views on concatenated text and image features (MERLIN 3.5, 4.1.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.aggregation import sum_neighbours
from twinvec.nn.sampling.blocks import Hop, Neighbours


@dataclass(frozen=True)
class ContentFeatures:
    """Text and image features of n products, and masks of the products that have them.

    Attributes:
        text: Text features, float32 [n, t].
        has_text: Whether each product has text features, bool [n].
        image: Image features, float32 [n, i]; i may be 0.
        has_image: Whether each product has image features, bool [n].
    """

    text: Tensor
    has_text: Tensor
    image: Tensor
    has_image: Tensor

    @property
    def nodes(self) -> int:
        """Number of products."""
        return len(self.text)

    @property
    def device(self) -> torch.device:
        """Device of the features."""
        return self.text.device

    def of(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the features of some products, as `AlignmentEncoder.start` takes them."""
        return self.text[nodes], self.has_text[nodes], self.image[nodes], self.has_image[nodes]

    def to(self, device: torch.device) -> ContentFeatures:
        """Return the features on another device."""
        return ContentFeatures(
            self.text.to(device), self.has_text.to(device), self.image.to(device), self.has_image.to(device)
        )


class AlignmentEncoder(GraphEncoder):
    """θ_u = W mean(x_u and the x_v of its co-viewed products) + b at unit length, with x = [text, image].

    The paper compares θ by their dot product and says nothing of their length. With free lengths, a few long vectors
    are the nearest of every product. A missing text or image is replaced by a learned vector, since a zero would look
    like a feature.

    Args:
        text: Length t of the text features.
        image: Length i of the image features; 0 if there are none.
        dimension: Length of the aligned vectors.

    Example:
        >>> from twinvec.nn.sampling.blocks import from_edges
        >>> encoder = AlignmentEncoder(text=4, image=3, dimension=2)
        >>> everything = torch.ones(2, 4), torch.tensor([True, True]), torch.ones(2, 3), torch.tensor([True, False])
        >>> rows = encoder.start(*everything)
        >>> coviews = from_edges(torch.tensor([0, 1]), torch.tensor([1, 0]), 2)
        >>> encoder.step(0, rows, rows, Hop({AlignmentEncoder.RELATION: coviews}, inputs=2)).shape
        torch.Size([2, 2])
    """

    RELATION = "coview"

    def __init__(self, text: int, image: int, dimension: int) -> None:
        super().__init__()
        self.no_text = nn.Parameter(torch.randn(text) / max(text, 1) ** 0.5)
        self.no_image = nn.Parameter(torch.randn(image) / max(image, 1) ** 0.5)
        self.weight = nn.Linear(text + image, dimension)
        self.layers = nn.ModuleList([self.weight])

    def start(self, text: Tensor, has_text: Tensor, image: Tensor, has_image: Tensor) -> Tensor:
        """Return the features [text, image], [nodes, t + i], with a learned vector where one is missing."""
        return torch.cat(
            [
                torch.where(has_text.unsqueeze(1), text, self.no_text),
                torch.where(has_image.unsqueeze(1), image, self.no_image),
            ],
            dim=1,
        )

    def step(self, index: int, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Return the convolution, [rows, dimension], of unit length; arguments as in `GraphEncoder.step`."""
        neighbours = hop.neighbours[self.RELATION]
        mean = (own + sum_neighbours(below, neighbours)) / (neighbours.degrees() + 1).unsqueeze(1)
        return functional.normalize(self.weight(mean), dim=1)

    @torch.no_grad()
    def start_at_principal_axes(self, *features: Tensor) -> None:
        """Initialise W with the principal axes of some products' features.

        Args:
            features: Features of a sample of products, as `start` takes them.
        """
        inputs = self.start(*features)
        rank = min(*inputs.shape, self.weight.out_features)
        _, _, axes = torch.pca_lowrank(inputs, rank)
        self.weight.weight[:rank] = axes.T
        self.weight.bias[:rank] = -(inputs.mean(0) @ axes)


class FullCoviews(nn.Module):
    """The alignment encoder as a function of plain tensors, over all products and all their co-views.

    It is exported and kept in MLflow, from where it runs without this code.

    Args:
        encoder: The trained model.

    Example:
        >>> encoder = AlignmentEncoder(text=4, image=3, dimension=2)
        >>> FullCoviews(encoder)(**example(encoder)).shape
        torch.Size([2, 2])
    """

    def __init__(self, encoder: AlignmentEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self,
        text: Tensor,
        has_text: Tensor,
        image: Tensor,
        has_image: Tensor,
        coview_offsets: Tensor,
        coview_positions: Tensor,
    ) -> Tensor:
        """Return aligned vectors of unit length, float32 [n, dimension].

        Args:
            text: Text features, float32 [n, t].
            has_text: Whether each product has text features, bool [n].
            image: Image features, float32 [n, i].
            has_image: Whether each product has image features, bool [n].
            coview_offsets: Offsets of the co-viewed products, int64 [n + 1]; see `sampling.blocks.Neighbours`.
            coview_positions: Co-viewed products, int64 [edges].
        """
        start = self.encoder.start(text, has_text, image, has_image)
        neighbours = Neighbours(coview_offsets, coview_positions)
        return self.encoder.step(0, start, start, Hop({AlignmentEncoder.RELATION: neighbours}, text.shape[0]))


def example(encoder: AlignmentEncoder) -> dict[str, Tensor]:
    """Return arguments of `FullCoviews.forward` by name, for two products that were viewed together."""
    return {
        "text": torch.ones(2, len(encoder.no_text)),
        "has_text": torch.tensor([True, True]),
        "image": torch.ones(2, len(encoder.no_image)),
        "has_image": torch.tensor([True, False]),
        "coview_offsets": torch.arange(3),
        "coview_positions": torch.tensor([1, 0]),
    }
