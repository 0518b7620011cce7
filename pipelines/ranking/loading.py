"""Loading of the ranker that made a version of lists."""

from __future__ import annotations

from pipelines.ranking.ranker import Ranker, digest_of_trees
from registry.models import Version
from twinvec.settings import Settings
from twinvec.tracking import load_model

HINT = "`twinvec train ranking --force` makes lists anew, and `twinvec run` a release of them"


def load_ranker(settings: Settings, version: Version) -> Ranker:
    """Load the ranker of a version from MLflow.

    Raises:
        StoreError: if it is gone, or is another than the lists were made by.
    """
    return Ranker(load_model(settings, version, HINT, "lightgbm", digest_of_trees))
