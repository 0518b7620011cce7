"""Checks of the kernels for GPUs beside plain torch, run by `test_fused.py` in Triton's interpreter on the CPU."""

from __future__ import annotations

import torch

from twinvec.nn.sampling import fused
from twinvec.nn.sampling.blocks import Neighbours, offsets_of
from twinvec.nn.sampling.csr import draw_distinct


def check_sums(width: int, dtype: torch.dtype, error: float) -> None:
    """Rows of any length: without neighbours, at the border of a piece, and of several pieces."""
    generator = torch.Generator().manual_seed(width)
    counts = torch.randint(0, 20, (40,), generator=generator)
    counts[[0, 7, 8, 9, 39]] = torch.tensor([0, fused.PIECE, fused.PIECE + 1, 400, 5 * fused.PIECE])
    positions = torch.randint(0, 30, (int(counts.sum()),), generator=generator)
    values = torch.randn(30, width, generator=generator).to(dtype)
    sums = fused.sum_rows(values, Neighbours(offsets_of(counts), positions))
    exact = torch.zeros(40, width, dtype=torch.float64)
    exact.index_add_(0, torch.repeat_interleave(counts), values.double()[positions])
    assert sums.dtype == dtype
    assert (sums.double() - exact).norm() < error * exact.norm()
    assert not sums[0].any()


def check_nothing() -> None:
    """No rows, and rows without edges."""
    nothing = torch.zeros(0, dtype=torch.int64)
    values = torch.randn(3, 8)
    assert fused.sum_rows(values, Neighbours(torch.zeros(1, dtype=torch.int64), nothing)).shape == (0, 8)
    assert not fused.sum_rows(values, Neighbours(torch.zeros(3, dtype=torch.int64), nothing)).any()


def check_draws() -> None:
    """The draws are those of the CPU."""
    counts = torch.randint(20, 60, (50,), generator=torch.Generator().manual_seed(1))
    uniform = torch.rand(20, 50, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    drawn = fused.draw_distinct(counts, uniform)
    assert torch.equal(drawn, draw_distinct(counts, 20, torch.Generator().manual_seed(2)))
    assert (drawn.sort(1).values.diff(dim=1) > 0).all()
    assert (drawn < counts[:, None]).all()


if __name__ == "__main__":
    for width, dtype, error in (
        (96, torch.float32, 1e-6),
        (37, torch.float32, 1e-6),
        (64, torch.bfloat16, 1e-2),
    ):
        check_sums(width, dtype, error)
    check_nothing()
    check_draws()
