"""The registered models in MLflow: list them, find their files, remove one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.entities import PagedList

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
