"""Encoding of texts on a cluster, by Ray Data: each process loads the model once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from tempfile import TemporaryDirectory
from typing import Any, cast

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sentence_transformers import SentenceTransformer

from pipelines.text.encoder import dimension, encode_texts, load_encoder
from pipelines.text.forward import build_forward
from twinvec.engine import Cluster
from twinvec.engine.on_ray import import_ray
from twinvec.settings.pipelines import TextSettings

Rows = dict[str, npt.NDArray[Any]]
Vectors = npt.NDArray[np.float32]


class TextEncoder:
    """An encoder in one process of the cluster.

    Args:
        folder: Folder, a path or an fsspec URL, that the encoder was saved to.
        options: Settings of the encoding.
    """

    def __init__(self, folder: str, options: TextSettings) -> None:
        filesystem, path = fsspec.core.url_to_fs(folder)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with TemporaryDirectory() as local:
            filesystem.get(path, f"{local}/encoder", recursive=True)
            self.encoder = load_encoder(f"{local}/encoder", options.max_length, device)
        self.options = options
        self.forward = build_forward(self.encoder, options.backend, options.precision)

    def __call__(self, rows: Rows) -> Rows:
        """Return the row numbers and vectors of some texts."""
        texts = rows["text"].tolist()
        options = self.options
        vectors = encode_texts(self.encoder, texts, options.batch, self.forward, options.tokens)
        return {"row": rows["row"], "vector": vectors}


def encode_on_cluster(
    cluster: Cluster,
    encoder: SentenceTransformer,
    texts: Iterable[pa.Array],
    options: TextSettings,
    processes: int | None,
) -> Iterator[Vectors]:
    """Yield the vectors of texts, float32 [n, d] for each n of them, in their order.

    Vectors are those of one machine but for the last bits, since other texts share their batches.

    Args:
        cluster: Machines that encode; a GPU for each process if they have any.
        encoder: Encoder, which is saved for them.
        texts: Strings, chunk by chunk; each chunk is a file and encoded together.
        options: Settings of the encoding.
        processes: Number of processes; None is one a GPU, or one a core.
    """
    ray = import_ray()
    import ray.data as data

    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    with cluster.folder() as folder:
        files: list[str] = []
        sizes: list[int] = []
        filesystem, path = fsspec.core.url_to_fs(folder)
        with TemporaryDirectory() as local:
            encoder.save(f"{local}/encoder", create_model_card=False)
            filesystem.put(f"{local}/encoder", f"{path}/encoder", recursive=True)
        filesystem.makedirs(f"{path}/texts", exist_ok=True)
        first = 0
        for number, chunk in enumerate(texts):
            table = pa.table({"row": np.arange(first, first + len(chunk)), "text": chunk})
            first += len(chunk)
            files.append(f"{path}/texts/{number:06}.parquet")
            pq.write_table(table, files[-1], filesystem=filesystem)
            sizes.append(len(chunk))
        if not sizes:
            return
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        # The newer reader looks at files by actors, which are lost with their node; tasks are tried again.
        context.use_datasource_v2 = False
        encoded = data.read_parquet(files, filesystem=filesystem).map_batches(
            cast(Any, TextEncoder),
            fn_constructor_args=(f"{folder}/encoder", options),
            batch_size=max(sizes),
            concurrency=processes or gpus or max(1, int(resources["CPU"]) - 1),
            num_gpus=1 if gpus else 0,
            num_cpus=1,
        )
        encoded.write_parquet(f"{path}/vectors", filesystem=filesystem)
        yield from _in_order(f"{path}/vectors", filesystem, sizes, dimension(encoder))


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
        assert (rows[:size] == np.arange(done, done + size)).all(), "every text has a vector"
        flat = table["vector"].slice(0, size).combine_chunks()
        yield np.asarray(_values(flat), np.float32).reshape(size, length)
        waiting, done = [table.slice(size)], done + size


def _values(vectors: pa.Array) -> npt.NDArray[Any]:
    storage = vectors.storage if isinstance(vectors, pa.ExtensionArray) else vectors
    values: npt.NDArray[Any] = storage.flatten().to_numpy(zero_copy_only=False)
    return values
