"""The models of a version: its fusion encoder, and the encoders of texts and images, its own if they were trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from pipelines.similar.encoding import Encoders, digests, text_encoder
from pipelines.similar.images import NO_IMAGES, image_encoder
from pipelines.similar.pipeline import ENCODERS, IMAGE_ENCODER, TEXT_ENCODER
from pipelines.similar.space import SPACE
from pipelines.text.encoder import load_encoder
from registry.models import Version
from twinvec import digest
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
        encoders: Encoders of texts and images.
    """

    fusion: nn.Module
    encoders: Encoders


def load_models(settings: Settings, version: Version, device: torch.device) -> Models:
    """Load the models of a version.

    Args:
        settings: Settings.
        version: Version of `similar`.
        device: Device of the encoders.

    Raises:
        StoreError: If they are gone from MLflow, are others than the version was made by, or the settings name other
            encoders.
    """
    fusion: nn.Module = load_model(settings, version, HINT)
    options = settings.similar
    saved = json.loads((Path(version.path) / ENCODERS).read_text(encoding="utf-8"))
    # Weights of another image encoder than the settings name could not be read.
    _require_same(version, saved, {**saved, "settings": digest.of_json(options.deciding())}, options)
    text, image_weights = read_model(
        settings, version, HINT, lambda folder: _trained(folder, settings, device)
    )
    image = image_encoder(settings, device) if image_length(fusion) != NO_IMAGES else None
    if image is not None and image_weights is not None:
        image.load_state_dict(image_weights)
    encoders = Encoders(text_encoder(options, device) if text is None else text, image)
    _require_same(version, saved, digests(settings, encoders), options)
    return Models(fusion, encoders)


def _require_same(
    version: Version, saved: Mapping[str, str], now: Mapping[str, str], options: SimilarSettings
) -> None:
    if now != saved:
        raise StoreError(f"{version.name} was made {_change(version, options, saved, now)}", HINT)


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


def _trained(
    folder: Path, settings: Settings, device: torch.device
) -> tuple[SentenceTransformer | None, dict[str, Tensor] | None]:
    """Load the text encoder and the weights of the image encoder beside the fusion; None where it was not trained."""
    text, image = folder / "extra_files" / TEXT_ENCODER, folder / "extra_files" / IMAGE_ENCODER
    return (
        load_encoder(str(text), settings.similar.max_length, device) if text.is_dir() else None,
        load_file(image) if image.is_file() else None,
    )


def image_length(model: nn.Module) -> int:
    """Return the length of the image vectors that a fusion encoder reads."""
    return len(dict(model.named_parameters())["no_image"])
