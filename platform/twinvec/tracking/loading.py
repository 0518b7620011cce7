"""Load a version's model from MLflow. All models that Twinvec reads back come through here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from registry.models import Version
from twinvec.errors import StoreError
from twinvec.features.manifest import Manifest
from twinvec.settings import Settings
from twinvec.tracking.environment import without_pickle
from twinvec.tracking.model_files import model_folder, require_files
from twinvec.tracking.store import use_store
from twinvec.tracking.weights import model_digest

ModelT = TypeVar("ModelT")
Flavour = Literal["pytorch", "sentence_transformers", "lightgbm", "pyfunc"]


def load_model(
    settings: Settings,
    version: Version,
    hint: str,
    flavour: Flavour = "pytorch",
    digest_of: Callable[[Any], str] = model_digest,
) -> Any:
    """Load the model that made a version.

    Its files are compared with the version's digest of them before they are loaded, and pickle is off meanwhile; then
    its weights are compared with the version's manifest.

    Args:
        settings: Name the tracking store.
        version: Version with a model.
        hint: What the user can do if the model cannot be used.
        flavour: MLflow's flavour of the model.
        digest_of: Returns the digest of the loaded model, as the manifest has it.

    Returns:
        The model as `mlflow.<flavour>.load_model` returns it; of `pyfunc` the Python model within.

    Raises:
        StoreError: If the model is not in MLflow, cannot be loaded, or has other files or weights.
    """
    model = read_model(settings, version, hint, lambda folder: _load(flavour, str(folder)))
    actual, expected = digest_of(model), Manifest.from_json(version.manifest).model
    if actual != expected:
        raise StoreError(
            f"{version.model_uri} in MLflow has weights {actual}, and {version.name} was made by {expected}",
            hint,
        )
    return model


def read_model(settings: Settings, version: Version, hint: str, read: Callable[[Path], ModelT]) -> ModelT:
    """Return what `read` makes of the folder of a version's model, whose files are checked as `load_model` does.

    Args:
        settings: Name the tracking store.
        version: Version with a model.
        hint: What the user can do if the model cannot be used.
        read: Function of the folder, which may be gone later; pickle is off meanwhile.

    Raises:
        StoreError: If the model is not in MLflow, cannot be read, or has other files.
    """
    if version.model_uri is None:
        raise StoreError(f"{version.name} has no model in MLflow", hint)
    use_store(settings)
    try:
        with without_pickle(), model_folder(settings, version.model_uri) as folder:
            require_files(folder, version.model_files)
            return read(folder)
    except StoreError as error:
        raise StoreError(
            f"the model of {version.name}, {version.model_uri}, cannot be loaded: {error.message}", hint
        ) from error
    except Exception as error:  # MLflow's own, those of its stores and of the libraries it loads with
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise StoreError(
            f"the model of {version.name}, {version.model_uri}, cannot be loaded from MLflow: {reason}", hint
        ) from error


def _load(flavour: Flavour, folder: str) -> Any:
    # Not at the top: each of them imports much that the other does not need.
    if flavour == "sentence_transformers":
        import mlflow.sentence_transformers

        return mlflow.sentence_transformers.load_model(folder)
    if flavour == "lightgbm":
        import mlflow.lightgbm

        return mlflow.lightgbm.load_model(folder)
    if flavour == "pyfunc":
        import mlflow.pyfunc

        with _without_bytecode():
            return mlflow.pyfunc.load_model(folder).unwrap_python_model()
    import mlflow.pytorch

    return mlflow.pytorch.load_model(folder)


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Keep Python from reading and writing bytecode beside a model's code: only files that were logged are checked."""
    before = sys.dont_write_bytecode, sys.pycache_prefix
    sys.dont_write_bytecode, sys.pycache_prefix = True, os.devnull  # no folder, so that nothing is there
    try:
        yield
    finally:
        sys.dont_write_bytecode, sys.pycache_prefix = before
