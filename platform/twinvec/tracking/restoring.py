"""Restore what was deleted in MLflow: runs and experiments, which it keeps for a while, and registered versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from registry.models import Version
from twinvec.settings import Settings
from twinvec.tracking.models import register_model, registered_models
from twinvec.tracking.store import explained, use_store

DELETED = "deleted"


def is_deleted(settings: Settings, run_id: str) -> bool:
    """Return True if MLflow still has a run that was deleted, by itself or with its experiment."""
    use_store(settings)
    try:
        run = MlflowClient().get_run(run_id)
    except MlflowException:
        return False
    return bool(run.info.lifecycle_stage == DELETED)


def restore_run(settings: Settings, run_id: str) -> None:
    """Restore a run that was deleted, and its experiment.

    Raises:
        StoreError: If MLflow no longer has it.
    """
    use_store(settings)
    client = MlflowClient()
    with explained(f"restore the run {run_id}"):
        experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
        if experiment.lifecycle_stage == DELETED:
            client.restore_experiment(experiment.experiment_id)
        if client.get_run(run_id).info.lifecycle_stage == DELETED:
            client.restore_run(run_id)


def register_again(settings: Settings, versions: Sequence[Version]) -> Mapping[int, str]:
    """Register the models of versions anew, from the files that their runs logged, if they are not registered.

    MLflow gives each a new number. Versions that shared a model share it again.

    Returns:
        Id of a version → URI of its model now, of those whose model was not registered and whose files are there.

    Raises:
        StoreError: If MLflow refuses.
    """
    use_store(settings)
    client = MlflowClient()
    spaces = {_space(version) for version in versions}
    registered = registered_models(settings, spaces)
    lost = [version for version in versions if version.model_uri not in registered]
    uris: dict[str, str] = {}
    with explained("register its models again"):
        for version in lost:
            if version.model_uri in uris or version.run_id is None:
                continue
            run = client.get_run(version.run_id)
            logged = client.search_logged_models(
                [run.info.experiment_id], f"source_run_id = '{version.run_id}'"
            )
            if len(logged) != 1:
                continue
            description = run.data.tags.get(MLFLOW_RUN_NOTE)
            uris[str(version.model_uri)] = register_model(
                _space(version), logged[0].model_id, version.run_id, description
            )
    return {version.id: uris[str(version.model_uri)] for version in lost if version.model_uri in uris}


def _space(version: Version) -> str:
    return str(version.model_uri).removeprefix("models:/").partition("/")[0]
