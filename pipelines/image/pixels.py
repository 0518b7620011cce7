"""Decoded images in a file: decoded once, read in each epoch and for encoding."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.image.reading import SKIPPED, count_images, list_reasons, read_images
from twinvec import files
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError
from twinvec.progress import Progress
from twinvec.settings import ImageSettings

# Images in memory at a time.
CHUNK = 512
PIXELS, PRODUCTS, LEFT_OUT = "pixels.bin", "products.parquet", "skipped.parquet"


@dataclass(frozen=True)
class DecodedImages:
    """Images of n products.

    Attributes:
        product_ids: Ids of the products, [n].
        pixels: RGB, uint8 [n, 3, size, size], in a file.
        skipped: Products without a readable image, columns as `SKIPPED`.
    """

    product_ids: list[str]
    pixels: npt.NDArray[np.uint8]
    skipped: pa.Table


def decode_images(folder: Path, snapshot: Snapshot, options: ImageSettings, progress: Progress) -> None:
    """Decode the images of a snapshot into `folder`, completely or not at all; do nothing if it exists.

    Raises:
        CatalogueError: If no image can be read.
    """
    if folder.is_dir():
        return
    total = count_images(snapshot)
    product_ids: list[str] = []
    skipped = [SKIPPED.empty_table()]
    with files.new_folder(folder) as new:
        with (new / PIXELS).open("wb") as file:
            for batch in read_images(snapshot, options, CHUNK):
                batch.pixels.tofile(file)
                product_ids.extend(batch.product_ids)
                skipped.append(batch.skipped)
                left_out = sum(map(len, skipped))
                progress(f"{len(product_ids) + left_out:,} of {total:,} images, {left_out:,} left out")
        table = pa.concat_tables(skipped)
        reasons = list_reasons(Counter(table["reason"].to_pylist()))
        if not product_ids:
            raise CatalogueError(
                f"none of the images of snapshot {snapshot.id} can be read: {reasons}",
                f"relative paths start at {snapshot.image_root}; `twinvec ingest` notes where that is",
            )
        pq.write_table(pa.table({"product_id": product_ids}), new / PRODUCTS)
        pq.write_table(table, new / LEFT_OUT)
    if reasons:
        progress(f"left out: {reasons}")


def open_images(folder: Path, size: int) -> DecodedImages:
    """Open what `decode_images` wrote, with images of `size` pixels a side."""
    product_ids = pq.read_table(folder / PRODUCTS)["product_id"].to_pylist()
    shape = (len(product_ids), 3, size, size)
    # Copy-on-write: torch warns of read-only memory.
    pixels = np.memmap(folder / PIXELS, np.uint8, "c", shape=shape)
    return DecodedImages(product_ids, pixels, pq.read_table(folder / LEFT_OUT))
