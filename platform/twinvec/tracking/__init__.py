"""Tracking in MLflow: a run for each training, a registered model for each space.

Names are imported when they are first used, since MLflow and torch take seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinvec.tracking.aliases import LIVE, PREVIOUS, alias_uri, aliased_models, remove_alias, set_alias
    from twinvec.tracking.descriptions import describe_model, describe_version, with_figures
    from twinvec.tracking.environment import configure_mlflow
    from twinvec.tracking.loading import load_model, read_model
    from twinvec.tracking.model_files import logged_files
    from twinvec.tracking.models import (
        TrackedModel,
        find_models,
        register_model,
        registered_models,
        remove_model,
    )
    from twinvec.tracking.naming import differences, flatten, metric_name
    from twinvec.tracking.reports import log_change, log_comparison, log_pictures, log_report
    from twinvec.tracking.restoring import is_deleted, register_again, restore_run
    from twinvec.tracking.runs import Run, SilentRun, known_runs, run_parameters, start_run
    from twinvec.tracking.weights import model_digest

__all__ = [
    "LIVE",
    "PREVIOUS",
    "Run",
    "SilentRun",
    "TrackedModel",
    "alias_uri",
    "aliased_models",
    "configure_mlflow",
    "describe_model",
    "describe_version",
    "differences",
    "find_models",
    "flatten",
    "is_deleted",
    "known_runs",
    "load_model",
    "log_change",
    "log_comparison",
    "log_pictures",
    "log_report",
    "logged_files",
    "metric_name",
    "model_digest",
    "read_model",
    "register_again",
    "register_model",
    "registered_models",
    "remove_alias",
    "remove_model",
    "restore_run",
    "run_parameters",
    "set_alias",
    "start_run",
    "with_figures",
]

_MODULES = {
    "aliases": ("LIVE", "PREVIOUS", "alias_uri", "aliased_models", "remove_alias", "set_alias"),
    "descriptions": ("describe_model", "describe_version", "with_figures"),
    "environment": ("configure_mlflow",),
    "loading": ("load_model", "read_model"),
    "model_files": ("logged_files",),
    "models": ("TrackedModel", "find_models", "register_model", "registered_models", "remove_model"),
    "naming": ("differences", "flatten", "metric_name"),
    "reports": ("log_change", "log_comparison", "log_pictures", "log_report"),
    "restoring": ("is_deleted", "register_again", "restore_run"),
    "runs": ("Run", "SilentRun", "known_runs", "run_parameters", "start_run"),
    "weights": ("model_digest",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
