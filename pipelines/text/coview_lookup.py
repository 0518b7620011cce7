"""Which products were viewed together, on disk in order of a key: asked in each step, never read as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Coviewed:
    """Pairs of nodes, each in both orders.

    Attributes:
        keys: first · `nodes` + second, ascending, int64 [pairs]; may be a file mapped into memory.
        nodes: more than the highest node.
    """

    keys: npt.NDArray[np.int64]
    nodes: int

    def among(self, first: Tensor, second: Tensor) -> Tensor:
        """Whether each of `first`, int64 [m], was viewed with each of `second`, int64 [n]; bool [m, n]."""
        wanted = (first[:, None] * self.nodes + second).cpu().numpy()
        if not len(self.keys):
            return torch.zeros(wanted.shape, dtype=torch.bool, device=first.device)
        place = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return torch.from_numpy(self.keys[place] == wanted).to(first.device)


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


def open_coviewed(path: Path, nodes: int) -> Coviewed:
    """What `write_coviewed` wrote of a graph of `nodes` nodes."""
    empty = np.zeros(0, np.int64)
    return Coviewed(np.memmap(path, np.int64, "r") if path.stat().st_size else empty, nodes)
