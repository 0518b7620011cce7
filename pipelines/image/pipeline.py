"""The space `image`: every product whose image can be read, by an encoder that is not trained (MERLIN 3.4)."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipelines.device import resolve_device
from pipelines.encoding.logged import log_once
from pipelines.encoding.matrix import disk_matrix
from pipelines.image.decoding import PROCEDURE
from pipelines.image.encoder import encode_images, load_encoder
from pipelines.image.reading import SKIPPED, count_images, list_reasons, read_images
from pipelines.outline import Inputs, Outcome, Progress
from twinvec import digest
from twinvec.errors import CatalogueError
from twinvec.features.manifest import vector_fields
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.tracking import Run

(FIELD,) = vector_fields("image")
SKIPPED_FILE = "skipped.parquet"
# Products whose images are in memory at a time.
CHUNK = 512


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Read and encode the images, chunk by chunk. The encoder is not trained.

    Raises:
        CatalogueError: if none can be read.
    """
    settings, options, snapshot = inputs.settings, inputs.settings.image, inputs.snapshot
    encoder = load_encoder(options.model, options.size, options.dimension, settings.seed)
    encoder.to(resolve_device(settings.device))
    total = count_images(snapshot)
    vectors = disk_matrix(settings.home, max(total, 1), options.dimension)
    keys: list[str] = []
    skipped: list[pa.Table] = []
    seen = 0
    started = time.perf_counter()
    for step, batch in enumerate(read_images(snapshot, options, CHUNK)):
        first, before = len(keys), time.perf_counter()
        keys.extend(batch.product_ids)
        vectors[first : len(keys)] = encode_images(encoder, batch.pixels, options.batch)
        skipped.append(batch.skipped)
        seen += len(batch.product_ids) + len(batch.skipped)
        run.log_epoch(step, {"encoded_per_second": len(batch.product_ids) / (time.perf_counter() - before)})
        rate = len(keys) / (time.perf_counter() - started)
        progress(f"{seen:,} of {total:,} images, {seen - len(keys):,} left out, {rate:,.0f} images/s")
    left_out = pa.concat_tables([SKIPPED.empty_table(), *skipped])
    reasons = list_reasons(Counter(left_out["reason"].to_pylist()))
    if not keys:
        raise CatalogueError(
            f"none of the images of snapshot {snapshot.id} can be read: {reasons}",
            f"relative paths start at {snapshot.image_root}; `twinvec ingest` notes where that is",
        )
    if reasons:
        progress(f"left out: {reasons}")
    seconds = time.perf_counter() - started
    model = model_digest(encoder)
    preprocessing = digest.of_json({"size": options.size, "procedure": PROCEDURE})
    example = torch.zeros(2, 3, options.size, options.size)
    return Outcome(
        keys=keys,
        vectors={FIELD: vectors[: len(keys)]},
        metric="cosine",
        normalised=True,
        model=model,
        preprocessing=preprocessing,
        metrics={
            "coverage": len(keys) / snapshot.tables["products"],
            "skipped": float(len(left_out)),
            "images_per_second": len(keys) / seconds,
        },
        log_model=lambda: log_once(
            "image", model, preprocessing, lambda: run.log_model(encoder, {"images": example})
        ),
        write=lambda folder: _write_skipped(left_out, folder),
    )


def _write_skipped(left_out: pa.Table, folder: Path) -> None:
    pq.write_table(left_out, folder / SKIPPED_FILE)
