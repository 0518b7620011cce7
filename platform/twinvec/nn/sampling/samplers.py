"""The neighbour samplers by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

import torch

from twinvec.errors import SettingsError
from twinvec.nn.sampling.blocks import Neighbours, Sampler
from twinvec.nn.sampling.csr import CsrSampler

SamplerName = Literal["auto", "dgl", "csr"]


def resolve_sampler(name: SamplerName, device: torch.device) -> Literal["dgl", "csr"]:
    """Return the sampler that `name` stands for on a device.

    `auto` is DGL on a CPU where it is installed. Elsewhere it is plain torch: DGL's wheels sample on the CPU alone.

    Raises:
        SettingsError: If `name` is `dgl` and DGL is not installed.
    """
    if name == "csr" or (name == "auto" and device.type != "cpu"):
        return "csr"
    if find_spec("dgl") is not None:
        return "dgl"
    if name == "dgl":
        raise SettingsError(
            "`sampler` is `dgl`, and DGL is not installed",
            "set `sampler` to auto or csr, or use Python 3.11: DGL has no wheel for a newer one",
        )
    return "csr"


def make_sampler(
    name: SamplerName, graph: Mapping[str, Neighbours], fanouts: Mapping[str, int], hops: int, seed: int
) -> Sampler:
    """Return the sampler that `name` stands for.

    Args:
        name: `csr` samples with torch on the graph's device, `dgl` with DGL on the CPU; `auto` is one of the two, see
            `resolve_sampler`.
        graph: Relation → neighbours of every node, on the device to train on.
        fanouts: Relation → largest number of neighbours to keep; −1 keeps all.
        hops: Number of layers.
        seed: Seed of the choice of neighbours.

    Raises:
        SettingsError: If DGL is to be used and cannot be imported.

    Example:
        >>> import torch
        >>> from twinvec.nn.sampling.blocks import from_edges
        >>> path = from_edges(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 2, 1]), 3)
        >>> block = make_sampler("csr", {"next": path}, {"next": -1}, hops=1, seed=0).sample(torch.tensor([2]))
        >>> block.nodes
        tensor([2, 1])
        >>> block.hops[0].neighbours["next"].positions  # Among `nodes`.
        tensor([1])
    """
    if resolve_sampler(name, next(iter(graph.values())).positions.device) == "csr":
        return CsrSampler(graph, fanouts, hops, seed)
    try:
        from twinvec.nn.sampling.dgl import DglSampler  # DGL takes seconds to import.
    except (ImportError, OSError) as error:
        # A broken installation is not passed over in silence: `auto` would sample other neighbours than before.
        raise SettingsError(
            f"DGL is installed and cannot be imported: {(str(error).splitlines() or [repr(error)])[0]}",
            "repair or remove it, or set `sampler` to csr",
        ) from error
    return DglSampler(graph, fanouts, hops, seed)
