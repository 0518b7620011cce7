"""The models of the live release, each checked to be what its version was made with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pipelines.cold_start.models import Models, load_models
from pipelines.update.live import Live
from twinvec.settings import Settings
from twinvec.tracking import load_model

HINT = "`twinvec run` with another snapshot, or `twinvec train related --force`, makes a release anew"


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
    return Frozen(content, load_model(settings, live.versions["related"], HINT))
