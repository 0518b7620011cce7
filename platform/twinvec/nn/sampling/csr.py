"""Neighbour sampling in plain torch, for a graph that lives on the device that trains."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twinvec.nn.sampling.blocks import Block, Hop, Neighbours, offsets_of


class CsrSampler:
    """Samples at most `fanouts[relation]` distinct neighbours of each node a hop, each equally likely.

    Args:
        graph: relation → the neighbours of every node, on the device where the blocks shall be.
        fanouts: relation → most neighbours of it that are kept; −1 keeps all.
        hops: how many layers.
        seed: of the choice.
    """

    def __init__(
        self, graph: Mapping[str, Neighbours], fanouts: Mapping[str, int], hops: int, seed: int = 0
    ) -> None:
        self.graph = graph
        self.fanouts = fanouts
        self.hops = hops
        first = next(iter(graph.values()))
        self.device = first.positions.device
        self.generator = torch.Generator(self.device).manual_seed(seed)
        # Scratch of one int64 a node, to number the inputs of a hop without sorting them.
        self.place = torch.full((first.rows,), -1, dtype=torch.int64, device=self.device)

    def sample(self, seeds: Tensor) -> Block:
        """The sampled neighbourhood of `seeds`, distinct nodes, int64 [batch]."""
        nodes = seeds.to(self.device)
        hops: list[Hop] = []
        for _ in range(self.hops):
            chosen = {
                name: take(part, nodes, self.fanouts[name], self.generator)
                for name, part in self.graph.items()
            }
            inputs = self._append(nodes, [part.positions for part in chosen.values()])
            local = {
                name: Neighbours(part.offsets, self.place[part.positions]) for name, part in chosen.items()
            }
            hops.insert(0, Hop(local, inputs.shape[0]))
            self.place[inputs] = -1
            nodes = inputs
        return Block(nodes, tuple(hops))

    def _append(self, nodes: Tensor, positions: list[Tensor]) -> Tensor:
        # Number `nodes` first, then what else occurs among the positions; leaves the numbers in `place`.
        self.place[nodes] = torch.arange(nodes.shape[0], device=self.device)
        found = torch.cat(positions)
        new = torch.unique(found[self.place[found] < 0])
        self.place[new] = torch.arange(nodes.shape[0], nodes.shape[0] + new.shape[0], device=self.device)
        return torch.cat([nodes, new])


def take(graph: Neighbours, nodes: Tensor, fanout: int, generator: torch.Generator | None) -> Neighbours:
    """At most `fanout` neighbours of each of `nodes`, without replacement; −1 takes all.

    Args:
        graph: neighbours of every node.
        nodes: int64 [rows].
        fanout: most neighbours of a row.
        generator: of the choice, on the graph's device.

    Returns:
        The neighbours of each row, as nodes of the graph, in no particular order.
    """
    starts = graph.offsets[nodes]
    counts = graph.offsets[nodes + 1] - starts
    device = nodes.device
    offsets = offsets_of(counts)
    row = torch.repeat_interleave(torch.arange(nodes.shape[0], device=device), counts)
    edge = torch.arange(row.shape[0], device=device) - offsets[row] + starts[row]
    if fanout >= 0 and bool((counts > fanout).any()):
        # Shuffle within each row, then keep the first `fanout` of it.
        draw = torch.rand(row.shape[0], device=device, generator=generator, dtype=torch.float64)
        order = torch.argsort(row + draw)
        rank = torch.arange(row.shape[0], device=device) - offsets[row]
        edge = edge[order[rank < fanout]]
        offsets = offsets_of(counts.clamp_max(fanout))
    return Neighbours(offsets, graph.positions[edge])
