"""The alignment model as a function of plain tensors, to be kept in MLflow and run without our code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from twinvec.nn.models.alignment import AlignmentEncoder
from twinvec.nn.sampling.blocks import Hop, Neighbours


class FullCoviews(nn.Module):
    """Aligned vectors of all n products, from their features and all their co-viewed products.

    Args:
        encoder: the trained model.
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
        """Aligned vectors of unit length, float32 [n, dimension].

        Args:
            text: float32 [n, t].
            has_text: bool [n].
            image: float32 [n, i].
            has_image: bool [n].
            coview_offsets: int64 [n + 1]; see `twinvec.nn.sampling.blocks.Neighbours`.
            coview_positions: int64 [edges].
        """
        start = self.encoder.start(text, has_text, image, has_image)
        neighbours = Neighbours(coview_offsets, coview_positions)
        return self.encoder.step(0, start, start, Hop({AlignmentEncoder.RELATION: neighbours}, text.shape[0]))


def example(encoder: AlignmentEncoder) -> dict[str, Tensor]:
    """Arguments of `FullCoviews.forward` by name: two products that were viewed together."""
    return {
        "text": torch.ones(2, len(encoder.no_text)),
        "has_text": torch.tensor([True, True]),
        "image": torch.ones(2, len(encoder.no_image)),
        "has_image": torch.tensor([True, False]),
        "coview_offsets": torch.arange(3),
        "coview_positions": torch.tensor([1, 0]),
    }
