"""Carrying the space `similar` to a later snapshot with the model of the live release; nothing is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.similar.encoding import encode
from pipelines.similar.evaluation import divide, figures
from pipelines.similar.fitting import embed
from pipelines.similar.listings import read_labels
from pipelines.similar.models import load_models
from pipelines.similar.pipeline import ENCODERS
from pipelines.similar.space import SPACE, VECTOR
from pipelines.update.live import Live
from twinvec.features.manifest import Manifest
from twinvec.metrics.graded import rank_graded
from twinvec.nn.device import resolve_device
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome, Train
from twinvec.tracking import Run
from twinvec.workspace import Workspace


def carry_similar(workspace: Workspace, live: Live, full: bool) -> Train:
    """Return a training that gives the listings of a later snapshot vectors by the live model.

    Every listing is encoded by the encoders of the release, so that a listing that stayed gets the vector it had.

    Args:
        workspace: Stores.
        live: Live release.
        full: Not used, since every vector is computed.

    Raises:
        StoreError: If the model is gone from MLflow, or the settings name other encoders than it was trained on.
    """
    old = live.versions[SPACE.name]
    manifest = Manifest.from_json(old.manifest)
    models = load_models(workspace.settings, old, resolve_device(workspace.settings.device))

    def write(folder: Path) -> None:
        shutil.copyfile(Path(old.path) / ENCODERS, folder / ENCODERS)

    def train(inputs: Inputs, _run: Run, progress: Progress) -> Outcome:
        settings, options = inputs.settings, inputs.settings.similar
        labels = read_labels(inputs.snapshot, settings.seed, settings.ingest.memory_limit)
        content = encode(inputs.snapshot, labels, settings, models.encoders, progress)
        vectors = disk_matrix(settings.home, len(labels), manifest.dimension)
        embed(models.fusion, content, into=vectors)
        test = divide(labels, options).test
        identity = labels.matrix(("product", "family"))[test]
        graded = rank_graded(torch.from_numpy(vectors[test]), identity[:, 0], identity[:, 1], options.k)
        kept = {name: float(value) for name, value in old.metrics.items() if name.endswith("_from")}
        return Outcome(
            keys=labels.items,
            vectors={VECTOR.name: vectors},
            metric=manifest.metric,
            normalised=manifest.normalised,
            model=manifest.model,
            preprocessing=manifest.preprocessing,
            metrics={**figures(graded, options.k), **kept},
            entity=SPACE.entity.key,
            log_model=lambda: str(old.model_uri),
            write=write,
        )

    return train
