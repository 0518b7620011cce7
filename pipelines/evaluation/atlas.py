"""Export for the public tool embedding-atlas: places on a plane, neighbours, and what the map is coloured by."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evaluation.layout import map_of
from registry.models import Version
from twinvec.errors import NotFoundError
from twinvec.features.reading import read_vectors
from twinvec.progress import Progress
from twinvec.vectors.maps import X, Y, roles_of
from twinvec.workspace import Workspace

# Products whose neighbours are found at a time, and that they are compared with at a time.
BATCH, CHUNK = 1024, 65536
NEIGHBOURS = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])


def export_atlas(
    workspace: Workspace,
    version: Version,
    target: Path,
    role: str | None = None,
    k: int = 15,
    progress: Progress = lambda _message: None,
) -> int:
    """Write the map of a version to a Parquet file, and return the number of rows; it appears whole or not at all.

    The columns are `id` (the row, from 0), `x`, `y`, `neighbors` (a struct of `ids`, which are rows, and `distances`,
    one minus the cosine), and those of the map.

    Args:
        workspace: Stores.
        version: Version of any space of products.
        target: File to write.
        role: Vectors that place the products and give the neighbours; the last of the version's if not given.
        k: Number of neighbours.
        progress: Called with messages.

    Raises:
        NotFoundError: If the version has no such vectors.
    """
    table = map_of(workspace, version, progress)
    roles = roles_of(table)
    role = role or roles[-1]
    if role not in roles:
        raise NotFoundError(f"{version.name} has no {role} vectors", f"it has {', '.join(roles)}")
    read = read_vectors(workspace.features, version, table["product_id"].to_pylist())
    vectors = next(each for name, each in read.fields.items() if name.removesuffix("_vector") == role)
    shown = [name for name in table.column_names if not name.endswith((X, Y))]
    columns = table.select(shown)
    target = target.expanduser().absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    writer: pq.ParquetWriter | None = None
    try:
        progress(f"finding the {k} nearest of {table.num_rows:,} products")
        for first, ids, distances in nearest(vectors, k):
            page = columns.slice(first, len(ids))
            rows = pa.array(np.arange(first, first + len(ids)))
            part = pa.table(
                {
                    "id": rows,
                    "x": table[role + X].slice(first, len(ids)),
                    "y": table[role + Y].slice(first, len(ids)),
                    "neighbors": _struct(ids, distances),
                    **{name: page[name] for name in shown},
                }
            )
            writer = writer or pq.ParquetWriter(staging, part.schema)
            writer.write_table(part)
        if writer is not None:
            writer.close()
            writer = None
            staging.replace(target)
    finally:
        if writer is not None:
            writer.close()
        staging.unlink(missing_ok=True)
    return int(table.num_rows)


def nearest(
    vectors: npt.NDArray[np.float32], k: int
) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Yield the k nearest others of each vector by cosine, a batch at a time: first row, rows and distances [b, k].

    It is exact: n² products of d numbers, in blocks of `BATCH` × `CHUNK`.
    """
    n = len(vectors)
    k = min(k, n - 1)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    for first in range(0, n, BATCH):
        size = len(unit[first : first + BATCH])
        own = np.arange(first, first + size)
        ids = np.zeros((size, 0), np.int64)
        cosines = np.zeros((size, 0), np.float32)
        for start in range(0, n, CHUNK):
            block = unit[first : first + BATCH] @ unit[start : start + CHUNK].T
            inside = (own >= start) & (own < start + block.shape[1])
            block[np.flatnonzero(inside), own[inside] - start] = -np.inf
            keep = min(k, block.shape[1])
            best = (
                np.argpartition(-block, keep - 1, axis=1)[:, :keep] if keep else np.zeros((size, 0), np.int64)
            )
            ids = np.concatenate([ids, best + start], axis=1)
            cosines = np.concatenate([cosines, np.take_along_axis(block, best, axis=1)], axis=1)
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
            ids = np.take_along_axis(ids, order, axis=1)
            cosines = np.take_along_axis(cosines, order, axis=1)
        yield first, ids, 1 - cosines


def _struct(ids: npt.NDArray[np.int64], distances: npt.NDArray[np.float32]) -> pa.StructArray:
    offsets = pa.array(np.arange(len(ids) + 1, dtype=np.int32) * ids.shape[1], pa.int32())
    lists = [pa.ListArray.from_arrays(offsets, pa.array(each.ravel())) for each in (ids, distances)]
    return pa.StructArray.from_arrays(lists, fields=list(NEIGHBOURS))
