"""Neighbourhoods as files of a version: a root's are read by its number, whatever the size of the graph.

node_ids.parquet                     ids of the nodes, in the order of their numbers
nodes.npy, node_ends.npy             numbers of the nodes of each neighbourhood, one after the other, and their ends
sources.npy, targets.npy, edge_ends.npy   edges as positions in the neighbourhood
features.npy                         input vectors of the nodes, float32 [n, F]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipelines.relevance.purchase_graph import Chunk
from twinvec.nn.layers.neighbourhood import Neighbourhoods

IDS, FEATURES = "node_ids.parquet", "features.npy"
LISTS = {"nodes": np.int32, "sources": np.int16, "targets": np.int16}
NODE_ENDS, EDGE_ENDS = "node_ends.npy", "edge_ends.npy"
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NeighbourhoodFiles:
    """Neighbourhoods of n nodes, mapped into memory.

    Attributes:
        node_ids: Ids of the nodes, strings [n].
        nodes, sources, targets: See `Chunk`.
        node_ends, edge_ends: End of each root's nodes and edges, int64 [n + 1], from 0.
        features: Input vectors of the nodes, float32 [n, F].
    """

    node_ids: pa.Array
    nodes: npt.NDArray[np.int32]
    sources: npt.NDArray[np.int16]
    targets: npt.NDArray[np.int16]
    node_ends: Ints
    edge_ends: Ints
    features: npt.NDArray[np.float32]

    def batch(self, roots: Ints) -> Neighbourhoods:
        """Return the neighbourhoods of some roots, numbers int64 [r], as one graph."""
        nodes, sizes = _gather(self.nodes, self.node_ends, roots)
        first = np.cumsum(sizes) - sizes
        (source, degrees), (target, _) = (
            _gather(values, self.edge_ends, roots) for values in (self.sources, self.targets)
        )
        shift = np.repeat(first, degrees)
        return Neighbourhoods(
            torch.from_numpy(np.asarray(self.features[nodes])),
            torch.from_numpy(np.stack([source + shift, target + shift])),
            torch.from_numpy(first),
        )

    def sizes(self, roots: Ints) -> Ints:
        """Return the number of nodes of each neighbourhood but its root, int64 [r]; 0 for the root −1, none."""
        known = np.maximum(roots, 0)
        return np.where(roots >= 0, self.node_ends[known + 1] - self.node_ends[known] - 1, 0)


def write_neighbourhoods(folder: Path, node_ids: pa.Array, chunks: Iterable[Chunk]) -> None:
    """Write the files but `features.npy`, in the memory of a chunk.

    Args:
        folder: Folder of the version.
        node_ids: Ids of all nodes, strings [n].
        chunks: Neighbourhoods in the order of the nodes.
    """
    pq.write_table(pa.table({"node_id": node_ids}), folder / IDS, compression="zstd")
    files = {name: (folder / f"{name}.raw").open("wb") for name in LISTS}
    counts: dict[str, list[Ints]] = {NODE_ENDS: [], EDGE_ENDS: []}
    try:
        for chunk in chunks:
            for name, file in files.items():
                file.write(np.ascontiguousarray(getattr(chunk, name)).tobytes())
            counts[NODE_ENDS].append(chunk.node_counts)
            counts[EDGE_ENDS].append(chunk.edge_counts)
    finally:
        for file in files.values():
            file.close()
    for name, parts in counts.items():
        np.save(folder / name, np.concatenate([np.zeros(1, np.int64), *parts]).cumsum())


def open_neighbourhoods(folder: Path, features: Path) -> NeighbourhoodFiles:
    """Open the neighbourhoods of a version.

    Args:
        folder: Folder of the version of `neighbourhoods`.
        features: Folder of the version of `search_nodes`.
    """
    lists = {
        name: np.memmap(folder / f"{name}.raw", dtype, "r")
        if (folder / f"{name}.raw").stat().st_size
        else np.zeros(0, dtype)
        for name, dtype in LISTS.items()
    }
    return NeighbourhoodFiles(
        pq.read_table(folder / IDS)["node_id"].combine_chunks(),
        lists["nodes"],
        lists["sources"],
        lists["targets"],
        np.load(folder / NODE_ENDS, mmap_mode="r"),
        np.load(folder / EDGE_ENDS, mmap_mode="r"),
        np.load(features / FEATURES, mmap_mode="r"),
    )


def as_tables(files: NeighbourhoodFiles, rows: int) -> Iterator[pa.Table]:
    """Yield the neighbourhoods as a table for the feature store, `rows` at a time: ids of nodes, ends of edges."""
    for first in range(0, len(files.node_ids), rows):
        last = min(first + rows, len(files.node_ids))
        nodes = slice(files.node_ends[first], files.node_ends[last])
        edges = slice(files.edge_ends[first], files.edge_ends[last])
        node_offsets = pa.array((files.node_ends[first : last + 1] - files.node_ends[first]).astype(np.int32))
        edge_offsets = pa.array((files.edge_ends[first : last + 1] - files.edge_ends[first]).astype(np.int32))
        ids = files.node_ids.take(pa.array(files.nodes[nodes]))
        yield pa.table(
            {
                "node_id": files.node_ids.slice(first, last - first),
                "nodes": pa.ListArray.from_arrays(node_offsets, ids),
                "sources": _list(edge_offsets, files.sources[edges]),
                "targets": _list(edge_offsets, files.targets[edges]),
            }
        )


def _list(offsets: pa.Array, values: npt.NDArray[np.int16]) -> pa.ListArray:
    return pa.ListArray.from_arrays(offsets, pa.array(values.astype(np.int32)))


def _gather(values: npt.NDArray[Any], ends: Ints, roots: Ints) -> tuple[Ints, Ints]:
    """Return the values of some roots, one after the other, and their number for each."""
    starts, sizes = ends[roots], ends[roots + 1] - ends[roots]
    places = np.arange(sizes.sum()) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return values[places].astype(np.int64), np.asarray(sizes)
