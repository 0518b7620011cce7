"""Texts and images of a later snapshot: vectors of what stayed are taken over, the others encoded as they were."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.nn import functional

from pipelines.cold_start.models import ImageEncoder, TextEncoder
from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.image.pipeline import SKIPPED_FILE
from pipelines.image.pixels import CHUNK as IMAGES
from pipelines.image.reading import SKIPPED, count_images, read_images
from pipelines.text.encoder import encode_texts
from pipelines.text.forward import build_forward
from pipelines.text.pipeline import CHUNK as TEXTS
from pipelines.text.texts import count_texts, read_texts
from pipelines.update.changes import SAME_TEXT, same_images, side_by_side
from pipelines.update.live import Live
from registry.models import Version
from twinvec.catalogue.snapshot import Snapshot, open_snapshot, quoted
from twinvec.errors import StateError
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER
from twinvec.progress import Progress
from twinvec.settings import ImageSettings
from twinvec.stage import Inputs, Outcome, Train
from twinvec.tracking import Run
from twinvec.workspace import Workspace

ROWS = 10_000
Floats = npt.NDArray[np.float32]
Encode = Callable[[Snapshot], Iterator[tuple[pa.Array, Floats]]]


@dataclass(frozen=True)
class Rest(Snapshot):
    """A snapshot without some of its products.

    Attributes:
        without: A Parquet file with their ids.
    """

    without: Path

    def connect(self, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
        """Connect as to the snapshot, with fewer products."""
        connection = super().connect(memory_limit)
        connection.execute(
            f"""
            CREATE OR REPLACE VIEW products AS FROM read_parquet({quoted(self.table("products"))}) each
            ANTI JOIN read_parquet({quoted(self.without)}) left_out USING (product_id)
            """
        )
        return connection


def carry_text(workspace: Workspace, live: Live, full: bool) -> Train:
    """Return a training that gives a later snapshot the text vectors of the live encoder; nothing is trained."""
    old = live.versions["text"]
    encoder = TextEncoder.load(workspace.settings, old).model

    def train(inputs: Inputs, _run: Run, progress: Progress) -> Outcome:
        options = inputs.settings.text
        forward = build_forward(encoder.eval(), options.backend, options.precision)

        def encode(rest: Snapshot) -> Iterator[tuple[pa.Array, Floats]]:
            for some in read_texts(rest, TEXTS):
                yield (
                    some.product_ids,
                    encode_texts(encoder, some.texts.to_pylist(), options.batch, forward, options.tokens),
                )

        same = None if full else SAME_TEXT
        return _carry(inputs, old, same, encode, count_texts(inputs.snapshot), progress)

    return train


def carry_images(workspace: Workspace, live: Live, full: bool) -> Train:
    """Return the same for images; what could not be read before is tried again."""
    old = live.versions["image"]
    model = ImageEncoder.load(workspace.settings, old)

    def train(inputs: Inputs, _run: Run, progress: Progress) -> Outcome:
        # The size that the encoder was trained for, whatever is set now.
        options = inputs.settings.image.model_copy(update={"size": model.size})
        skipped = [SKIPPED.empty_table()]

        def encode(rest: Snapshot) -> Iterator[tuple[pa.Array, Floats]]:
            for some in read_images(rest, options, IMAGES):
                skipped.append(some.skipped)
                if some.product_ids:
                    yield (
                        pa.array(some.product_ids, pa.string()),
                        _encode_images(model.module, some.pixels, options),
                    )

        same = None if full else same_images(open_snapshot(Path(old.snapshot.path)), inputs.snapshot)
        outcome = _carry(inputs, old, same, encode, count_images(inputs.snapshot), progress)
        return replace(
            outcome, write=lambda folder: pq.write_table(pa.concat_tables(skipped), folder / SKIPPED_FILE)
        )

    return train


def _carry(
    inputs: Inputs, old: Version, same: str | None, encode: Encode, most: int, progress: Progress
) -> Outcome:
    """Take over the vectors of the products that `same` selects, encode the others.

    Memory is that of a batch; the vectors lie in a file.
    """
    manifest = Manifest.from_json(old.manifest)
    (field,) = manifest.fields
    home = inputs.settings.home
    vectors = disk_matrix(home, max(most, 1), manifest.dimension)
    keys: list[pa.Array] = []
    done = 0

    def add(product_ids: pa.Array, some: Floats) -> None:
        nonlocal done
        vectors[done : done + len(some)] = some
        keys.append(product_ids)
        done += len(some)

    with tempfile.TemporaryDirectory(dir=home) as scratch:
        kept = Path(scratch) / "kept.parquet"
        for product_ids, some in _taken_over(inputs, old, same, kept):
            add(product_ids, some)
        taken = done
        progress(f"{taken:,} vectors of {old.name} stay")
        for product_ids, some in encode(Rest(**vars(inputs.snapshot), without=kept)):
            add(product_ids, some)
            progress(f"{done - taken:,} encoded")
    if not done:
        raise StateError(
            f"no product of snapshot {inputs.snapshot.id} has a vector in the space {old.space}, which the live "
            "release was made with",
            "`twinvec run` trains a release of this snapshot",
        )
    return Outcome(
        keys=pa.concat_arrays(keys),
        vectors={field: vectors[:done]},
        metric=manifest.metric,
        normalised=manifest.normalised,
        model=manifest.model,
        preprocessing=manifest.preprocessing,
        metrics={
            "coverage": done / inputs.snapshot.tables["products"],
            "taken_over": float(taken),
            "encoded": float(done - taken),
        },
        log_model=lambda: str(old.model_uri),
    )


def _taken_over(
    inputs: Inputs, old: Version, same: str | None, kept: Path
) -> Iterator[tuple[pa.Array, Floats]]:
    """Yield, in batches, the vectors of `old` for the products that `same` selects; their ids go to the file `kept`."""
    manifest = Manifest.from_json(old.manifest)
    before = open_snapshot(Path(old.snapshot.path))
    files = quoted(Path(old.path) / FOLDER / "*.parquet")
    with side_by_side(before, inputs.snapshot, inputs.settings.ingest.memory_limit) as connection:
        chosen = same or "SELECT product_id FROM products WHERE false"
        connection.execute(
            f"""
            COPY (SELECT product_id FROM ({chosen}) SEMI JOIN read_parquet({files}) USING (product_id))
            TO {quoted(kept)} (FORMAT parquet)
            """
        )
        rows = connection.sql(
            f"""
            SELECT product_id, {manifest.fields[0]} AS vector
            FROM read_parquet({files}) each SEMI JOIN read_parquet({quoted(kept)}) kept USING (product_id)
            """
        )
        for batch in rows.to_arrow_reader(ROWS):
            values: Floats = batch["vector"].flatten().to_numpy()
            yield batch["product_id"], values.reshape(-1, manifest.dimension)


def _encode_images(module: nn.Module, pixels: npt.NDArray[np.uint8], options: ImageSettings) -> Floats:
    """Return the vectors of images by an exported encoder, float32 [n, d], as training computes them."""
    # Exported models take no batch of one.
    batches = np.array_split(np.arange(len(pixels)), max(1, len(pixels) // max(2, options.batch)))
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16")
    parts = []
    with torch.inference_mode(), mixed:
        for rows in batches:
            images = torch.from_numpy(pixels[rows]).float() / 255
            if len(rows) == 1:
                images = images.repeat(2, 1, 1, 1)
            parts.append(functional.normalize(module(images).float(), dim=1)[: len(rows)])
    encoded: Floats = torch.cat(parts).numpy()
    return encoded
