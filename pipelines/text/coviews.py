"""Pairs of products that were viewed together, sorted in a file: looked up in each step, never read as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class CoviewedPairs:
    """Pairs of nodes, each in both orders.

    Attributes:
        keys: First · `nodes` + second, ascending, int64 [pairs]; may be a file mapped into memory.
        nodes: Number of nodes.
    """

    keys: Tensor
    nodes: int

    def contains(self, first: Tensor, second: Tensor) -> Tensor:
        """Return whether each of `first`, int64 [m], was viewed with each of `second`, int64 [n]; bool [m, n]."""
        keys = first[:, None] * self.nodes + second
        if not len(self.keys):
            return torch.zeros_like(keys, dtype=torch.bool)
        position = torch.searchsorted(self.keys, keys).clamp_max(len(self.keys) - 1)
        return self.keys[position] == keys

    def to(self, device: torch.device) -> CoviewedPairs:
        """Return the pairs on a device; a file is read as a whole for any other than the CPU."""
        return CoviewedPairs(self.keys.to(device), self.nodes)


def write_coviewed(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write the keys of the table `viewed(anchor, other)`, nodes below those of `node`, to the file `target`."""
    staging = target.with_name(f".{target.name}.part")
    keys = connection.sql(
        "SELECT anchor * (SELECT max(node) + 1 FROM node) + other AS key FROM viewed ORDER BY key"
    )
    with staging.open("wb") as file:
        for batch in keys.to_arrow_reader(100_000):
            file.write(batch["key"].to_numpy().astype(np.int64).tobytes())
    staging.replace(target)


def open_coviewed(path: Path, nodes: int) -> CoviewedPairs:
    """Open the file that `write_coviewed` wrote for a graph of `nodes` nodes."""
    # An empty file cannot be mapped. Torch warns of memory that is read-only, which mode "c" is not.
    keys = np.memmap(path, np.int64, "c") if path.stat().st_size else np.zeros(0, np.int64)
    return CoviewedPairs(torch.from_numpy(keys), nodes)
