"""Sampled neighbourhoods as plain tensors, which samplers return and layers read."""

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
    """Positions of the neighbours of each row: compressed sparse rows without values.

    Attributes:
        offsets: int64 [rows + 1]; the neighbours of row r are `positions[offsets[r]:offsets[r + 1]]`.
        positions: int64 [edges].

    Example:
        >>> neighbours = Neighbours(torch.tensor([0, 2, 3]), torch.tensor([1, 2, 0]))
        >>> neighbours.rows, neighbours.degrees().tolist(), neighbours.transpose(3).positions.tolist()
        (2, [2, 1], [1, 0, 0])
    """

    offsets: Tensor
    positions: Tensor

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.offsets.shape[0] - 1

    def degrees(self) -> Tensor:
        """Return the number of neighbours of each row, int64 [rows]."""
        return self.offsets.diff()

    def part(self, first: int, last: int) -> Neighbours:
        """Return the neighbours of rows `first` up to `last`."""
        offsets = self.offsets[first : last + 1]
        return Neighbours(offsets - offsets[0], self.positions[offsets[0] : offsets[-1]])

    def transpose(self, columns: int) -> Neighbours:
        """Return the reversed edges: for each of `columns` positions, the rows that have it as a neighbour."""
        if self.positions.device.type == "cpu":
            # scipy counts where a sort would compare: many times as fast.
            ones = np.ones(len(self.positions), np.int8)
            rows = csr_array(
                (ones, self.positions.numpy(), self.offsets.numpy()), (self.rows, columns)
            ).tocsc()
            return Neighbours(torch.from_numpy(rows.indptr), torch.from_numpy(rows.indices))
        return transpose_by_sorting(self, columns)

    def to(self, device: torch.device) -> Neighbours:
        """Return a copy on another device."""
        return Neighbours(
            self.offsets.to(device, non_blocking=True), self.positions.to(device, non_blocking=True)
        )


@dataclass(frozen=True)
class Hop:
    """Neighbours that one layer aggregates; the outputs of the layer are the first of its input rows.

    Attributes:
        neighbours: Relation → neighbours of each output, as positions among the inputs.
        inputs: Number of input rows.
    """

    neighbours: Mapping[str, Neighbours]
    inputs: int

    @property
    def rows(self) -> int:
        """Number of outputs."""
        return next(iter(self.neighbours.values())).rows

    def to(self, device: torch.device) -> Hop:
        """Return a copy on another device."""
        return Hop({name: part.to(device) for name, part in self.neighbours.items()}, self.inputs)


@dataclass(frozen=True)
class Block:
    """Sampled neighbourhood of a batch of seeds, for a model of `len(hops)` layers.

    Attributes:
        nodes: Nodes whose features are the inputs of the first layer, int64 [inputs]. The seeds come first, and the
            outputs of each layer are the first of its inputs.
        hops: Neighbours of each layer, in the order in which the layers are applied.
    """

    nodes: Tensor
    hops: tuple[Hop, ...]

    def to(self, device: torch.device) -> Block:
        """Return a copy on another device."""
        return Block(self.nodes.to(device, non_blocking=True), tuple(hop.to(device) for hop in self.hops))


class Sampler(Protocol):
    """Samples the neighbourhood of a batch."""

    def sample(self, seeds: Tensor) -> Block:
        """Return the sampled neighbourhood of `seeds`, distinct nodes, int64 [batch]."""
        ...


class RowSampler:
    """Sampler for models that read nothing of the graph but their features: a block is the seeds alone."""

    def sample(self, seeds: Tensor) -> Block:
        """Return `seeds` as a block without hops."""
        return Block(seeds, ())


def offsets_of(counts: Tensor) -> Tensor:
    """Return the offsets, int64 [rows + 1], of rows with these counts, int64 [rows]."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def transpose_by_sorting(neighbours: Neighbours, columns: int) -> Neighbours:
    """Return what `Neighbours.transpose` does, without waiting for the device.

    Args:
        neighbours: At most 2³¹ edges to as many positions: keys of 32 bits are sorted in half the time.
        columns: Number of positions.
    """
    ordered, order = torch.sort(neighbours.positions.int(), stable=True)
    places = torch.arange(columns + 1, dtype=torch.int32, device=ordered.device)
    owner = torch.repeat_interleave(neighbours.degrees(), output_size=neighbours.positions.shape[0])
    return Neighbours(torch.searchsorted(ordered, places), owner[order])


def from_edges(rows: Tensor, positions: Tensor, count: int) -> Neighbours:
    """Return the neighbours of `count` rows from an edge list.

    Args:
        rows: Row of each edge, int64 [edges].
        positions: Neighbour of each edge, int64 [edges].
        count: Number of rows.

    Example:
        >>> from_edges(torch.tensor([1, 0, 1]), torch.tensor([0, 2, 2]), 3).offsets.tolist()
        [0, 1, 3, 3]
    """
    order = torch.argsort(rows, stable=True)
    return Neighbours(offsets_of(torch.bincount(rows, minlength=count)), positions[order])


def double_cover(source: Tensor, target: Tensor, products: int) -> Neighbours:
    """Return the directed edges as an undirected graph of 2 × `products` nodes: each product as source and target.

    Node u is product u as a source, node `products` + v is product v as a target, and the edge u → v joins them.
    Equations 3 and 4 of MERLIN, which send target vectors to sources and source vectors to targets with the same
    weights, are then one equation on one graph.

    Args:
        source: Source product of each edge, int64 [edges].
        target: Target product of each edge, int64 [edges].
        products: Number of products.

    Returns:
        The neighbours of all 2 × `products` nodes.

    Example:
        >>> double_cover(torch.tensor([0]), torch.tensor([1]), products=2).degrees().tolist()
        [1, 0, 0, 1]
    """
    return from_edges(
        torch.cat([source, target + products]), torch.cat([target + products, source]), 2 * products
    )


def within_roles(first: Tensor, second: Tensor, products: int) -> Neighbours:
    """Return undirected pairs as a graph on the nodes of `double_cover` that joins nodes of one role.

    The pair {u, v} joins product u as a source with product v as a source, and likewise both as targets.

    Args:
        first: First product of each pair, int64 [pairs]; each pair comes once.
        second: Second product of each pair, int64 [pairs].
        products: Number of products.

    Returns:
        The neighbours of all 2 × `products` nodes.

    Example:
        >>> within_roles(torch.tensor([0]), torch.tensor([1]), products=2).positions.tolist()
        [1, 0, 3, 2]
    """
    rows, positions = torch.cat([first, second]), torch.cat([second, first])
    return from_edges(
        torch.cat([rows, rows + products]), torch.cat([positions, positions + products]), 2 * products
    )
