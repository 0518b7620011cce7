"""Encoding of texts and images on a cluster, by Ray Data: each process loads its model once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, cast

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from twinvec.engine import Cluster
from twinvec.engine.on_ray import import_ray

Vectors: TypeAlias = npt.NDArray[np.float32]
Encode: TypeAlias = Callable[[list[Any]], Vectors]
"""From values, such as texts, to a vector for each, float32 [n, d]."""


class Encoder:
    """An encoder in one process of the cluster.

    Args:
        load: Called with `arguments` once in the process; loads the model and returns the function that encodes.
        arguments: Arguments that Ray can pickle.
    """

    def __init__(self, load: Callable[..., Encode], arguments: Sequence[Any]) -> None:
        self.encode = load(*arguments)

    def __call__(self, rows: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Return the row numbers and vectors of some values."""
        return {"row": rows["row"], "vector": self.encode(rows["value"].tolist())}


def encode_chunks(
    cluster: Cluster,
    load: Callable[..., Encode],
    arguments: Sequence[Any],
    chunks: Iterable[pa.Array],
    length: int,
    processes: int | None,
) -> Iterator[Vectors]:
    """Yield the vectors of each chunk of values, float32 [n, d], in their order.

    Args:
        cluster: Machines that encode; a GPU for each process if they have any.
        load: Load the model in a process; a function of a module that all machines have.
        arguments: Its arguments.
        chunks: Values, such as strings; each chunk is a file and encoded together.
        length: Length d of a vector.
        processes: Number of processes; None is one a GPU, or one a core but for one that reads and writes.
    """
    ray = import_ray()
    import ray.data as data

    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    with cluster.folder() as folder:
        files: list[str] = []
        sizes: list[int] = []
        filesystem, path = fsspec.core.url_to_fs(folder)
        filesystem.makedirs(f"{path}/values", exist_ok=True)
        first = 0
        for number, chunk in enumerate(chunks):
            table = pa.table({"row": np.arange(first, first + len(chunk)), "value": chunk})
            first += len(chunk)
            files.append(f"{path}/values/{number:06}.parquet")
            pq.write_table(table, files[-1], filesystem=filesystem)
            sizes.append(len(chunk))
        if not sizes:
            return
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        # The newer reader looks at files by actors, which are lost with their node; tasks are tried again.
        context.use_datasource_v2 = False
        encoded = data.read_parquet(files, filesystem=filesystem).map_batches(
            cast(Any, Encoder),
            fn_constructor_args=(load, arguments),
            batch_size=max(sizes),
            concurrency=processes or gpus or max(1, int(resources["CPU"]) - 1),
            num_gpus=1 if gpus else 0,
            num_cpus=1,
        )
        encoded.write_parquet(f"{path}/vectors", filesystem=filesystem)
        yield from _in_order(f"{path}/vectors", filesystem, sizes, length)


def _in_order(folder: str, filesystem: Any, sizes: list[int], length: int) -> Iterator[Vectors]:
    """Yield the vectors of each chunk; parts are read as they are needed, since each begins with its row numbers."""
    parts = sorted(filesystem.glob(f"{folder}/*.parquet"))
    starts = {
        int(pq.read_metadata(part, filesystem=filesystem).row_group(0).column(0).statistics.min): part
        for part in parts
    }
    waiting: list[pa.Table] = []
    remaining = sorted(starts)
    done = 0
    for size in sizes:
        while remaining and (not waiting or sum(map(len, waiting)) < size):
            waiting.append(pq.read_table(starts[remaining.pop(0)], filesystem=filesystem))
        table = pa.concat_tables(waiting).sort_by("row")
        rows = table["row"].to_numpy()
        assert (rows[:size] == np.arange(done, done + size)).all(), "every value has a vector"
        flat = table["vector"].slice(0, size).combine_chunks()
        yield np.asarray(_values(flat), np.float32).reshape(size, length)
        waiting, done = [table.slice(size)], done + size


def _values(vectors: pa.Array) -> npt.NDArray[Any]:
    storage = vectors.storage if isinstance(vectors, pa.ExtensionArray) else vectors
    values: npt.NDArray[Any] = storage.flatten().to_numpy(zero_copy_only=False)
    return values
