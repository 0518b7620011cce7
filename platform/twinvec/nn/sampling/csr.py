"""Neighbour sampling in plain torch, on the device of the graph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twinvec.nn.device import runs_triton
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
        # For each node, to number the inputs of a hop without a sort: its number, and if it was sampled.
        self.place = torch.empty(first.rows, dtype=torch.int64, device=self.device)
        self.sampled = torch.zeros(first.rows, dtype=torch.bool, device=self.device)

    def sample(self, seeds: Tensor) -> Block:
        """Return the sampled neighbourhood of `seeds`, distinct nodes, int64 [batch]."""
        nodes = seeds.to(self.device)
        hops: list[Hop] = []
        for _ in range(self.hops):
            chosen = {
                name: take(part, nodes, self.fanouts[name] if self.exceeded[name] else -1, self.generator)
                for name, part in self.graph.items()
            }
            inputs = self._number(nodes, [part.positions for part in chosen.values()])
            local = {
                name: Neighbours(part.offsets, self.place[part.positions]) for name, part in chosen.items()
            }
            hops.insert(0, Hop(local, inputs.shape[0]))
            nodes = inputs
        return Block(nodes, tuple(hops))

    def _number(self, nodes: Tensor, positions: list[Tensor]) -> Tensor:
        """Return `nodes`, then the other nodes among the positions; `place` has the number of each."""
        for sampled in positions:
            self.sampled[sampled] = True
        self.sampled[nodes] = False
        inputs = torch.cat([nodes, self.sampled.nonzero().squeeze(1)])
        self.sampled[inputs] = False
        self.place[inputs] = torch.arange(inputs.shape[0], device=self.device)
        return inputs


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
    kept = counts if fanout < 0 else counts.clamp_max(fanout)
    offsets = offsets_of(kept)
    row = torch.repeat_interleave(kept)
    place = torch.arange(row.shape[0], device=nodes.device) - offsets[row]
    if fanout >= 0:
        large = (counts > fanout).nonzero().squeeze(1)
        chosen = offsets[large].unsqueeze(1) + torch.arange(fanout, device=nodes.device)
        place[chosen] = draw_distinct(counts[large], fanout, generator)
    return Neighbours(offsets, graph.positions[starts[row] + place])


def draw_distinct(counts: Tensor, size: int, generator: torch.Generator | None) -> Tensor:
    """Draw `size` distinct numbers below each count, every such set with the same probability.

    Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", Communications of the ACM 30(9), 1987), for all rows
    at once: the cost of a row does not grow with its count.

    Args:
        counts: int64 [rows], at least `size`.
        size: Numbers to draw for each row.
        generator: Random generator, on the device of `counts`.

    Returns:
        int64 [rows, size], in no particular order.

    Example:
        >>> draw_distinct(torch.tensor([3]), 3, None).sort().values.tolist()
        [[0, 1, 2]]
    """
    uniform = torch.rand(
        size, counts.shape[0], device=counts.device, generator=generator, dtype=torch.float64
    )
    if runs_triton(counts):
        from twinvec.nn.sampling import fused  # Triton takes a second to import.

        return fused.draw_distinct(counts, uniform)
    drawn = counts.new_empty(uniform.shape)
    for number in range(size):
        last = counts - size + number
        candidate = (uniform[number] * (last + 1)).long()
        drawn[number] = torch.where((drawn[:number] == candidate).any(0), last, candidate)
    return drawn.T
