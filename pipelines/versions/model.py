"""What reads vectors of one version in the space of another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipelines.versions.transform import Transform


class Aligner(nn.Module):
    """One transform for each vector column, of which there are one or two.

    Args:
        transforms: a column each, in the order in which the columns are given.
        unit_length: whether the vectors of the space that is aligned to have length one; then these get it, too.
    """

    def __init__(self, transforms: Sequence[Transform], unit_length: bool) -> None:
        super().__init__()
        self.columns = nn.ModuleList(_linear(transform) for transform in transforms)
        self.unit_length = unit_length

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """The columns in the other space, float32 [n, b] each.

        Args:
            first: float32 [n, a].
            second: float32 [n, a], of a version with two columns.
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
