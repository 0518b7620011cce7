"""A sampled neighbourhood as plain tensors: what every sampler gives and every layer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor


@dataclass(frozen=True)
class Neighbours:
    """For each of some rows, positions of its neighbours: compressed sparse rows without values.

    Attributes:
        offsets: int64 [rows + 1]; row r's neighbours are `positions[offsets[r]:offsets[r + 1]]`.
        positions: int64 [edges].
    """

    offsets: Tensor
    positions: Tensor

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.offsets.shape[0] - 1

    def degrees(self) -> Tensor:
        """Neighbours of each row, int64 [rows]."""
        return self.offsets.diff()

    def part(self, first: int, last: int) -> Neighbours:
        """The neighbours of rows `first` up to `last`."""
        offsets = self.offsets[first : last + 1]
        return Neighbours(offsets - offsets[0], self.positions[offsets[0] : offsets[-1]])

    def transpose(self, columns: int) -> Neighbours:
        """The same edges the other way round: for each of `columns` positions, the rows that have it."""
        if self.positions.device.type == "cpu":
            # Counting, not comparing: many times as fast as a sort.
            ones = np.ones(len(self.positions), np.int8)
            rows = csr_array(
                (ones, self.positions.numpy(), self.offsets.numpy()), (self.rows, columns)
            ).tocsc()
            return Neighbours(torch.from_numpy(rows.indptr), torch.from_numpy(rows.indices))
        order = torch.argsort(self.positions, stable=True)
        owner = torch.repeat_interleave(torch.arange(self.rows, device=self.positions.device), self.degrees())
        counts = torch.bincount(self.positions, minlength=columns)
        return Neighbours(offsets_of(counts), owner[order])

    def to(self, device: torch.device) -> Neighbours:
        """The same on another device."""
        return Neighbours(
            self.offsets.to(device, non_blocking=True), self.positions.to(device, non_blocking=True)
        )


@dataclass(frozen=True)
class Hop:
    """One layer's worth of neighbours: from the layer's `inputs` rows below to its outputs, the first rows of them.

    Attributes:
        neighbours: relation → neighbours of each output, as positions among the inputs.
        inputs: rows of the layer below.
    """

    neighbours: Mapping[str, Neighbours]
    inputs: int

    @property
    def rows(self) -> int:
        """How many outputs there are."""
        return next(iter(self.neighbours.values())).rows

    def to(self, device: torch.device) -> Hop:
        """The same on another device."""
        return Hop({name: part.to(device) for name, part in self.neighbours.items()}, self.inputs)


@dataclass(frozen=True)
class Block:
    """All that a model of `len(hops)` layers needs for a batch of seeds.

    Attributes:
        nodes: int64 [inputs of the first layer]; their features go in. The seeds come first, and the outputs of
            each layer are the first inputs of it.
        hops: one a layer, in the order in which the layers are applied.
    """

    nodes: Tensor
    hops: tuple[Hop, ...]

    def to(self, device: torch.device) -> Block:
        """The same on another device."""
        return Block(self.nodes.to(device, non_blocking=True), tuple(hop.to(device) for hop in self.hops))


class Sampler(Protocol):
    """Finds the neighbourhood of a batch."""

    def sample(self, seeds: Tensor) -> Block:
        """The sampled neighbourhood of `seeds`, distinct nodes, int64 [batch]."""
        ...


def offsets_of(counts: Tensor) -> Tensor:
    """Offsets int64 [rows + 1] of rows with these counts, int64 [rows]."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def from_edges(rows: Tensor, positions: Tensor, count: int) -> Neighbours:
    """Neighbours of `count` rows from an edge list, in the order of the rows.

    Args:
        rows, positions: int64 [edges].
        count: how many rows there are.
    """
    order = torch.argsort(rows, stable=True)
    return Neighbours(offsets_of(torch.bincount(rows, minlength=count)), positions[order])


def double_cover(source: Tensor, target: Tensor, products: int) -> Neighbours:
    """The directed edges as an undirected graph of 2 × `products` nodes: each product as source and as target.

    Node u is product u as a source, node `products` + v is product v as a target, and the edge u → v joins them.
    Equations 3 and 4 of MERLIN, which send target vectors to sources and source vectors to targets with the same
    weights, are then one equation on one graph.

    Args:
        source, target: int64 [edges], products.
        products: how many products there are.

    Returns:
        The neighbours of all 2 × `products` nodes.
    """
    return from_edges(
        torch.cat([source, target + products]), torch.cat([target + products, source]), 2 * products
    )


def within_roles(first: Tensor, second: Tensor, products: int) -> Neighbours:
    """Undirected pairs as a graph on the nodes of `double_cover` that stays within a role.

    The pair {u, v} joins product u as a source with product v as a source, and likewise both as targets.

    Args:
        first, second: int64 [pairs], products; each pair once.
        products: how many products there are.

    Returns:
        The neighbours of all 2 × `products` nodes.
    """
    rows, positions = torch.cat([first, second]), torch.cat([second, first])
    return from_edges(
        torch.cat([rows, rows + products]), torch.cat([positions, positions + products]), 2 * products
    )
