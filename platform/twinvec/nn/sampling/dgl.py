"""Neighbour sampling by DGL, on the CPU. The one module that imports DGL."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import dgl
import torch
from torch import Tensor

from twinvec.nn.sampling.blocks import Block, Hop, Neighbours

NODE = "node"

# DGL has a random generator for each thread and hands work to whichever thread is free, so that a seed alone does not
# repeat a result. All sampling runs in one thread of its own: that is as fast on two cores, and a seed gives the same
# blocks again.
_THREAD = ThreadPoolExecutor(1, "dgl", initializer=dgl.utils.set_num_threads, initargs=(1,))


class DglSampler:
    """Sampler of at most `fanouts[relation]` distinct neighbours of each node and hop, each equally likely.

    Args:
        graph: Relation → neighbours of every node.
        fanouts: Relation → largest number of neighbours to keep; −1 keeps all.
        hops: Number of layers.
        seed: Seed of the choice.
    """

    def __init__(
        self, graph: Mapping[str, Neighbours], fanouts: Mapping[str, int], hops: int, seed: int = 0
    ) -> None:
        none = torch.empty(0, dtype=torch.int64)
        nodes = next(iter(graph.values())).rows
        # DGL samples in-edges: a row's neighbours are the sources of the edges that end in it.
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
        # Scratch space of DGL, one int64 for each node, made by the first sample and used again.
        self.numbers: dict[str, list[Tensor]] = {}

    def sample(self, seeds: Tensor) -> Block:
        """Return the sampled neighbourhood of `seeds`, distinct nodes, int64 [batch]."""
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
