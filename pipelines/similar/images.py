"""Images of listings: each distinct image is read and encoded once, however many listings show it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import torch

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.image.encoder import encode_images, load_encoder
from pipelines.image.pixels import CHUNK
from pipelines.image.reading import list_reasons, read_images
from twinvec.catalogue.snapshot import Snapshot
from twinvec.nn.models.image import ImageEncoder
from twinvec.progress import Progress
from twinvec.settings import ImageSettings, Settings

IMAGE_DIMENSION, NO_IMAGES = 256, 1
"""Length of an image vector, and of what stands in its place in a model that reads no images."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ListedImages(Snapshot):
    """A snapshot whose products are the distinct images of its listings; their ids are numbers from 0, as text."""

    def connect(self, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
        """Connect as to the snapshot."""
        connection = super().connect(memory_limit)
        connection.execute(
            """CREATE OR REPLACE VIEW products AS
               SELECT (row_number() OVER (ORDER BY image) - 1)::VARCHAR AS product_id, image
               FROM (SELECT DISTINCT image FROM listings WHERE image IS NOT NULL)"""
        )
        return connection


def listed_images(snapshot: Snapshot) -> ListedImages:
    """Return the snapshot of the images of a snapshot's listings."""
    return ListedImages(**vars(snapshot))


def has_images(snapshot: Snapshot) -> bool:
    """Return whether any listing names an image."""
    with snapshot.connect() as connection:
        ((images,),) = connection.execute("SELECT count(image) FROM listings").fetchall()
    return bool(images)


def images_of_listings(snapshot: Snapshot, memory_limit: str | None = None) -> Ints:
    """Return the number of each listing's image in `ListedImages`, in the order of the listings' ids, int64 [n].

    It is −1 for a listing without an image. They are sorted within DuckDB's `memory_limit`.
    """
    with snapshot.connect(memory_limit) as connection:
        rows = connection.sql(
            """SELECT CASE WHEN image IS NULL THEN -1 ELSE dense_rank() OVER (ORDER BY image NULLS LAST) - 1 END
                      AS image FROM listings ORDER BY item_id"""
        )
        numbers: Ints = rows.fetchnumpy()["image"].astype(np.int64, copy=False)
    return numbers


def image_settings(settings: Settings) -> ImageSettings:
    """Return the settings of the images of listings."""
    return settings.image.model_copy(update={"size": settings.similar.image_size})


def image_encoder(settings: Settings, device: torch.device) -> ImageEncoder:
    """Load the image encoder that the settings name for listings."""
    options = settings.similar
    return load_encoder(options.image_model, options.image_size, IMAGE_DIMENSION, seed=0).to(device)


def image_vectors(
    snapshot: Snapshot, listings: int, settings: Settings, encoder: ImageEncoder | None, progress: Progress
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the image vectors of the listings, float32 [n, i] in a file, and whether each has one, bool [n].

    Images that cannot be read are counted, by reason, in a message.

    Args:
        snapshot: Snapshot.
        listings: Number of its listings.
        settings: Settings.
        encoder: Encoder; None reads no images.
        progress: Called with what is done.
    """
    vectors = disk_matrix(settings.home, listings, NO_IMAGES if encoder is None else IMAGE_DIMENSION)
    has = np.zeros(listings, bool)
    if encoder is None:
        return vectors, has
    images = images_of_listings(snapshot, settings.ingest.memory_limit)
    order = np.argsort(images, kind="stable")
    starts = np.searchsorted(images[order], np.arange(images.max(initial=-1) + 2))
    done, reasons = 0, Counter[str]()
    for batch in read_images(listed_images(snapshot), image_settings(settings), CHUNK):
        reasons.update(batch.skipped["reason"].to_pylist())
        if batch.product_ids:
            encoded = encode_images(encoder, batch.pixels, settings.similar.encode_batch)
            numbers = np.array(batch.product_ids).astype(np.int64)
            counts = starts[numbers + 1] - starts[numbers]
            shift = starts[numbers] - np.cumsum(counts) + counts
            rows = order[np.repeat(shift, counts) + np.arange(counts.sum())]
            vectors[rows] = np.repeat(encoded, counts, axis=0)
            has[rows] = True
        done += len(batch.product_ids)
        progress(f"{done:,} images")
    if reasons:
        progress(f"images left out: {list_reasons(reasons)}")
    return vectors, has
