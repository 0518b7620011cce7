"""Vectors of the listings' texts and images, which the fusion encoder reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.similar.images import has_images, image_encoder, image_vectors
from pipelines.similar.listings import Labels, read_texts, text_sql
from pipelines.text.encoder import dimension, encode_texts
from pipelines.text.encoder import load_encoder as load_text_encoder
from pipelines.text.texts import preprocessing_digest
from twinvec import digest
from twinvec.catalogue.snapshot import Snapshot
from twinvec.nn.models.image import ImageEncoder
from twinvec.progress import Progress
from twinvec.settings import Settings
from twinvec.settings.similar import SimilarSettings
from twinvec.tracking import model_digest

TEXTS = 4096
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
class Encoders:
    """Encoders of listings.

    Attributes:
        text: Text encoder.
        image: Image encoder; None where images are not read.
    """

    text: SentenceTransformer
    image: ImageEncoder | None


def load_encoders(snapshot: Snapshot, settings: Settings, device: torch.device) -> Encoders:
    """Load the encoders that the settings name; that of images if they are read and the snapshot has any."""
    read = settings.similar.images and has_images(snapshot)
    return Encoders(text_encoder(settings.similar, device), image_encoder(settings, device) if read else None)


def encode(
    snapshot: Snapshot, labels: Labels, settings: Settings, encoders: Encoders, progress: Progress
) -> Content:
    """Encode all listings, in the memory of a batch beside the files of the vectors.

    Args:
        snapshot: Snapshot.
        labels: Its listings.
        settings: Settings.
        encoders: Encoders.
        progress: Called with what is done.
    """
    text, has_text = _text_vectors(snapshot, labels, settings, encoders.text, progress)
    image, has_image = image_vectors(snapshot, len(labels), settings, encoders.image, progress)
    return Content(*(torch.from_numpy(part) for part in (text, has_text, image, has_image)))


def encode_trained(
    content: Content,
    snapshot: Snapshot,
    labels: Labels,
    settings: Settings,
    encoders: Encoders,
    progress: Progress,
) -> Content:
    """Return the content with new vectors by those of the encoders that `similar.tune` names."""
    if settings.similar.tunes_text:
        text, _ = _text_vectors(snapshot, labels, settings, encoders.text, progress)
        content = replace(content, text=torch.from_numpy(text))
    if settings.similar.tunes_image:
        image, _ = image_vectors(snapshot, len(labels), settings, encoders.image, progress)
        content = replace(content, image=torch.from_numpy(image))
    return content


def text_encoder(options: SimilarSettings, device: torch.device) -> SentenceTransformer:
    """Load the text encoder that the settings name."""
    return load_text_encoder(options.text_model, options.max_length, device)


def _text_vectors(
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
    for texts in read_texts(snapshot, options.words, TEXTS, settings.ingest.memory_limit):
        there = texts.is_valid().to_numpy(zero_copy_only=False)
        encoded = encode_texts(encoder, texts.drop_null().to_pylist(), options.encode_batch)
        vectors[done : done + len(texts)][there] = encoded
        has[done : done + len(texts)] = there
        done += len(texts)
        progress(f"{done:,} of {len(labels):,} texts")
    return vectors, has


def digests(settings: Settings, encoders: Encoders) -> Mapping[str, str]:
    """Return the digests of the encoders, and of what they read."""
    options = settings.similar
    parts = {
        "settings": digest.of_json(options.deciding()),
        "text": text_sql(options.words),
        "text_encoder": model_digest(encoders.text),
        "text_preprocessing": preprocessing_digest(encoders.text),
    }
    if encoders.image is not None:
        parts["image_encoder"] = model_digest(encoders.image)
    return parts
