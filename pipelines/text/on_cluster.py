"""Encoding of texts on a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from tempfile import TemporaryDirectory

import fsspec
import pyarrow as pa
import torch
from sentence_transformers import SentenceTransformer

from pipelines.encoding.on_cluster import Encode, Vectors, encode_chunks
from pipelines.text.encoder import dimension, encode_texts, load_encoder
from pipelines.text.forward import build_forward
from twinvec.engine import Cluster
from twinvec.settings.pipelines import TextSettings


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
    with cluster.folder() as folder:
        filesystem, path = fsspec.core.url_to_fs(folder)
        with TemporaryDirectory() as local:
            encoder.save(f"{local}/encoder", create_model_card=False)
            filesystem.put(f"{local}/encoder", f"{path}/encoder", recursive=True)
        arguments = (f"{folder}/encoder", options)
        yield from encode_chunks(cluster, load, arguments, texts, dimension(encoder), processes)


def load(folder: str, options: TextSettings) -> Encode:
    """Return the function that encodes texts by the encoder in `folder`, a path or an fsspec URL."""
    filesystem, path = fsspec.core.url_to_fs(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with TemporaryDirectory() as local:
        filesystem.get(path, f"{local}/encoder", recursive=True)
        encoder = load_encoder(f"{local}/encoder", options.max_length, device)
    forward = build_forward(encoder, options.backend, options.precision)
    return lambda texts: encode_texts(encoder, texts, options.batch, forward, options.tokens)
