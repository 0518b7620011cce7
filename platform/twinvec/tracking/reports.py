"""Comparisons, changes and reports in MLflow, beside the runs of trainings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow import MlflowClient

from registry.models import Version
from twinvec.settings import Settings
from twinvec.tracking.naming import flatten, metric_name
from twinvec.tracking.pictures import artifacts_of
from twinvec.tracking.runs import log_input
from twinvec.tracking.store import use_experiment, use_store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def log_comparison(
    settings: Settings, name: str, snapshot_id: str, rows: Mapping[str, Mapping[str, float]]
) -> None:
    """Log a table of figures in the experiment `twinvec/comparisons`: a run, and a nested run for each row.

    Args:
        name: Name of the comparison.
        snapshot_id: Snapshot that it was made on.
        rows: Name → figures.
    """
    use_experiment(settings, "comparisons")
    tags = {"twinvec.snapshot": snapshot_id}
    note = f"Table `{name}` on snapshot `{snapshot_id}`: a nested run for each row, to be compared by its metrics."
    with mlflow.start_run(run_name=name, tags=tags, description=note):
        for row, figures in rows.items():
            with mlflow.start_run(run_name=row, nested=True, tags=tags):
                mlflow.log_metrics({metric_name(figure): value for figure, value in figures.items()})


def log_change(
    settings: Settings, name: str, versions: Sequence[Version], figures: Mapping[str, float], plot: Figure
) -> str:
    """Log what changed between versions, in the experiment `twinvec/drift`.

    Args:
        name: Name of the run.
        versions: Versions that were compared, logged as inputs of the run.
        figures: Logged as metrics.
        plot: Logged as `drift.png`.

    Returns:
        The run's id.
    """
    use_experiment(settings, "drift")
    note = f"What changed between {' and '.join(version.name for version in versions)}; `drift.png` shows it."
    tags = {"twinvec.space": versions[0].space}
    with mlflow.start_run(run_name=name, tags=tags, description=note) as active:
        for version in versions:
            log_input(version.name, version.path, version.digest, version.space)
        mlflow.log_metrics({metric_name(figure): float(value) for figure, value in figures.items()})
        mlflow.log_figure(plot, "drift.png")
        return str(active.info.run_id)


def log_report(settings: Settings, run_id: str | None, name: str, report: Mapping[str, object]) -> None:
    """Add a report to a run that has ended: whole as the artifact `name`, its numbers as metrics `update/…`."""
    use_store(settings)
    client = MlflowClient()
    client.log_dict(run_id or "", {**report}, name)
    for figure, value in flatten(report).items():
        if isinstance(value, int | float):
            client.log_metric(run_id or "", f"{Path(name).stem}/{metric_name(figure)}", value)


def log_pictures(settings: Settings, run_id: str | None, pictures: Mapping[str, Figure]) -> None:
    """Add pictures, name → figure, to a run that has ended, as artifacts."""
    artifacts = artifacts_of(settings, run_id or "")
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in pictures.items():
            file = Path(folder) / name
            picture.savefig(file)
            artifacts.log_artifact(str(file))  # type: ignore[no-untyped-call]
