"""Loading of the rankers of a version of lists."""

from __future__ import annotations

from pathlib import Path

import lightgbm

from pipelines.ranking.outcome import COLD_RANKER
from pipelines.ranking.ranker import Ranker, digest_of_trees
from registry.models import Version
from twinvec.errors import StoreError
from twinvec.settings import Settings
from twinvec.tracking import load_model

HINT = "`twinvec train ranking --force` makes lists anew, and `twinvec run` a release of them"


def load_ranker(settings: Settings, version: Version) -> Ranker:
    """Load the ranker of a version from MLflow.

    Raises:
        StoreError: if it is gone, or is another than the lists were made by.
    """
    return Ranker(load_model(settings, version, HINT, "lightgbm", digest_of_trees))


def load_cold_ranker(version: Version) -> Ranker | None:
    """Load the ranker of a version for products without edges; None if it has none.

    Raises:
        StoreError: if its file is damaged.
    """
    file = Path(version.path) / COLD_RANKER
    if not file.is_file():
        return None
    try:
        return Ranker(lightgbm.Booster(model_str=file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, lightgbm.basic.LightGBMError) as error:
        raise StoreError(f"the ranker {file} cannot be read: {error}", HINT) from error
