"""The models of a version: its fusion encoder and the text encoder, which is its own if it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from torch import nn

from pipelines.similar.encoding import NO_IMAGES, digests, text_encoder
from pipelines.similar.pipeline import ENCODERS, TEXT_ENCODER
from pipelines.similar.space import SPACE
from pipelines.text.encoder import load_encoder
from registry.models import Version
from twinvec.errors import StoreError
from twinvec.settings import Settings
from twinvec.settings.group import Group
from twinvec.settings.similar import SimilarSettings
from twinvec.tracking import differences, flatten, load_model, read_model

HINT = (
    "go back to what it was made with, or make a release anew: `twinvec train similar --force`, then "
    "`twinvec publish similar` and `twinvec promote`"
)
OF_ENCODERS = {
    "text_encoder": "other weights",
    "text_preprocessing": "another tokenizer",
    "image_encoder": "other weights",
}


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
    if now != saved:
        raise StoreError(f"{version.name} was made {_change(version, options, saved, now)}", HINT)
    return Models(fusion, text)


def _change(
    version: Version, options: SimilarSettings, saved: Mapping[str, str], now: Mapping[str, str]
) -> str:
    """Return what is other than it was for a version: the settings by name, or an encoder that they name."""
    if saved["settings"] != now["settings"]:
        # An update keeps the model, and so the settings, of the version that was trained.
        trained = next((each for each in version.inputs if each.space == version.space), version)
        recorded = (trained.settings or {}).get(SPACE.name)
        if recorded is None:
            return "with other settings of the group `similar`"
        # A record leaves out what had its default.
        default = flatten(Group.deciding_as_before(SimilarSettings()))
        before = flatten(recorded)
        differing = differences({**default, **before}, {**default, **flatten(options.deciding())})
        named = [f"similar.{name} was {old}, is {new}" for name, old, new in differing]
        return f"with other settings: {'; '.join(named)}"
    for part, what in OF_ENCODERS.items():
        if saved.get(part) != now.get(part):
            model = options.image_model if part == "image_encoder" else options.text_model
            return f"with {what} than {model} has here ({saved.get(part)}, now {now.get(part)})"
    return "by an earlier version of this code, which put texts of listings together in another way"


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
