"""The samplers by name."""

from __future__ import annotations

from collections.abc import Mapping

from twinvec.nn.sampling.blocks import Neighbours, Sampler


def make_sampler(
    name: str, graph: Mapping[str, Neighbours], fanouts: Mapping[str, int], hops: int, seed: int
) -> Sampler:
    """The sampler called `dgl` or `csr`; arguments as those of `CsrSampler`.

    `csr` samples on the device the graph is on, `dgl` on the CPU.
    """
    if name == "csr":
        from twinvec.nn.sampling.csr import CsrSampler

        return CsrSampler(graph, fanouts, hops, seed)
    from twinvec.nn.sampling.dgl import DglSampler  # DGL takes seconds to import

    return DglSampler(graph, fanouts, hops, seed)
