"""Loading the model of a related version."""

from __future__ import annotations

import re

from torch import nn

from registry.models import Version
from twinvec.settings import Settings
from twinvec.tracking import load_model

HINT = "`twinvec run` with another snapshot, or `twinvec train related --force`, makes a release anew"


def load_related(settings: Settings, version: Version) -> nn.Module:
    """Load the exported model of a related version from MLflow, a `twinvec.nn.models.FullGraph`.

    Raises:
        StoreError: If it is gone, or is another than the version was made by.
    """
    model: nn.Module = load_model(settings, version, HINT)
    return model


def hops_of(model: nn.Module, layers: int) -> int:
    """Return the number of hops that the vectors of an exported model reach, from the names of its parameters.

    Args:
        model: The exported model.
        layers: Number of hops of a model whose layers have no parameters.
    """
    numbers = [int(match[1]) for name in model.state_dict() if (match := re.search(r"layers\.(\d+)\.", name))]
    return 1 + max(numbers) if numbers else layers
