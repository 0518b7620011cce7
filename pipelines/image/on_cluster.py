"""Encoding of images on a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipelines.encoding.on_cluster import Encode, Vectors, encode_chunks
from pipelines.image.encoder import encode_images
from twinvec.engine import Cluster
from twinvec.nn.models.image import ImageEncoder
from twinvec.settings import ImageSettings


def encode_on_cluster(
    cluster: Cluster,
    encoder: ImageEncoder,
    pixels: npt.NDArray[np.uint8],
    chunk: int,
    options: ImageSettings,
    processes: int | None,
) -> Iterator[Vectors]:
    """Yield the vectors of images, float32 [n, d] for each `chunk` of them, in their order.

    Args:
        cluster: Machines that encode; a GPU for each process if they have any.
        encoder: Encoder in evaluation mode, which is sent to them.
        pixels: RGB, uint8 [n, 3, size, size]; may be in a file.
        chunk: Images that are encoded together.
        options: Settings of the encoding.
        processes: Number of processes; None is one a GPU, or one a core.
    """
    chunks = (as_bytes(pixels[first : first + chunk]) for first in range(0, len(pixels), chunk))
    # The weights travel on the CPU: a machine without a GPU could not read them otherwise.
    device, arguments = encoder.mean.device, (encoder.cpu(), options)
    try:
        yield from encode_chunks(cluster, load, arguments, chunks, encoder.projection.out_features, processes)
    finally:
        encoder.to(device)


def load(encoder: ImageEncoder, options: ImageSettings) -> Encode:
    """Return the function that encodes images, each the bytes of its pixels."""
    placed = encoder.to(torch.device("cuda" if torch.cuda.is_available() else "cpu")).eval()

    def encode(images: list[bytes]) -> Vectors:
        pixels = np.frombuffer(b"".join(images), np.uint8)
        shaped = pixels.reshape(len(images), 3, options.size, options.size)
        return encode_images(placed, shaped, options.batch, options.precision)

    return encode


def as_bytes(pixels: npt.NDArray[np.uint8]) -> pa.Array:
    """Return the bytes of each image, binary of a fixed length [n]."""
    flat = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(flat.shape[1]), len(flat), [None, pa.py_buffer(flat)]
    )
