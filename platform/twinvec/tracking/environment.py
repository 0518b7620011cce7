"""The environment variables of MLflow that Twinvec sets, and when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

DEFAULTS = {
    # A training run is reported to its own tracking store and nowhere else.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
PICKLE = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
# Of a process that is Twinvec's own; a library must not forbid its host to unpickle.
WITHOUT_PICKLE = {PICKLE: "false", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}


def configure_mlflow() -> None:
    """Set the variables in `DEFAULTS` that are not set.

    The command calls this when it starts; in other processes it is called when the tracking store is first used.
    """
    for variable, value in DEFAULTS.items():
        os.environ.setdefault(variable, value)


def forbid_pickle() -> None:
    """Forbid MLflow and torch to unpickle in this process: a model's file could run any code."""
    os.environ.update(WITHOUT_PICKLE)


@contextmanager
def without_pickle() -> Iterator[None]:
    """Forbid MLflow to unpickle while the block runs: a model's file could run any code."""
    before = os.environ.get(PICKLE)
    os.environ[PICKLE] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[PICKLE]
        else:
            os.environ[PICKLE] = before
