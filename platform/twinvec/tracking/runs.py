"""Training runs in MLflow: an experiment for each space, a run for each training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import mlflow.data
from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from registry.models import Snapshot, Version
from twinvec.settings import Settings
from twinvec.tracking.naming import flatten, metric_name
from twinvec.tracking.store import explained, use_experiment, use_store

if TYPE_CHECKING:
    from lightgbm import Booster
    from torch import Tensor, nn

PARAMETERS_A_CALL = 100  # MLflow's limit


@dataclass(frozen=True)
class Run:
    """The MLflow run of one training, to log with.

    Args:
        id: MLflow's run id, kept with the version.
        space: Space that is trained.
    """

    id: str
    space: str
    _history: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    _by_step: set[str] = field(default_factory=set)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of `epoch` (from 0). Curves are drawn when the run ends."""
        named = {metric_name(name): float(value) for name, value in metrics.items()}
        mlflow.log_metrics(named, step=epoch, run_id=self.id)
        for name, value in named.items():
            self._history.setdefault(name, []).append((epoch, value))

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of a `step` of the optimiser. Their names differ from those of epochs."""
        self.log_epoch(step, metrics)
        self._by_step.update(map(metric_name, metrics))

    def log_best(self, metrics: Mapping[str, float]) -> None:
        """Log the values that a run is judged by, as `best/…`: MLflow's tables show a metric's last value only."""
        mlflow.log_metrics(
            {f"best/{metric_name(name)}": float(value) for name, value in metrics.items()}, run_id=self.id
        )

    def log_manifest(self, digest: str, manifest: Mapping[str, object]) -> None:
        """Log the manifest of the version: its digest as the tag `twinvec.manifest`, all of it as `manifest.json`."""
        MlflowClient().set_tag(self.id, "twinvec.manifest", digest)
        mlflow.log_dict({**manifest}, "manifest.json", run_id=self.id)

    def log_text(self, name: str, text: str) -> None:
        """Log a text as the artifact `name`."""
        mlflow.log_text(text, name, run_id=self.id)

    def describe(self, description: str) -> None:
        """Show a description, in Markdown, on the page of the run; an empty one shows nothing."""
        if description:
            MlflowClient().set_tag(self.id, MLFLOW_RUN_NOTE, description)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        for name, value in tags.items():
            MlflowClient().set_tag(self.id, name, value)

    def log_model(self, model: nn.Module, inputs: Mapping[str, Tensor], files: Sequence[Path] = ()) -> str:
        """Log `model` and register it under the space's name, exported by `torch.export`: no pickle.

        The exported module computes the same as `model` in evaluation mode, without Twinvec's code.
        `mlflow.pytorch.load_model` loads it.

        Args:
            model: Takes and returns tensors. It is neither changed nor moved.
            inputs: Name → example of each argument of `forward`, in order. The first axis may have another length
                when the model is used, so the example needs at least 2 there. Other axes are fixed.
            files: Files and folders that are kept with the model, in its folder `extra_files`.

        Returns:
            The model's URI, `models:/<space>/<MLflow's own version number>`.
        """
        from twinvec.tracking.exporting import log_exported

        return log_exported(self.space, model, inputs, files)

    def log_trees(self, booster: Booster) -> str:
        """Log the trees of LightGBM, as text, and register them under the space's name.

        `mlflow.lightgbm.load_model` loads them.

        Returns:
            The model's URI, `models:/<space>/<MLflow's own version number>`.
        """
        from twinvec.tracking.exporting import log_booster

        return log_booster(self.space, booster)

    def log_curves(self) -> None:
        """Draw the metrics over the epochs, one panel for all names with the same part before a slash."""
        from matplotlib.figure import Figure  # half a second, which a promotion need not wait for

        panels: dict[str, list[str]] = {}
        for name in self._history:
            panels.setdefault(name.partition("/")[0] if "/" in name else name, []).append(name)
        if not panels:
            return
        figure = Figure(figsize=(6, 2.5 * len(panels)), layout="constrained")
        for axes, (panel, names) in zip(
            figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True
        ):
            for name in names:
                axes.plot(*zip(*self._history[name], strict=True), marker=".", label=name)
            axes.set(title=panel, xlabel="step" if self._by_step.issuperset(names) else "epoch")
            if len(names) > 1:
                axes.legend()
        mlflow.log_figure(figure, "curves.png")


class SilentRun(Run):
    """The run of a process that trains along without logging: the first process logs."""

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log nothing."""


@contextmanager
def start_run(
    settings: Settings,
    space: str,
    version_name: str,
    parameters: Mapping[str, object],
    snapshot: Snapshot,
    inputs: Sequence[Version] = (),
    description: str = "",
    of_space: str = "",
) -> Iterator[Run]:
    """Open the MLflow run of one training; inside another run, a nested one.

    An exception marks the run FAILED and is raised again. The training curves are drawn when the block ends without
    one.

    Args:
        version_name: Embedding version that is made; the name of the run.
        parameters: Parameters, which may be nested; logged with dots.
        snapshot: Logged as an input of the run, with its id as digest.
        inputs: Versions that it is made from, logged likewise with the digests of their manifests.
        description: Shown on the page of the run, in Markdown.
        of_space: Shown on the page of the experiment.
    """
    use_experiment(settings, space, of_space)
    tags = {"twinvec.space": space, "twinvec.version": version_name, "twinvec.snapshot": snapshot.id}
    with mlflow.start_run(run_name=version_name, nested=mlflow.active_run() is not None, tags=tags) as active:
        pairs = iter(flatten(parameters).items())
        while some := dict(islice(pairs, PARAMETERS_A_CALL)):
            mlflow.log_params(some)
        log_input(f"snapshot {snapshot.id}", snapshot.path, snapshot.id, "snapshot")
        for version in inputs:
            log_input(version.name, version.path, version.digest, version.space)
        run = Run(active.info.run_id, space)
        run.describe(description)
        yield run
        run.log_curves()


def run_parameters(settings: Settings, run_id: str | None) -> Mapping[str, str]:
    """Return the parameters that a run was logged with, as text; none if the run no longer exists."""
    use_store(settings)
    try:
        return MlflowClient().get_run(run_id or "").data.params
    except MlflowException:
        return {}


def known_runs(settings: Settings, spaces: Collection[str]) -> set[str]:
    """Return the ids of all runs of the experiments of these spaces.

    Raises:
        StoreError: If MLflow does not answer.
    """
    use_store(settings)
    client = MlflowClient()
    runs: set[str] = set()
    with explained("tell its runs"):
        experiments = [client.get_experiment_by_name(f"twinvec/{space}") for space in sorted(spaces)]
        ids = [experiment.experiment_id for experiment in experiments if experiment is not None]
        token: str | None = None
        while ids and (token is None or token):
            page = client.search_runs(ids, page_token=token)
            runs.update(run.info.run_id for run in page)
            token = page.token or ""
    return runs


def log_input(name: str, path: str, digest: str | None, context: str) -> None:
    """Log a snapshot or a version as an input of the active run."""
    # Abstract to a type checker, by an oversight of MLflow's; this is how its documentation makes one.
    dataset = MetaDataset(LocalArtifactDatasetSource(path), name=name, digest=digest)  # type: ignore[abstract]
    mlflow.log_input(dataset, context=context)
