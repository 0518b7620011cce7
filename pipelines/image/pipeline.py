"""The space `image`: vectors of images by an encoder trained on co-viewed pairs (MERLIN 3.4)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.encoding.registered import log_once
from pipelines.graph.coviews import coview_metrics
from pipelines.graph.product_graph import ProductGraph, load_graph
from pipelines.image.decoding import preprocessing_digest
from pipelines.image.encoder import encode_images, load_encoder
from pipelines.image.on_cluster import encode_on_cluster
from pipelines.image.pairs import Pairs, coview_pairs
from pipelines.image.pixels import CHUNK, decode_images, open_images
from pipelines.image.space import SPACE
from pipelines.image.training import distil
from twinvec.engine import Cluster, open_cluster
from twinvec.nn import processes
from twinvec.nn.device import resolve_device
from twinvec.nn.models.image import ImageEncoder
from twinvec.nn.training.encoder_loop import peak_memory
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.settings import ImageSettings, Settings
    from twinvec.tracking import Run

(FIELD,) = SPACE.fields
SKIPPED_FILE = "skipped.parquet"


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Decode the images, train the encoder on them if the scheme has it, and encode them.

    Raises:
        CatalogueError: If no image can be read.
    """
    settings, options, snapshot = inputs.settings, inputs.settings.image, inputs.snapshot
    device = resolve_device(settings.device)
    encoder = load_encoder(options.model, options.size, options.dimension, settings.seed).to(device)
    graph = load_graph(inputs.folder("graph")) if "graph" in inputs.versions else None
    figures: dict[str, float] = {}
    with _working_folder(inputs) as folder:
        if processes.is_first():
            decode_images(folder / "images", snapshot, options, progress)
        processes.wait()
        images = open_images(folder / "images", options.size)
        pairs = training_pairs(options, graph, images.product_ids)
        if len(pairs):
            encoder, figures = distil(
                encoder,
                images.pixels,
                pairs,
                options.training,
                folder / "training",
                settings.seed,
                device,
                run,
                progress,
            )
        elif options.scheme == "coview-pair":
            progress("no two products with images were viewed together: the encoder is not trained")
        vectors = disk_matrix(settings.home, len(images.product_ids), options.dimension)
        with open_cluster(settings) as cluster:
            rate = _encode(encoder, images.pixels, vectors, settings, cluster, progress)
    model = model_digest(encoder)
    preprocessing = preprocessing_digest(options.size)
    example = torch.zeros(2, 3, options.size, options.size)
    return Outcome(
        keys=images.product_ids,
        vectors={FIELD: vectors},
        metric="cosine",
        normalised=True,
        model=model,
        preprocessing=preprocessing,
        metrics={
            "coverage": len(images.product_ids) / snapshot.tables["products"],
            "skipped": float(len(images.skipped)),
            "pairs": float(len(pairs)),
            **(coview_metrics(graph, images.product_ids, vectors) if graph is not None else {}),
            **figures,
            "images_per_second": rate,
            "peak_memory_bytes": float(peak_memory(device)),
        },
        log_model=lambda: log_once(
            "image", model, preprocessing, lambda: run.log_model(encoder, {"images": example})
        ),
        write=lambda target: _write_skipped(images.skipped, target),
    )


def training_pairs(options: ImageSettings, graph: ProductGraph | None, product_ids: list[str]) -> Pairs:
    """Return the pairs of images that the scheme trains on, int64 [pairs, 2]; none if nothing is trained."""
    if options.scheme == "same-product":
        return np.arange(len(product_ids))[:, None].repeat(2, axis=1)
    if options.scheme == "coview-pair" and graph is not None:
        return coview_pairs(graph, product_ids, options.training.min_count)
    return np.zeros((0, 2), np.int64)


@contextmanager
def _working_folder(inputs: Inputs) -> Iterator[Path]:
    """Yield the folder of the checkpoints; a temporary one if none are kept."""
    if inputs.checkpoints is not None:
        yield inputs.checkpoints
        return
    with tempfile.TemporaryDirectory(dir=inputs.settings.home) as folder:
        yield Path(folder)


def _encode(
    encoder: ImageEncoder,
    pixels: npt.NDArray[np.uint8],
    vectors: npt.NDArray[np.float32],
    settings: Settings,
    cluster: Cluster | None,
    progress: Progress,
) -> float:
    """Fill `vectors`, float32 [n, d], chunk by chunk, and return images a second."""
    options = settings.image
    if cluster is None:
        encoded: Iterator[npt.NDArray[np.float32]] = (
            encode_images(encoder, pixels[first : first + CHUNK], options.batch, options.precision)
            for first in range(0, len(pixels), CHUNK)
        )
    else:
        encoded = encode_on_cluster(cluster, encoder, pixels, CHUNK, options, settings.ray.encoders)
    started, done, rate = time.perf_counter(), 0, 0.0
    for part in encoded:
        vectors[done : done + len(part)] = part
        done += len(part)
        rate = done / (time.perf_counter() - started)
        progress(f"{done:,} of {len(pixels):,} images encoded, {rate:,.0f} images/s")
    return rate


def _write_skipped(left_out: pa.Table, folder: Path) -> None:
    pq.write_table(left_out, folder / SKIPPED_FILE)
