"""The models of a version: its fusion encoder from MLflow, and the frozen encoders that it was trained on."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from pipelines.similar.encoding import NO_IMAGES, digests
from pipelines.similar.pipeline import ENCODERS
from registry.models import Version
from twinvec.errors import StoreError
from twinvec.settings import Settings
from twinvec.tracking import load_model

HINT = "`twinvec train similar --force`, then `twinvec publish similar`, make a release anew"


def load_fusion(settings: Settings, version: Version) -> nn.Module:
    """Load the exported fusion encoder of a version.

    Raises:
        StoreError: If it is gone from MLflow, is another than the version was made by, or reads vectors of other
            encoders than the settings name.
    """
    model: nn.Module = load_model(settings, version, HINT)
    saved = json.loads((Path(version.path) / ENCODERS).read_text(encoding="utf-8"))
    now = digests(settings, image_length(model) != NO_IMAGES)
    different = sorted(name for name, value in saved.items() if now.get(name) != value)
    if different:
        raise StoreError(
            f"{version.name} was made with another {different[0]} than the settings `similar` name",
            f"set it back, or {HINT}",
        )
    return model


def image_length(model: nn.Module) -> int:
    """Return the length of the image vectors that a fusion encoder reads."""
    return len(dict(model.named_parameters())["no_image"])
