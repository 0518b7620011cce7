"""Training runs in MLflow: an experiment per space, a run per training, a registered model per space."""

from __future__ import annotations

import copy
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

# Read when mlflow is imported: a training run is reported to its own tracking store and nowhere else.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import mlflow.data
import numpy as np
import torch
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.logging_utils import disable_logging
from torch import Tensor, nn

from registry.models import Snapshot, Version
from twinvec.errors import NotFoundError
from twinvec.settings import Settings

# Lightning comes with lightly. MLflow would import it for its autologging, which is not used here and takes seconds.
sys.modules.setdefault("pytorch_lightning", None)  # type: ignore[arg-type]
import mlflow.pytorch  # noqa: E402

if sys.modules["pytorch_lightning"] is None:
    del sys.modules["pytorch_lightning"]

# MLflow writes a line for each table and model it makes; what fails is raised, whether or not it writes.
disable_logging()  # type: ignore[no-untyped-call]

LIVE = "live"
PREVIOUS = "previous"
PARAMETERS_A_CALL = 100  # MLflow's limit
ILLEGAL = re.compile(r"[^\w\-. /:]")


@dataclass(frozen=True)
class Run:
    """The MLflow run of one training, to log with.

    Args:
        id: MLflow's run id, to be kept with the version.
        space: the space that is trained.
    """

    id: str
    space: str
    _history: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    _by_step: set[str] = field(default_factory=set)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log what was measured after `epoch` (from 0); the curves are drawn when the run ends."""
        named = {metric_name(name): float(value) for name, value in metrics.items()}
        mlflow.log_metrics(named, step=epoch, run_id=self.id)
        for name, value in named.items():
            self._history.setdefault(name, []).append((epoch, value))

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log what was measured at `step` of the optimiser, under other names than those of epochs."""
        self.log_epoch(step, metrics)
        self._by_step.update(map(metric_name, metrics))

    def log_best(self, metrics: Mapping[str, float]) -> None:
        """Log the values a run is judged by, as `best/…`: MLflow's tables show a metric's last value only."""
        mlflow.log_metrics(
            {f"best/{metric_name(name)}": float(value) for name, value in metrics.items()}, run_id=self.id
        )

    def log_manifest(self, digest: str, manifest: Mapping[str, object]) -> None:
        """Log what the run made: the digest as the tag `twinvec.manifest`, the whole as `manifest.json`."""
        MlflowClient().set_tag(self.id, "twinvec.manifest", digest)
        mlflow.log_dict({**manifest}, "manifest.json", run_id=self.id)

    def log_model(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> str:
        """Log `model` and register it under the space's name, exported by `torch.export`: no pickle.

        The exported module computes what `model` does in evaluation mode, on its own, without our code.
        `mlflow.pytorch.load_model` gives it back.

        Args:
            model: takes and gives tensors; it is not changed, nor moved.
            inputs: name → an example of each argument of `forward`, in order. The first axis may have another
                length when the model is used, so the example needs at least 2 there; other axes are fixed.

        Returns:
            The model's URI, `models:/<space>/<MLflow's own version number>`.
        """
        if any(not len(example) > 1 for example in inputs.values()):
            raise ValueError("an example needs at least 2 rows, else the exported model takes 1 row only")
        exported = copy.deepcopy(model).cpu().eval()
        examples = {name: example.detach().cpu() for name, example in inputs.items()}
        with torch.no_grad():
            outputs = exported(*examples.values())
        arrays = [example.numpy() for example in examples.values()]
        with tempfile.TemporaryDirectory() as folder:
            # MLflow keeps the example of a model with one argument only.
            kept = Path(folder) / "input_example.npz"
            np.savez(kept, allow_pickle=False, **dict(zip(examples, arrays, strict=True)))
            info = mlflow.pytorch.log_model(
                exported,
                name="model",
                registered_model_name=self.space,
                signature=ModelSignature(_schema(examples), _schema(_named(outputs))),
                input_example=arrays[0] if len(arrays) == 1 else arrays,
                serialization_format="pt2",
                # Given, since finding them out loads the model in another process, which takes 15 seconds.
                pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", f"numpy=={np.__version__}"],
                extra_files=[str(kept)] if len(arrays) > 1 else None,
            )
        return f"models:/{self.space}/{info.registered_model_version}"

    def log_curves(self) -> None:
        """Draw the metrics over the epochs, one panel for all that share the part before a slash."""
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
    """The run of a process that only trains along: the first process logs."""

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
) -> Iterator[Run]:
    """Open the MLflow run of one training; inside another run, a nested one.

    An exception marks the run FAILED and goes on. The training curves are drawn when the block ends well.

    Args:
        version_name: the embedding version that is made, which is the run's name.
        parameters: may be nested; logged with dots.
        snapshot: logged as an input of the run, with its id as digest.
        inputs: the versions it is made from, logged likewise with the digests of their manifests.
    """
    _use_store(settings)
    mlflow.set_experiment(experiment_id=_experiment(settings, space))
    tags = {"twinvec.space": space, "twinvec.version": version_name, "twinvec.snapshot": snapshot.id}
    with mlflow.start_run(run_name=version_name, nested=mlflow.active_run() is not None, tags=tags) as active:
        pairs = iter(flatten(parameters).items())
        while some := dict(islice(pairs, PARAMETERS_A_CALL)):
            mlflow.log_params(some)
        _log_input(f"snapshot {snapshot.id}", snapshot.path, snapshot.id, "snapshot")
        for version in inputs:
            _log_input(version.name, version.path, version.digest, version.space)
        run = Run(active.info.run_id, space)
        yield run
        run.log_curves()


def log_comparison(
    settings: Settings, name: str, snapshot_id: str, rows: Mapping[str, Mapping[str, float]]
) -> None:
    """Log figures that stand side by side, in the experiment `twinvec/comparisons`: a run, and one in it for each row.

    Args:
        name: of the comparison.
        snapshot_id: on which it was made.
        rows: name → figures.
    """
    _use_store(settings)
    mlflow.set_experiment(experiment_id=_experiment(settings, "comparisons"))
    tags = {"twinvec.snapshot": snapshot_id}
    with mlflow.start_run(run_name=name, tags=tags):
        for row, figures in rows.items():
            with mlflow.start_run(run_name=row, nested=True, tags=tags):
                mlflow.log_metrics({metric_name(figure): value for figure, value in figures.items()})


def log_change(
    settings: Settings, name: str, versions: Sequence[Version], figures: Mapping[str, float], plot: Figure
) -> str:
    """Log what changed between versions, in the experiment `twinvec/drift`; gives the run's id.

    Args:
        name: of the run.
        versions: that were compared, logged as its inputs.
        figures: logged as metrics.
        plot: logged as `drift.png`.
    """
    _use_store(settings)
    mlflow.set_experiment(experiment_id=_experiment(settings, "drift"))
    with mlflow.start_run(run_name=name, tags={"twinvec.space": versions[0].space}) as active:
        for version in versions:
            _log_input(version.name, version.path, version.digest, version.space)
        mlflow.log_metrics({metric_name(figure): float(value) for figure, value in figures.items()})
        mlflow.log_figure(plot, "drift.png")
        return str(active.info.run_id)


def log_report(settings: Settings, run_id: str | None, name: str, report: Mapping[str, object]) -> None:
    """Add a report to a run that has ended: whole as the artifact `name`, its numbers as metrics `update/…`."""
    _use_store(settings)
    client = MlflowClient()
    client.log_dict(run_id or "", {**report}, name)
    for figure, value in flatten(report).items():
        if isinstance(value, int | float):
            client.log_metric(run_id or "", f"{Path(name).stem}/{metric_name(figure)}", value)


def log_pictures(settings: Settings, run_id: str | None, pictures: Mapping[str, Figure]) -> None:
    """Add pictures, name → figure, to a run that has ended, as artifacts."""
    _use_store(settings)
    for name, picture in pictures.items():
        MlflowClient().log_figure(run_id or "", picture, name)


def _use_store(settings: Settings) -> None:
    if settings.mlflow.tracking_uri is None:
        settings.home.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings.tracking_uri())


def _experiment(settings: Settings, space: str) -> str:
    """The id of the experiment `twinvec/<space>`, made if need be."""
    name = f"twinvec/{space}"
    known = mlflow.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    # A server knows where its artifacts belong; a database in the home has no such place.
    location = (settings.paths.mlartifacts / space).as_uri() if settings.mlflow.tracking_uri is None else None
    return mlflow.create_experiment(name, artifact_location=location)


def _log_input(name: str, path: str, digest: str | None, context: str) -> None:
    # Abstract to a type checker, by an oversight of MLflow's; this is how its documentation makes one.
    dataset = MetaDataset(LocalArtifactDatasetSource(path), name=name, digest=digest)  # type: ignore[abstract]
    mlflow.log_input(dataset, context=context)


def set_alias(settings: Settings, model_uri: str, alias: str) -> None:
    """Point `alias` (`live`, `previous`) of a registered model at the version that `log_model` returned.

    Raises:
        NotFoundError: if the URI is not one of a registered model's version.
    """
    space, version = _registered(model_uri)
    _use_store(settings)
    MlflowClient().set_registered_model_alias(space, alias, version)


def remove_alias(settings: Settings, space: str, alias: str) -> None:
    """Take `alias` from the registered model of a space; nothing happens if it has none."""
    if alias_uri(settings, space, alias) is not None:
        MlflowClient().delete_registered_model_alias(space, alias)


def alias_uri(settings: Settings, space: str, alias: str) -> str | None:
    """The URI of the version of a registered model that `alias` points at, or None."""
    _use_store(settings)
    found = MlflowClient().search_registered_models(filter_string=f"name = '{space}'")
    version = found[0].aliases.get(alias) if found else None
    return f"models:/{space}/{version}" if version is not None else None


def run_parameters(settings: Settings, run_id: str | None) -> Mapping[str, str]:
    """The parameters that a run was logged with, as text; none if there is no such run any more."""
    _use_store(settings)
    try:
        return MlflowClient().get_run(run_id or "").data.params
    except MlflowException:
        return {}


def _registered(model_uri: str) -> tuple[str, str]:
    match = re.fullmatch(r"models:/([^/@]+)/(\d+)", model_uri)
    if match is None:
        raise NotFoundError(
            f"{model_uri!r} names no registered model's version", "it looks like models:/text/3"
        )
    return match[1], match[2]


def model_digest(model: nn.Module) -> str:
    """Digest of a model's weights and buffers by name, type, shape and value: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def metric_name(name: str) -> str:
    """`name` as MLflow allows it: `hit@10` becomes `hit_at_10`, any other illegal character `_`."""
    return ILLEGAL.sub("_", name.replace("@", "_at_"))


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _named(outputs: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
    tensors = [outputs] if isinstance(outputs, Tensor) else outputs
    return {f"output_{place}" if len(tensors) > 1 else "output": value for place, value in enumerate(tensors)}


def _schema(tensors: Mapping[str, Tensor]) -> Schema:
    return Schema(
        [
            TensorSpec(
                value.detach().numpy().dtype, (-1, *value.shape[1:]), name=name if len(tensors) > 1 else None
            )
            for name, value in tensors.items()
        ]
    )
