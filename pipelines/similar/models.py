"""The models of a version: its fusion encoder and the text encoder, which is its own if it was trained."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from torch import nn

from pipelines.similar.encoding import NO_IMAGES, digests, text_encoder
from pipelines.similar.pipeline import ENCODERS, TEXT_ENCODER
from pipelines.text.encoder import load_encoder
from registry.models import Version
from twinvec.errors import StoreError
from twinvec.settings import Settings
from twinvec.settings.similar import SimilarSettings
from twinvec.tracking import load_model, read_model

HINT = "`twinvec train similar --force`, then `twinvec publish similar`, make a release anew"


@dataclass(frozen=True)
class Models:
    """Models that read listings.

    Attributes:
        fusion: Exported fusion encoder, on the CPU.
        text: Text encoder.
    """

    fusion: nn.Module
    text: SentenceTransformer


def load_models(settings: Settings, version: Version, device: torch.device) -> Models:
    """Load the models of a version.

    Args:
        settings: Settings.
        version: Version of `similar`.
        device: Device of the text encoder.

    Raises:
        StoreError: If they are gone from MLflow, are others than the version was made by, or the settings name other
            encoders.
    """
    fusion: nn.Module = load_model(settings, version, HINT)
    options = settings.similar
    text = read_model(settings, version, HINT, lambda folder: _tuned_encoder(folder, options, device))
    text = text_encoder(options, device) if text is None else text
    saved = json.loads((Path(version.path) / ENCODERS).read_text(encoding="utf-8"))
    now = digests(settings, text, image_length(fusion) != NO_IMAGES)
    different = sorted(name for name, value in saved.items() if now.get(name) != value)
    if different:
        raise StoreError(
            f"{version.name} was made with another {different[0]} than the settings `similar` name",
            f"set it back, or {HINT}",
        )
    return Models(fusion, text)


def _tuned_encoder(
    folder: Path, options: SimilarSettings, device: torch.device
) -> SentenceTransformer | None:
    """Load the text encoder that was trained with the fusion and lies beside it; None if it was not trained."""
    tuned = folder / "extra_files" / TEXT_ENCODER
    if not tuned.is_dir():
        return None
    return load_encoder(str(tuned), options.max_length, device)


def image_length(model: nn.Module) -> int:
    """Return the length of the image vectors that a fusion encoder reads."""
    return len(dict(model.named_parameters())["no_image"])
