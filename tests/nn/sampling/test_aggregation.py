"""Sums and means over neighbours against dense matrix products."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from twinvec.nn.sampling.aggregation import mean_neighbours, rows_at, sum_neighbours
from twinvec.nn.sampling.blocks import Neighbours, from_edges

Aggregate = Callable[[Tensor, Neighbours], Tensor]


def random_neighbours(rows: int, inputs: int, edges: int, seed: int) -> tuple[Neighbours, Tensor]:
    """Neighbours with empty rows and repeated positions, and the same as a dense matrix of counts, float64."""
    generator = torch.Generator().manual_seed(seed)
    row = torch.randint(rows, (edges,), generator=generator) // 2 * 2
    position = torch.randint(inputs, (edges,), generator=generator)
    dense = torch.zeros(rows, inputs, dtype=torch.float64)
    dense.index_put_((row, position), torch.ones(edges, dtype=torch.float64), accumulate=True)
    return from_edges(row, position, rows), dense


def dense_aggregate(aggregate: Aggregate, dense: Tensor, values: Tensor) -> Tensor:
    if aggregate is mean_neighbours:
        dense = dense / dense.sum(1, keepdim=True).clamp_min(1)
    return dense @ values


BOTH = pytest.mark.parametrize("aggregate", [sum_neighbours, mean_neighbours])


@BOTH
@pytest.mark.parametrize("edges", [0, 1, 67])
def test_values_and_gradient_are_those_of_the_dense_product(aggregate: Aggregate, edges: int) -> None:
    neighbours, dense = random_neighbours(13, 9, edges, seed=edges)
    values = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(13, 5, dtype=torch.float64)
    found = aggregate(values, neighbours)
    (gradient,) = torch.autograd.grad((found * probe).sum(), values)
    expected = dense_aggregate(aggregate, dense, values)
    (dense_gradient,) = torch.autograd.grad((expected * probe).sum(), values)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, dense_gradient)
    assert not found[1::2].any(), "a row without neighbours is not zero"


def test_gradient_against_finite_differences() -> None:
    neighbours, _ = random_neighbours(5, 4, 11, seed=2)
    values = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: mean_neighbours(v, neighbours).tanh(), (values,))


@BOTH
def test_gradient_of_a_gradient_that_is_not_contiguous(aggregate: Aggregate) -> None:
    neighbours, dense = random_neighbours(6, 4, 15, seed=3)
    values = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
    # The gradient of a sum is one number seen [6, 7] times.
    aggregate(values, neighbours).sum().backward()  # type: ignore[no-untyped-call]
    expected = dense_aggregate(aggregate, dense, torch.eye(4, dtype=torch.float64)).sum(0)
    torch.testing.assert_close(values.grad, expected.unsqueeze(1).expand(4, 7))


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_precisions_are_kept_and_close(aggregate: Aggregate, dtype: torch.dtype) -> None:
    neighbours, dense = random_neighbours(8, 6, 30, seed=4)
    values = torch.randn(6, 4, dtype=torch.float64)
    found = aggregate(values.to(dtype), neighbours)
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(
        found.double(), dense_aggregate(aggregate, dense, values), atol=tolerance, rtol=tolerance
    )


@pytest.mark.parametrize("shape", [(0,), (9,), (4, 3), (5, 0)])
def test_rows_at_positions_are_those_of_indexing_and_so_is_the_gradient(shape: tuple[int, ...]) -> None:
    values = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    positions = torch.randint(5, shape)  # with repeats, and one row that is never read
    probe = torch.randn(*shape, 4, dtype=torch.float64)
    found, expected = rows_at(values, positions), values[positions]
    assert torch.equal(found, expected)
    (gradient,) = torch.autograd.grad((found * probe).sum(), values)
    (indexed,) = torch.autograd.grad((expected * probe).sum(), values)
    torch.testing.assert_close(gradient, indexed)
