"""Aliases of registered models: `live` and `previous`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from twinvec.errors import NotFoundError
from twinvec.settings import Settings
from twinvec.tracking.models import MODELS
from twinvec.tracking.store import explained, use_store

LIVE = "live"
PREVIOUS = "previous"


def set_alias(settings: Settings, model_uri: str, alias: str) -> None:
    """Point `alias` (`live`, `previous`) of a registered model at the version that `log_model` returned.

    Raises:
        NotFoundError: If the URI is not one of a registered model's version.
    """
    space, version = _registered(model_uri)
    use_store(settings)
    MlflowClient().set_registered_model_alias(space, alias, version)


def remove_alias(settings: Settings, space: str, alias: str) -> None:
    """Remove `alias` from the registered model of a space; nothing happens if it has none."""
    if alias_uri(settings, space, alias) is not None:
        MlflowClient().delete_registered_model_alias(space, alias)


def alias_uri(settings: Settings, space: str, alias: str) -> str | None:
    """Return the URI of the version of a registered model that `alias` points at, or None."""
    use_store(settings)
    try:
        # A search, which raises nothing, takes four times as long.
        version = MlflowClient().get_registered_model(space).aliases.get(alias)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise
    return f"{MODELS}{space}/{version}" if version is not None else None


def aliased_models(settings: Settings, spaces: Collection[str]) -> Mapping[str, list[str]]:
    """Return URI → aliases that point at it, those of others included, for the models of these spaces.

    Raises:
        StoreError: If MLflow does not answer.
    """
    use_store(settings)
    aliases: dict[str, list[str]] = {}
    with explained("tell the aliases of its models"):
        for model in MlflowClient().search_registered_models():
            for alias, version in model.aliases.items() if model.name in spaces else ():
                aliases.setdefault(f"{MODELS}{model.name}/{version}", []).append(alias)
    return aliases


def _registered(model_uri: str) -> tuple[str, str]:
    match = re.fullmatch(r"models:/([^/@]+)/(\d+)", model_uri)
    if match is None:
        raise NotFoundError(
            f"{model_uri!r} names no registered model's version", "it looks like models:/text/3"
        )
    return match[1], match[2]
