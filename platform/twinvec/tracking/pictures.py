"""Pictures and pages of runs, for who looks at releases."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from twinvec.errors import NotFoundError
from twinvec.settings import Settings
from twinvec.tracking.store import explained, use_store

PICTURE = ".png"


def pictures(settings: Settings, run_id: str) -> list[str]:
    """Return the names of the pictures of a run.

    Raises:
        StoreError: If MLflow does not answer.
    """
    with explained(f"list the artifacts of run {run_id}"):
        artifacts = artifacts_of(settings, run_id).list_artifacts()
    return [each.path for each in artifacts if not each.is_dir and each.path.endswith(PICTURE)]


def read_picture(settings: Settings, run_id: str, name: str) -> bytes:
    """Return a picture of a run, PNG.

    Raises:
        NotFoundError: If the run has no such picture.
    """
    if name not in pictures(settings, run_id):
        raise NotFoundError(
            f"run {run_id} has no picture {name}", "`twinvec plot` and `twinvec drift` draw them"
        )
    with explained(f"read {name} of run {run_id}"), tempfile.TemporaryDirectory() as folder:
        path: str = artifacts_of(settings, run_id).download_artifacts(name, folder)  # type: ignore[no-untyped-call]
        return Path(path).read_bytes()


def drift_run(settings: Settings, new: str, old: str) -> str | None:
    """Return the last run of `twinvec drift` from one version to another, or None."""
    use_store(settings)
    with explained("look for runs of drift"):
        client = MlflowClient()
        experiment = client.get_experiment_by_name("twinvec/drift")
        if experiment is None:
            return None
        found = client.search_runs(
            [experiment.experiment_id],
            f"attributes.run_name = '{new} from {old}'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
    return str(found[0].info.run_id) if found else None


def run_page(settings: Settings, run_id: str) -> str | None:
    """Return the address of a run in MLflow's pages; None if the tracking store is no server."""
    uri = settings.tracking_uri()
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return None
    use_store(settings)
    with explained(f"find run {run_id}"):
        experiment = MlflowClient().get_run(run_id).info.experiment_id
    # Without a name and password that may be in the setting.
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"


def artifacts_of(settings: Settings, run_id: str) -> ArtifactRepository:
    """Return the artifacts of a run where they are now: MLflow's client keeps the place that they once had."""
    use_store(settings)
    return get_artifact_repository(MlflowClient().get_run(run_id).info.artifact_uri)
