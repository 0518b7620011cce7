"""The tracking store that the settings name."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from twinvec.errors import StoreError
from twinvec.place import ensure_place
from twinvec.settings import Settings
from twinvec.tracking.environment import configure_mlflow

# Without it, MLflow's page takes an experiment for one of generative AI and opens it with empty traces.
KIND, TRAINING = "mlflow.experimentKind", "custom_model_development"


def use_store(settings: Settings) -> None:
    """Let MLflow's functions use the tracking store of the settings."""
    configure_mlflow()
    _quiet()
    if settings.mlflow.tracking_uri is None:
        settings.home.mkdir(parents=True, exist_ok=True)
        ensure_place(settings)
    mlflow.set_tracking_uri(settings.tracking_uri())


def use_experiment(settings: Settings, space: str, description: str = "") -> None:
    """Let runs that start belong to the experiment `twinvec/<space>`, which is created if it does not exist.

    A description is shown on its page, unless it has one.
    """
    use_store(settings)
    with explained(f"open the experiment twinvec/{space}"):
        id_ = _experiment_id(settings, space)
        experiment = mlflow.get_experiment(id_)
        if experiment.lifecycle_stage != "active":
            raise StoreError(
                f"the experiment {experiment.name} was deleted in MLflow",
                "`twinvec doctor --fix` restores it",
            )
        if KIND not in experiment.tags:
            MlflowClient().set_experiment_tag(id_, KIND, TRAINING)
        if description and MLFLOW_RUN_NOTE not in experiment.tags:
            MlflowClient().set_experiment_tag(id_, MLFLOW_RUN_NOTE, description)
        mlflow.set_experiment(experiment_id=id_)


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Raise MLflow's errors as StoreError: "MLflow could not <action>"."""
    try:
        yield
    except MlflowException as error:
        raise StoreError(
            f"MLflow could not {action}: {error}", "see that mlflow.tracking_uri answers"
        ) from error


def _quiet() -> None:
    """Keep from the user what MLflow says of making its database, and SQLAlchemy of MLflow: nothing to act on."""
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated")


def _experiment_id(settings: Settings, space: str) -> str:
    name = f"twinvec/{space}"
    experiment = mlflow.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    # A server knows where its artifacts belong; a database in the home has no such place.
    local = settings.mlflow.tracking_uri is None
    location = (settings.paths.mlartifacts / space).as_uri() if local else None
    return mlflow.create_experiment(name, artifact_location=location)
