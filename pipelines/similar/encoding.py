"""Vectors of the listings' texts and images, which the fusion encoder reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.image.encoder import encode_images
from pipelines.image.encoder import load_encoder as load_image_encoder
from pipelines.image.pixels import CHUNK as IMAGES
from pipelines.image.reading import read_images
from pipelines.similar.listings import Labels, read_texts, text_sql
from pipelines.text.encoder import dimension, encode_texts
from pipelines.text.encoder import load_encoder as load_text_encoder
from pipelines.text.texts import preprocessing_digest
from twinvec import digest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.nn.device import resolve_device
from twinvec.nn.models.image import ImageEncoder
from twinvec.progress import Progress
from twinvec.settings import ImageSettings, Settings
from twinvec.settings.similar import SimilarSettings
from twinvec.tracking import model_digest

TEXTS = 4096
IMAGE_DIMENSION, NO_IMAGES = 256, 1
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Content:
    """Vectors of n listings.

    Attributes:
        text: float32 [n, t], in a file.
        has_text: bool [n].
        image: float32 [n, i], in a file; without images, one zero each.
        has_image: bool [n].
    """

    text: Tensor
    has_text: Tensor
    image: Tensor
    has_image: Tensor

    def __len__(self) -> int:
        return len(self.text)

    def of(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the inputs of the model for some rows."""
        parts = (self.text, self.has_text, self.image, self.has_image)
        return tuple(part[rows].to(device) for part in parts)  # type: ignore[return-value]

    def only(self, rows: Tensor) -> Content:
        """Return the vectors of some rows."""
        return Content(*self.of(rows, torch.device("cpu")))


@dataclass(frozen=True)
class ListedImages(Snapshot):
    """A snapshot whose products are the distinct images of its listings."""

    def connect(self, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
        """Connect as to the snapshot."""
        connection = super().connect(memory_limit)
        connection.execute(
            """CREATE OR REPLACE VIEW products AS
               SELECT DISTINCT image AS product_id, image FROM listings WHERE image IS NOT NULL"""
        )
        return connection


def encode(
    snapshot: Snapshot,
    labels: Labels,
    settings: Settings,
    encoder: SentenceTransformer,
    image: int | None,
    progress: Progress,
) -> Content:
    """Encode all listings, in the memory of a batch beside the files of the vectors.

    Args:
        snapshot: Snapshot.
        labels: Its listings.
        settings: Settings.
        encoder: Text encoder.
        image: Length of the image vectors; `NO_IMAGES` reads none, None reads them if there are any and settings say
            so.
        progress: Called with what is done.
    """
    text, has_text = _texts(snapshot, labels, settings, encoder, progress)
    images, has_image = _images(snapshot, labels, settings, image, progress)
    return Content(*(torch.from_numpy(part) for part in (text, has_text, images, has_image)))


def with_texts_by(
    encoder: SentenceTransformer,
    content: Content,
    snapshot: Snapshot,
    labels: Labels,
    settings: Settings,
    progress: Progress,
) -> Content:
    """Return the content with the text vectors of another encoder."""
    text, _ = _texts(snapshot, labels, settings, encoder, progress)
    return Content(torch.from_numpy(text), content.has_text, content.image, content.has_image)


def text_encoder(options: SimilarSettings, device: torch.device) -> SentenceTransformer:
    """Load the text encoder that the settings name."""
    return load_text_encoder(options.text_model, options.max_length, device)


def image_settings(settings: Settings) -> ImageSettings:
    """Return the settings of the images of listings."""
    return settings.image.model_copy(update={"size": settings.similar.image_size})


def image_encoder(settings: Settings) -> ImageEncoder:
    """Load the image encoder of listings, on the device of the settings."""
    options = settings.similar
    encoder = load_image_encoder(options.image_model, options.image_size, IMAGE_DIMENSION, seed=0)
    return encoder.to(resolve_device(settings.device))


def _texts(
    snapshot: Snapshot,
    labels: Labels,
    settings: Settings,
    encoder: SentenceTransformer,
    progress: Progress,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the text vectors of the listings and whether each has one."""
    options = settings.similar
    vectors = disk_matrix(settings.home, len(labels), dimension(encoder))
    has = np.zeros(len(labels), bool)
    done = 0
    for texts in read_texts(snapshot, options.words, TEXTS):
        there = texts.is_valid().to_numpy(zero_copy_only=False)
        encoded = encode_texts(encoder, texts.drop_null().to_pylist(), options.encode_batch)
        vectors[done : done + len(texts)][there] = encoded
        has[done : done + len(texts)] = there
        done += len(texts)
        progress(f"{done:,} of {len(labels):,} texts")
    return vectors, has


def _images(
    snapshot: Snapshot, labels: Labels, settings: Settings, length: int | None, progress: Progress
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the image vectors of the listings and whether each has one; an image of several is encoded once."""
    has = np.zeros(len(labels), bool)
    with snapshot.connect() as connection:
        named = connection.sql("SELECT image FROM listings ORDER BY item_id").to_arrow_table()["image"]
    if length is None:
        length = IMAGE_DIMENSION if settings.similar.images and named.null_count < len(named) else NO_IMAGES
    vectors = disk_matrix(settings.home, len(labels), length)
    if length == NO_IMAGES:
        return vectors, has
    codes = named.combine_chunks().dictionary_encode()
    rows_of = _rows_by_code(codes)
    encoder = image_encoder(settings)
    done = 0
    for batch in read_images(ListedImages(**vars(snapshot)), image_settings(settings), IMAGES):
        if not batch.product_ids:
            continue
        encoded = encode_images(encoder, batch.pixels, settings.similar.encode_batch)
        found = pc.index_in(pa.array(batch.product_ids), codes.dictionary).to_numpy()
        rows = [rows_of[code] for code in found]
        flat = np.concatenate(rows)
        vectors[flat] = np.repeat(encoded, [len(each) for each in rows], axis=0)
        has[flat] = True
        done += len(encoded)
        progress(f"{done:,} images")
    return vectors, has


def _rows_by_code(codes: pa.DictionaryArray) -> list[npt.NDArray[np.int64]]:
    """Return the listings of each distinct image."""
    indices = codes.indices.fill_null(-1).to_numpy().astype(np.int64)
    order = np.argsort(indices, kind="stable")
    order = order[np.searchsorted(indices[order], 0) :]
    return np.split(order, np.cumsum(np.bincount(indices[order], minlength=len(codes.dictionary)))[:-1])


def digests(settings: Settings, encoder: SentenceTransformer, images: bool) -> Mapping[str, str]:
    """Return the digests of the encoders, the given one of texts first, and of what they read."""
    options = settings.similar
    parts = {
        "settings": digest.of_json(options.deciding()),
        "text": text_sql(options.words),
        "text_encoder": model_digest(encoder),
        "text_preprocessing": preprocessing_digest(encoder),
    }
    if images:
        parts["image_encoder"] = model_digest(image_encoder(settings).cpu())
    return parts
