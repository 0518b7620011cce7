"""The registered models in MLflow: register one, list them, find their files, remove one."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.entities import PagedList
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from twinvec.errors import StateError
from twinvec.settings import Settings
from twinvec.tracking.store import explained, use_store

MODELS = "models:/"


@dataclass(frozen=True)
class TrackedModel:
    """One version of a registered model."""

    uri: str
    """`models:/<space>/<MLflow's own version number>`, as the registry has it."""
    id: str | None
    """Id of the logged model that has the files; None if there is none."""
    location: str | None
    """URI of the files; None if MLflow no longer knows it."""

    @property
    def folder(self) -> Path | None:
        """Folder of the files on this machine; None if they are elsewhere."""
        if self.location is None:
            return None
        parsed = urlparse(self.location)
        return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None


def register_model(space: str, model_id: str, run_id: str, description: str | None = None) -> str:
    """Register a logged model under the name of a space; `mlflow.register_model` would print two lines.

    Args:
        space: Name of the registered model, which is made if there is none.
        model_id: Id of the logged model.
        run_id: Run that logged it.
        description: Shown on the page of its version.

    Returns:
        Its URI, `models:/<space>/<MLflow's own version number>`.
    """
    client = MlflowClient()
    try:
        client.create_registered_model(space)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    made = client.create_model_version(
        space, f"{MODELS}{model_id}", run_id=run_id, model_id=model_id, description=description
    )
    # By this tag, the page of the logged model links to the registered one.
    link = json.dumps([{"name": space, "version": made.version}])
    client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: link})
    return _uri(made)


def registered_models(settings: Settings, spaces: Collection[str]) -> Mapping[str, ModelVersion]:
    """Return URI → entry, for every version of the registered models of these spaces.

    Raises:
        StoreError: If MLflow does not answer.
    """
    use_store(settings)
    client = MlflowClient()
    with explained("tell its models"):
        return {_uri(version): version for space in sorted(spaces) for version in _versions(client, space)}


def find_models(settings: Settings, uris: Collection[str]) -> Mapping[str, TrackedModel]:
    """Return URI → model, for those of `uris` that are registered.

    Raises:
        StoreError: If MLflow does not answer.
    """
    registered = registered_models(settings, {uri.removeprefix(MODELS).partition("/")[0] for uri in uris})
    client = MlflowClient()
    with explained("tell where its models lie"):
        return {uri: _tracked(client, registered[uri]) for uri in sorted(uris) if uri in registered}


def remove_model(settings: Settings, model: TrackedModel) -> None:
    """Delete a model's files and entries. The run that made it stays, with its parameters and metrics.

    Raises:
        StateError: If its files are on this machine, but not in the home.
        StoreError: If MLflow refuses.
    """
    folder = model.folder
    if folder is not None and not folder.resolve().is_relative_to(settings.home.resolve()):
        raise StateError(
            f"{folder} is not in the home {settings.home}", "if nothing else needs it, delete it yourself"
        )
    use_store(settings)
    client = MlflowClient()
    name, _, number = model.uri.removeprefix(MODELS).partition("/")
    with explained(f"delete {model.uri}"):
        # The tags first: by one, a later training would find it and take it for its own.
        for tag in client.get_model_version(name, number).tags:
            client.delete_model_version_tag(name, number, tag)
        if model.location is not None:
            get_artifact_repository(model.location).delete_artifacts()  # type: ignore[no-untyped-call]
        if model.id is not None and model.location is not None:
            client.delete_logged_model(model.id)
        client.delete_model_version(name, number)


def _uri(version: ModelVersion) -> str:
    return f"{MODELS}{version.name}/{version.version}"


def _versions(client: MlflowClient, space: str) -> list[ModelVersion]:
    versions: list[ModelVersion] = []
    token: str | None = None
    while token is None or token:
        page: PagedList[ModelVersion] = client.search_model_versions(f"name = '{space}'", page_token=token)
        versions += page
        token = page.token or ""
    return versions


def _tracked(client: MlflowClient, version: ModelVersion) -> TrackedModel:
    source = version.source or ""
    if not source.startswith(MODELS):
        return TrackedModel(_uri(version), None, source or None)
    id_ = source.removeprefix(MODELS)
    try:
        return TrackedModel(_uri(version), id_, client.get_logged_model(id_).artifact_location)
    except MlflowException:
        return TrackedModel(_uri(version), id_, None)
