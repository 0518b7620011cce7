"""Model that maps vectors of one version to the space of another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipelines.versions.transform import Transform


class Aligner(nn.Module):
    """One linear transform for each of the one or two vector columns.

    Args:
        transforms: Transform of each column, in the order of the arguments of `forward`.
        unit_length: Whether to scale the results to length one, as the vectors of the other space are.
    """

    def __init__(self, transforms: Sequence[Transform], unit_length: bool) -> None:
        super().__init__()
        self.columns = nn.ModuleList(_linear(transform) for transform in transforms)
        self.unit_length = unit_length

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Return the columns in the other space, float32 [n, b] each.

        Args:
            first: Vectors of the first column, float32 [n, a].
            second: Vectors of the second column, float32 [n, a]; None for a version with one.
        """
        if second is None:
            return self._aligned(0, first)
        return self._aligned(0, first), self._aligned(1, second)

    def _aligned(self, column: int, vectors: Tensor) -> Tensor:
        aligned: Tensor = self.columns[column](vectors)
        return nn.functional.normalize(aligned, dim=1) if self.unit_length else aligned


def _linear(transform: Transform) -> nn.Linear:
    linear = nn.Linear(*transform.weight.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(transform.weight.T))
        linear.bias.copy_(torch.from_numpy(transform.bias))
    return linear.requires_grad_(False)
