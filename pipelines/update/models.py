"""The models of the live release, each checked to be what its version was made with."""

from __future__ import annotations

from dataclasses import dataclass

# Before mlflow, which reads its environment when it is imported.
from twinvec import tracking  # isort: split

import mlflow
import mlflow.pytorch
from torch import nn

from pipelines.cold_start.models import Models, load_models
from pipelines.update.live import Live
from twinvec.errors import StoreError
from twinvec.features.manifest import Manifest
from twinvec.settings import Settings


@dataclass(frozen=True)
class Frozen:
    """What embeds a later snapshot.

    Attributes:
        content: text, image and alignment; None if the release was made without content.
        related: `twinvec.nn.models.FullGraph`, exported.
    """

    content: Models | None
    related: nn.Module


def load_frozen(settings: Settings, live: Live) -> Frozen:
    """Load them from MLflow.

    Raises:
        StoreError: if one is gone, or is another than the version was made by.
    """
    content = load_models(settings, live.versions) if "aligned" in live.versions else None
    return Frozen(content, _load_related(settings, live))


def _load_related(settings: Settings, live: Live) -> nn.Module:
    version = live.versions["related"]
    hint = "`twinvec run` with another snapshot, or `twinvec train related --force`, makes a release anew"
    mlflow.set_tracking_uri(settings.tracking_uri())
    try:
        model: nn.Module = mlflow.pytorch.load_model(str(version.model_uri))
    except Exception as error:  # MLflow's own, those of its stores and of the libraries it loads with
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise StoreError(
            f"the model of {version.name}, {version.model_uri}, cannot be loaded from MLflow: {reason}", hint
        ) from error
    found, wanted = tracking.model_digest(model), Manifest.from_json(version.manifest).model
    if found != wanted:
        raise StoreError(
            f"{version.model_uri} in MLflow has weights {found}, and {version.name} was made by {wanted}",
            hint,
        )
    return model
