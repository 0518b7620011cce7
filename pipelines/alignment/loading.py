"""Loading of the model that made a version of aligned vectors."""

from __future__ import annotations

from torch import nn

from registry.models import Version
from twinvec.settings import Settings
from twinvec.tracking import load_model, model_digest

HINT = "`twinvec train aligned --force`, then `twinvec run`, make a release anew; or promote another"


def load_aligned(settings: Settings, version: Version) -> nn.Module:
    """Load the alignment model of a version from MLflow, exported.

    Raises:
        StoreError: If it is gone, or is another than the version was made by.
    """
    # The manifest has the digest of the encoder, without the function of plain tensors around it.
    model: nn.Module = load_model(
        settings, version, HINT, digest_of=lambda model: model_digest(model.encoder)
    )
    return model
