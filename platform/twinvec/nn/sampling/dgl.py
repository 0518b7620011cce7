"""Neighbour sampling by DGL, on the CPU. The one module that imports DGL."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import dgl
import torch
from torch import Tensor

from twinvec.nn.sampling.blocks import Block, Hop, Neighbours

NODE = "node"

# DGL has a generator a thread and gives its threads work as they come free, so that a seed alone repeats nothing.
# All sampling is done in one thread of its own: on two cores that is as fast, and a seed gives the same blocks again.
_THREAD = ThreadPoolExecutor(1, "dgl", initializer=dgl.utils.set_num_threads, initargs=(1,))


class DglSampler:
    """Samples at most `fanouts[relation]` distinct neighbours of each node a hop, each equally likely.

    Args:
        graph: relation → the neighbours of every node.
        fanouts: relation → most neighbours of it that are kept; −1 keeps all.
        hops: how many layers.
        seed: of the choice.
    """

    def __init__(
        self, graph: Mapping[str, Neighbours], fanouts: Mapping[str, int], hops: int, seed: int = 0
    ) -> None:
        none = torch.empty(0, dtype=torch.int64)
        nodes = next(iter(graph.values())).rows
        # DGL samples in-edges, so a row's neighbours are the sources of the edges that end in it.
        self.graph = dgl.heterograph(
            {
                (NODE, name, NODE): ("csc", (part.offsets.cpu(), part.positions.cpu(), none))
                for name, part in graph.items()
            },
            num_nodes_dict={NODE: nodes},
        )
        self.fanouts = dict(fanouts)
        self.hops = hops
        self.generator = torch.Generator().manual_seed(seed)
        # DGL's own: an int64 for each node of the graph, made by the first sample and kept for the next.
        self.numbers: dict[str, list[Tensor]] = {}

    def sample(self, seeds: Tensor) -> Block:
        """The sampled neighbourhood of `seeds`, distinct nodes, int64 [batch]."""
        seed = int(torch.randint(2**31 - 1, (), generator=self.generator))
        return _THREAD.submit(self._sample, seeds.cpu(), seed).result()

    def _sample(self, nodes: Tensor, seed: int) -> Block:
        dgl.seed(seed)
        hops: list[Hop] = []
        for _ in range(self.hops):
            block = dgl.sampling.sample_neighbors_fused(
                self.graph, {NODE: nodes}, self.fanouts, copy_edata=False, mapping=self.numbers
            )
            inputs = block.srcnodes[NODE].data[dgl.NID]
            neighbours = {}
            for name in self.fanouts:
                offsets, positions, _ = block.adj_tensors("csc", etype=name)
                neighbours[name] = Neighbours(offsets, positions)
            hops.insert(0, Hop(neighbours, inputs.shape[0]))
            nodes = inputs
        return Block(nodes, tuple(hops))
