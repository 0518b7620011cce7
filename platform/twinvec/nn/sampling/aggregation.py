"""Sums and means over neighbours, the one operation that all graph layers share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.sampling.blocks import Neighbours


def sum_neighbours(values: Tensor, neighbours: Neighbours) -> Tensor:
    """Sum of the values of each row's neighbours, [rows, d], of values [inputs, d]; zero where there are none.

    Neither direction makes a tensor with a row an edge: the sum is an embedding bag, and so is its gradient, over
    the transposed neighbours, on any device.
    """
    if not torch.is_grad_enabled():
        return _bag(values, neighbours)
    result: Tensor = _SumNeighbours.apply(values, neighbours)
    return result


def rows_at(values: Tensor, positions: Tensor) -> Tensor:
    """Rows of values [inputs, d] at some positions, [*positions, d]: `values[positions]`, with a faster gradient."""
    one_each = torch.arange(positions.numel() + 1, device=positions.device)
    rows = sum_neighbours(values, Neighbours(one_each, positions.flatten()))
    return rows.view(*positions.shape, values.shape[1])


def mean_neighbours(values: Tensor, neighbours: Neighbours) -> Tensor:
    """Mean of the values of each row's neighbours, [rows, d], of values [inputs, d]; zero where there are none."""
    return sum_neighbours(values, neighbours) / neighbours.degrees().clamp_min(1).unsqueeze(1)


def _bag(values: Tensor, neighbours: Neighbours) -> Tensor:
    # Detached, or it would prepare for a gradient of its own.
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
