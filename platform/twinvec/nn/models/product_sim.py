"""ProductSIM's fusion encoder: text and image vectors of a listing to one vector (ProductSIM, appendix A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ProductSIM(nn.Module):
    """Late fusion: normalised vectors side by side, fully connected layers, unit length.

    A missing modality is a mask: a trained vector stands in its place, and a flag says that it does. In training, a
    modality that is there is left out now and then, so that listings without it find their place, too.

    Args:
        text: Length of a text vector; may be 0.
        image: Length of an image vector; may be 0.
        hidden: Width of the hidden layer.
        dimension: Length of the vectors.
        dropout: Share of the hidden units that are left out in training.
        left_out: Chance in training that a modality is left out of a listing that has both.

    Example:
        >>> model = ProductSIM(text=6, image=4, hidden=8, dimension=5)
        >>> there = torch.tensor([True, True, False])
        >>> vectors = model(torch.randn(3, 6), torch.ones(3, dtype=torch.bool), torch.randn(3, 4), there)
        >>> vectors.shape, bool(torch.allclose(vectors.norm(dim=1), torch.ones(3)))
        (torch.Size([3, 5]), True)
    """

    def __init__(
        self,
        text: int,
        image: int,
        hidden: int,
        dimension: int,
        dropout: float = 0.1,
        left_out: float = 0.1,
    ) -> None:
        super().__init__()
        self.no_text = nn.Parameter(torch.randn(text) / max(text, 1) ** 0.5)
        self.no_image = nn.Parameter(torch.randn(image) / max(image, 1) ** 0.5)
        self.left_out = left_out
        self.layers = nn.Sequential(
            nn.Linear(text + image + 2, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dimension)
        )

    def forward(self, text: Tensor, has_text: Tensor, image: Tensor, has_image: Tensor) -> Tensor:
        """Return vectors of unit length, [n, dimension].

        Args:
            text: float32 [n, text], of any length; read where there is one.
            has_text: bool [n].
            image: float32 [n, image].
            has_image: bool [n].
        """
        if self.training and self.left_out > 0:
            has_text, has_image = self._leave_out(has_text, has_image)
        flags = torch.stack([has_text, has_image], dim=1).to(text.dtype)
        parts = [
            torch.where(has.unsqueeze(1), functional.normalize(given, dim=1), instead)
            for given, has, instead in ((text, has_text, self.no_text), (image, has_image, self.no_image))
        ]
        return functional.normalize(self.layers(torch.cat([*parts, flags], dim=1)), dim=1)

    def _leave_out(self, has_text: Tensor, has_image: Tensor) -> tuple[Tensor, Tensor]:
        both = has_text & has_image
        drawn = torch.rand(len(both), device=both.device)
        no_text, no_image = drawn < self.left_out, drawn > 1 - self.left_out
        return has_text & ~(both & no_text), has_image & ~(both & no_image)
