"""Compressed neighbours against dense adjacency matrices."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from twinvec.nn.sampling.blocks import Neighbours, double_cover, from_edges, transpose_by_sorting

ROWS, COLUMNS = 7, 5
EDGES = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 1)), max_size=30)


def ends(edges: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    pairs = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def count(rows: Tensor, columns: Tensor, shape: tuple[int, int]) -> Tensor:
    dense = torch.zeros(shape)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        dense[row, column] += 1
    return dense


def dense(neighbours: Neighbours, columns: int) -> Tensor:
    matrix = torch.zeros(neighbours.rows, columns)
    for row in range(neighbours.rows):
        for position in neighbours.positions[neighbours.offsets[row] : neighbours.offsets[row + 1]]:
            matrix[row, position] += 1
    return matrix


@settings(max_examples=60, deadline=None)
@given(EDGES)
def test_edges_become_rows(edges: list[tuple[int, int]]) -> None:
    rows, columns = ends(edges)
    neighbours = from_edges(rows, columns, ROWS)
    matrix = count(rows, columns, (ROWS, COLUMNS))
    assert neighbours.rows == ROWS
    assert torch.equal(dense(neighbours, COLUMNS), matrix)
    assert torch.equal(neighbours.degrees().float(), matrix.sum(1))


@settings(max_examples=60, deadline=None)
@given(EDGES)
def test_transpose(edges: list[tuple[int, int]]) -> None:
    rows, columns = ends(edges)
    neighbours = from_edges(rows, columns, ROWS)
    transposed = neighbours.transpose(COLUMNS)
    assert torch.equal(dense(transposed, ROWS), count(rows, columns, (ROWS, COLUMNS)).T)
    assert torch.equal(dense(transposed.transpose(ROWS), COLUMNS), dense(neighbours, COLUMNS))
    sorted_ = transpose_by_sorting(neighbours, COLUMNS)
    assert torch.equal(sorted_.offsets, transposed.offsets)
    assert torch.equal(sorted_.positions, transposed.positions)


@settings(max_examples=60, deadline=None)
@given(EDGES, st.integers(0, ROWS), st.integers(0, ROWS + 3))
def test_part(edges: list[tuple[int, int]], first: int, length: int) -> None:
    rows, columns = ends(edges)
    part = from_edges(rows, columns, ROWS).part(first, first + length)
    assert torch.equal(dense(part, COLUMNS), count(rows, columns, (ROWS, COLUMNS))[first : first + length])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=25))
def test_double_cover_is_the_bipartite_matrix(edges: list[tuple[int, int]]) -> None:
    source, target = ends(edges)
    adjacency = count(source, target, (6, 6))
    none = torch.zeros(6, 6)
    expected = torch.cat([torch.cat([none, adjacency], 1), torch.cat([adjacency.T, none], 1)])
    assert torch.equal(dense(double_cover(source, target, 6), 12), expected)
