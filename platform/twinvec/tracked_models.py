"""The registered models in MLflow: which there are, where their files lie, and taking one away."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

# Read when mlflow is imported; `twinvec.tracking`, which sets it too, imports torch besides.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.entities import PagedList

from twinvec.errors import StateError, StoreError
from twinvec.settings import Settings

MODELS = "models:/"


@dataclass(frozen=True)
class TrackedModel:
    """One version of a registered model."""

    uri: str
    """`models:/<space>/<MLflow's own version number>`, as the registry has it."""
    id: str | None
    """Of the logged model whose files it stands for; None if there is none."""
    location: str | None
    """Where these are; None if MLflow does not know it any more."""

    @property
    def folder(self) -> Path | None:
        """Where the files are on this machine; None if they are elsewhere."""
        if self.location is None:
            return None
        parsed = urlparse(self.location)
        return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None


def registered_models(settings: Settings, spaces: Collection[str]) -> Mapping[str, ModelVersion]:
    """URI → entry, of every version of the registered models of these spaces.

    Raises:
        StoreError: if MLflow does not answer.
    """
    mlflow.set_tracking_uri(settings.tracking_uri())
    client = MlflowClient()
    with _explained("tell its models"):
        return {_uri(version): version for space in sorted(spaces) for version in _versions(client, space)}


def find_models(settings: Settings, uris: Collection[str]) -> Mapping[str, TrackedModel]:
    """URI → model, of those of `uris` that are registered.

    Raises:
        StoreError: if MLflow does not answer.
    """
    known = registered_models(settings, {uri.removeprefix(MODELS).partition("/")[0] for uri in uris})
    client = MlflowClient()
    with _explained("tell where its models lie"):
        return {uri: _tracked(client, known[uri]) for uri in sorted(uris) if uri in known}


def known_runs(settings: Settings, spaces: Collection[str]) -> set[str]:
    """The ids of all runs of the experiments of these spaces.

    Raises:
        StoreError: if MLflow does not answer.
    """
    mlflow.set_tracking_uri(settings.tracking_uri())
    client = MlflowClient()
    found: set[str] = set()
    with _explained("tell its runs"):
        known = [client.get_experiment_by_name(f"twinvec/{space}") for space in sorted(spaces)]
        ids = [experiment.experiment_id for experiment in known if experiment is not None]
        token: str | None = None
        while ids and (token is None or token):
            page = client.search_runs(ids, page_token=token)
            found.update(run.info.run_id for run in page)
            token = page.token or ""
    return found


def aliased_models(settings: Settings, spaces: Collection[str]) -> Mapping[str, list[str]]:
    """URI → the aliases that name it, those that others gave among them.

    Raises:
        StoreError: if MLflow does not answer.
    """
    mlflow.set_tracking_uri(settings.tracking_uri())
    named: dict[str, list[str]] = {}
    with _explained("tell the aliases of its models"):
        for model in MlflowClient().search_registered_models():
            for alias, version in model.aliases.items() if model.name in spaces else ():
                named.setdefault(f"{MODELS}{model.name}/{version}", []).append(alias)
    return named


def remove_model(settings: Settings, model: TrackedModel) -> None:
    """Delete a model's files and its entries; the run that made it stays, with its parameters and metrics.

    Raises:
        StateError: if its files are on this machine, but not in the home.
        StoreError: if MLflow refuses.
    """
    folder = model.folder
    if folder is not None and not folder.resolve().is_relative_to(settings.home.resolve()):
        raise StateError(
            f"{folder} is not in the home {settings.home}", "if nothing else needs it, delete it yourself"
        )
    mlflow.set_tracking_uri(settings.tracking_uri())
    client = MlflowClient()
    name, _, number = model.uri.removeprefix(MODELS).partition("/")
    with _explained(f"delete {model.uri}"):
        # The tags first: by one, a later training would find it and take it for its own.
        for tag in client.get_model_version(name, number).tags:
            client.delete_model_version_tag(name, number, tag)
        if model.location is not None:
            get_artifact_repository(model.location).delete_artifacts()  # type: ignore[no-untyped-call]
        if model.id is not None and model.location is not None:
            client.delete_logged_model(model.id)
        client.delete_model_version(name, number)


@contextmanager
def _explained(action: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        raise StoreError(
            f"MLflow could not {action}: {error}", "see that mlflow.tracking_uri answers"
        ) from error


def _uri(version: ModelVersion) -> str:
    return f"{MODELS}{version.name}/{version.version}"


def _versions(client: MlflowClient, space: str) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token: str | None = None
    while token is None or token:
        page: PagedList[ModelVersion] = client.search_model_versions(f"name = '{space}'", page_token=token)
        found += page
        token = page.token or ""
    return found


def _tracked(client: MlflowClient, version: ModelVersion) -> TrackedModel:
    source = version.source or ""
    if not source.startswith(MODELS):
        return TrackedModel(_uri(version), None, source or None)
    id_ = source.removeprefix(MODELS)
    try:
        return TrackedModel(_uri(version), id_, client.get_logged_model(id_).artifact_location)
    except MlflowException:
        return TrackedModel(_uri(version), id_, None)
