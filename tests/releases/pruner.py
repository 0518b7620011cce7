"""A prune, in a process that may be killed at a step."""

from __future__ import annotations

from pathlib import Path

from feast.infra.registry.sql import SqlRegistry
from mlflow import MlflowClient

import twinvec.tracking.models  # noqa: F401
from registry import operations
from tests.releases import switcher
from twinvec.features import removal
from twinvec.releases import retention, storage
from twinvec.settings import RetentionSettings, Settings
from twinvec.vectors.edge import EdgeIndex
from twinvec.workspace import Workspace

switcher.STEPS.update(
    {
        "move": [(operations, "move")],
        "view": [(removal, "remove_view")],
        "source": [(SqlRegistry, "delete_data_source")],
        "drop": [(EdgeIndex, "drop")],
        "rename": [(Path, "rename")],
        "logged": [(MlflowClient, "delete_logged_model")],
        "model-version": [(MlflowClient, "delete_model_version")],
        "folder": [(storage, "remove_folder")],
    }
)


def prune(home: str, die: str | None = None) -> list[list[str]]:
    """Keep one release and one version of each space; what was taken away, and why something was left."""
    if die is not None:
        switcher.kill_at(die)
    done = retention.prune(Workspace(Settings(home=Path(home))), RetentionSettings(releases=1, versions=1))
    return [[holding.of for holding in done.taken], [left.why for left in done.left]]
