"""Sums and means over neighbours, the operation that all graph layers share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.device import runs_triton
from twinvec.nn.sampling.blocks import Neighbours


def sum_neighbours(values: Tensor, neighbours: Neighbours) -> Tensor:
    """Return the sum of the values of each row's neighbours, [rows, d]; zero for a row without neighbours.

    Neither the forward nor the backward pass makes a tensor with a row for each edge: the gradient is the same sum over
    the transposed neighbours. On a GPU the sum is `twinvec.nn.sampling.fused.sum_rows`, elsewhere an embedding bag.

    Args:
        values: [inputs, d].
        neighbours: Neighbours of each row, as positions in `values`.

    Example:
        >>> neighbours = Neighbours(torch.tensor([0, 2, 2]), torch.tensor([0, 1]))
        >>> sum_neighbours(torch.tensor([[1.0], [2.0]]), neighbours).tolist()
        [[3.0], [0.0]]
    """
    if not torch.is_grad_enabled():
        return _bag(values, neighbours)
    result: Tensor = _SumNeighbours.apply(values, neighbours)
    return result


def rows_at(values: Tensor, positions: Tensor) -> Tensor:
    """Return `values[positions]`, [*positions, d], of values [inputs, d], with a faster gradient.

    Example:
        >>> rows_at(torch.eye(3), torch.tensor([[2, 0]])).shape
        torch.Size([1, 2, 3])
    """
    one_each = torch.arange(positions.numel() + 1, device=positions.device)
    rows = sum_neighbours(values, Neighbours(one_each, positions.flatten()))
    return rows.view(*positions.shape, values.shape[1])


def mean_neighbours(values: Tensor, neighbours: Neighbours) -> Tensor:
    """Return the mean of the values of each row's neighbours, [rows, d]; zero for a row without neighbours.

    Args:
        values: [inputs, d].
        neighbours: Neighbours of each row, as positions in `values`.

    Example:
        >>> neighbours = Neighbours(torch.tensor([0, 2, 2]), torch.tensor([0, 1]))
        >>> mean_neighbours(torch.tensor([[1.0], [2.0]]), neighbours).tolist()
        [[1.5], [0.0]]
    """
    return sum_neighbours(values, neighbours) / neighbours.degrees().clamp_min(1).unsqueeze(1)


def _bag(values: Tensor, neighbours: Neighbours) -> Tensor:
    if runs_triton(values):
        from twinvec.nn.sampling import fused  # Triton takes a second to import.

        return fused.sum_rows(values.detach(), neighbours)
    # Detached, or the embedding bag would prepare its own gradient.
    return functional.embedding_bag(
        neighbours.positions, values.detach(), neighbours.offsets, mode="sum", include_last_offset=True
    )


class _SumNeighbours(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, neighbours: Neighbours) -> Tensor:
        context.neighbours = neighbours
        context.inputs = values.shape[0]
        return _bag(values, neighbours)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, None]:
        if not context.needs_input_grad[0]:
            return None, None
        return _bag(gradients[0].contiguous(), context.neighbours.transpose(context.inputs)), None
