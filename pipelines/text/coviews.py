"""Pairs of products that were viewed together, sorted in a file: looked up in each step, never read as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class CoviewedPairs:
    """Pairs of nodes, each in both orders.

    Attributes:
        keys: First · `nodes` + second, ascending, int64 [pairs]; may be a file mapped into memory.
        nodes: Number of nodes.
    """

    keys: npt.NDArray[np.int64]
    nodes: int

    def contains(self, first: Tensor, second: Tensor) -> Tensor:
        """Return whether each of `first`, int64 [m], was viewed with each of `second`, int64 [n]; bool [m, n]."""
        keys = (first[:, None] * self.nodes + second).cpu().numpy()
        if not len(self.keys):
            return torch.zeros(keys.shape, dtype=torch.bool, device=first.device)
        position = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return torch.from_numpy(self.keys[position] == keys).to(first.device)


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
    empty = np.zeros(0, np.int64)
    return CoviewedPairs(np.memmap(path, np.int64, "r") if path.stat().st_size else empty, nodes)
