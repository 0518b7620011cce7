"""Neighbour sampling in plain torch, on the device of the graph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twinvec.nn.sampling.blocks import Block, Hop, Neighbours, offsets_of


class CsrSampler:
    """Sampler of at most `fanouts[relation]` distinct neighbours of each node and hop, each equally likely.

    Args:
        graph: Relation → neighbours of every node, on the device for the blocks.
        fanouts: Relation → largest number of neighbours to keep; −1 keeps all.
        hops: Number of layers.
        seed: Seed of the choice.

    Example:
        >>> from twinvec.nn.sampling.blocks import from_edges
        >>> star = from_edges(torch.tensor([0, 0, 0]), torch.tensor([1, 2, 3]), 4)
        >>> block = CsrSampler({"star": star}, {"star": 2}, hops=1).sample(torch.tensor([0]))
        >>> block.hops[0].neighbours["star"].degrees().tolist(), len(block.nodes)
        ([2], 3)
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
        # Asked once: in each batch, the answer would have to come from the device.
        self.exceeded = {
            name: fanouts[name] >= 0 and bool((part.degrees() > fanouts[name]).any())
            for name, part in graph.items()
        }
        # One int64 for each node, to number the inputs of a hop without a sort.
        self.place = torch.full((first.rows,), -1, dtype=torch.int64, device=self.device)

    def sample(self, seeds: Tensor) -> Block:
        """Return the sampled neighbourhood of `seeds`, distinct nodes, int64 [batch]."""
        nodes = seeds.to(self.device)
        hops: list[Hop] = []
        for _ in range(self.hops):
            chosen = {
                name: take(part, nodes, self.fanouts[name] if self.exceeded[name] else -1, self.generator)
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
        # Numbers `nodes` first, then the other nodes among the positions; the numbers stay in `place`.
        self.place[nodes] = torch.arange(nodes.shape[0], device=self.device)
        sampled = torch.cat(positions)
        new = torch.unique(sampled[self.place[sampled] < 0])
        self.place[new] = torch.arange(nodes.shape[0], nodes.shape[0] + new.shape[0], device=self.device)
        return torch.cat([nodes, new])


def take(graph: Neighbours, nodes: Tensor, fanout: int, generator: torch.Generator | None) -> Neighbours:
    """Sample at most `fanout` neighbours of each of `nodes`, without replacement.

    Args:
        graph: Neighbours of every node.
        nodes: int64 [rows].
        fanout: Largest number of neighbours of a row; −1 takes all.
        generator: Random generator of the choice, on the graph's device.

    Returns:
        The neighbours of each row, as nodes of the graph, in no particular order.
    """
    starts = graph.offsets[nodes]
    counts = graph.offsets[nodes + 1] - starts
    device = nodes.device
    offsets = offsets_of(counts)
    row = torch.repeat_interleave(torch.arange(nodes.shape[0], device=device), counts)
    edge = torch.arange(row.shape[0], device=device) - offsets[row] + starts[row]
    if fanout >= 0:
        # Each row is shuffled, and its first `fanout` neighbours are kept.
        draw = torch.rand(row.shape[0], device=device, generator=generator, dtype=torch.float64)
        order = torch.argsort(row + draw)
        rank = torch.arange(row.shape[0], device=device) - offsets[row]
        edge = edge[order[rank < fanout]]
        offsets = offsets_of(counts.clamp_max(fanout))
    return Neighbours(offsets, graph.positions[edge])
