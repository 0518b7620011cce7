"""Sums over neighbours, and draws of them, each in one pass on a GPU, in Triton.

An embedding bag of torch reads the rows of a bag one after the other. So a product that thousands of others have as a
neighbour keeps one of the GPU's processors busy while the others wait. Here a row's neighbours are read several at a
time, and all beyond the first `PIECE` in pieces beside each other.
"""

from __future__ import annotations

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from twinvec.nn.sampling.blocks import Neighbours, offsets_of

# Edges of a row that one program sums, and those that it reads at a time.
PIECE, AT_A_TIME = 128, 8
# A thread reads so many bytes at once, at most.
LOAD = 16


def sum_rows(values: Tensor, neighbours: Neighbours) -> Tensor:
    """Return the sum of the values of each row's neighbours, [rows, d], added in float32.

    The order of the additions is fixed, so the sums are the same in each run. Nothing waits for the device.

    Args:
        values: [inputs, d] on a GPU, in any floating-point type; the result has the same.
        neighbours: Neighbours of each row, as positions in `values`.
    """
    values = values.contiguous()
    width = values.shape[1]
    sums = values.new_empty((neighbours.rows, width))
    if not sums.numel():
        return sums
    beyond = (neighbours.degrees() - PIECE).clamp_min(0)
    pieces = offsets_of((beyond + PIECE - 1) // PIECE)
    # An upper bound of the number of pieces: the number itself is known on the device alone.
    most = neighbours.positions.shape[0] // PIECE
    partial = values.new_empty((max(1, most), width), dtype=torch.float32)
    block = triton.next_power_of_2(width)
    constants = {
        "block": block,
        "piece_size": PIECE,
        "at_a_time": AT_A_TIME,
        "num_warps": min(8, max(1, block * values.element_size() // (32 * LOAD))),
    }
    arguments = values, neighbours.positions, neighbours.offsets, pieces, partial
    if most:
        _sum_pieces[(most,)](*arguments, neighbours.rows, width, **constants)
    _sum_rows[(neighbours.rows,)](*arguments, sums, width, **constants)
    return sums


def draw_distinct(counts: Tensor, uniform: Tensor) -> Tensor:
    """Return distinct numbers below each count by Floyd's algorithm, int64 [rows, size]; see `csr.draw_distinct`.

    Args:
        counts: int64 [rows] on a GPU, at least `size`.
        uniform: Random numbers from 0 to 1, float64 [size, rows].
    """
    size, rows = uniform.shape
    drawn = counts.new_empty((rows, size))
    if drawn.numel():
        _draw_distinct[(rows,)](
            counts, uniform, drawn, rows, size, block=triton.next_power_of_2(size), num_warps=1
        )
    return drawn


@triton.jit  # type: ignore[untyped-decorator]
def _sum_edges(values, positions, first, last, width, block: tl.constexpr, at_a_time: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the sum of the values at `positions[first:last]`, float32 [block]."""
    column = tl.arange(0, block)
    total = tl.zeros([block], tl.float32)
    for start in range(first, last, at_a_time):
        for ahead in tl.static_range(at_a_time):
            # The last edge stands in for those beyond it, which are not read.
            neighbour = tl.load(positions + tl.minimum(start + ahead, last - 1)).to(tl.int64)
            read = tl.where(start + ahead < last, column, width) < width
            row = tl.load(values + neighbour * width + column, mask=read, other=0.0)
            total += row.to(tl.float32)
    return total


@triton.jit  # type: ignore[untyped-decorator]
def _sum_pieces(  # type: ignore[no-untyped-def]
    values, positions, offsets, pieces, partial, rows, width,
    block: tl.constexpr, piece_size: tl.constexpr, at_a_time: tl.constexpr,
):  # fmt: skip
    """Write the sum of piece `program_id` of the edges beyond the first `piece_size` of a row, found by bisection."""
    piece = tl.program_id(0)
    if piece < tl.load(pieces + rows):
        low = piece * 0
        high = low + rows
        while high - low > 1:
            middle = (low + high) // 2
            here = tl.load(pieces + middle) <= piece
            low = tl.where(here, middle, low)
            high = tl.where(here, high, middle)
        first = tl.load(offsets + low) + (piece - tl.load(pieces + low) + 1) * piece_size
        last = tl.minimum(first + piece_size, tl.load(offsets + low + 1))
        column = tl.arange(0, block)
        total = _sum_edges(values, positions, first, last, width, block, at_a_time)
        tl.store(partial + piece.to(tl.int64) * width + column, total, mask=column < width)


@triton.jit  # type: ignore[untyped-decorator]
def _sum_rows(  # type: ignore[no-untyped-def]
    values, positions, offsets, pieces, partial, sums, width,
    block: tl.constexpr, piece_size: tl.constexpr, at_a_time: tl.constexpr,
):  # fmt: skip
    """Write the sum of row `program_id`: its first `piece_size` edges, and the pieces of the others."""
    row = tl.program_id(0)
    column = tl.arange(0, block)
    first = tl.load(offsets + row)
    last = tl.minimum(tl.load(offsets + row + 1), first + piece_size)
    total = _sum_edges(values, positions, first, last, width, block, at_a_time)
    for piece in range(tl.load(pieces + row), tl.load(pieces + row + 1)):
        total += tl.load(partial + piece * width + column, mask=column < width, other=0.0)
    tl.store(sums + row.to(tl.int64) * width + column, total.to(sums.dtype.element_ty), mask=column < width)


@triton.jit  # type: ignore[untyped-decorator]
def _draw_distinct(counts, uniform, drawn, rows, size, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write the draws of row `program_id`."""
    row = tl.program_id(0)
    place = tl.arange(0, block)
    count = tl.load(counts + row)
    chosen = tl.full([block], -1, tl.int64)
    for number in range(size):
        last = count - size + number
        candidate = (tl.load(uniform + number * rows + row) * (last + 1).to(tl.float64)).to(tl.int64)
        taken = tl.sum((chosen == candidate).to(tl.int32), axis=0) > 0
        chosen = tl.where(place == number, tl.where(taken, last, candidate), chosen)
    tl.store(drawn + row.to(tl.int64) * size + place, chosen, mask=place < size)
