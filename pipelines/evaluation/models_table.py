"""The models of `related` side by side: how good they are on the same held-out edges, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pipelines.evaluation.contenders import RECIPES, Ground, fit_recipe, read_ground
from pipelines.evaluation.memory import measured
from pipelines.evaluation.related_table import judge
from pipelines.evaluation.rows import log_rows, require_rows
from pipelines.graph.product_graph import ProductGraph
from pipelines.related.models import MODELS
from twinvec.catalogue.snapshot import Snapshot
from twinvec.metrics.scores import DotProducts
from twinvec.nn.device import resolve_device
from twinvec.nn.sampling.samplers import make_sampler
from twinvec.settings import Settings
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        name: of the row.
        mrr_low, mrr_high: 95% confidence interval of `mrr_at_10`, by bootstrap over the edges.
        auc_dir: area under the ROC curve of one-way edges against their reverses; 0.5 is chance.
        epochs: that it was trained, until it got no better by the validation edges.
        seconds_an_epoch: of training alone, on average.
        seconds: altogether, with what is prepared and validated.
        peak_memory_mib: by which memory rose at most; None where that cannot be told.
        parameters: numbers that are learned.
    """

    name: str
    mrr_at_10: float
    mrr_low: float
    mrr_high: float
    hits_at_10: float
    auc_dir: float
    epochs: int
    seconds_an_epoch: float
    seconds: float
    peak_memory_mib: int | None
    parameters: int


def compare(
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Fit each model on the training edges alone, one after another, and rank the test edges' targets.

    Ranked are all products but the source and its other known targets. Versions that the models need are made if they
    are not there; the rows' own vectors are kept nowhere. Figures go to MLflow: a run, with one in it a row.

    Args:
        workspace: with the settings of all models; vectors of all have `related.dimension` coordinates.
        snapshot: to compare on.
        progress: told what is going on, and each row's figures.
        names: rows; all if not given.

    Raises:
        SettingsError: if there is no such row.
        CatalogueError: if the snapshot has no held-out edges.
    """
    require_rows(names, RECIPES)
    ground = read_ground(workspace, snapshot, progress)
    _import_sampler(workspace.settings, ground.graph)
    rows = []
    for name in names or RECIPES:
        progress(f"{name}: fitting")
        row = fit_and_judge(name, ground, workspace.settings)
        progress(
            f"{name}: MRR@10 {row.mrr_at_10:.4f}, Hits@10 {row.hits_at_10:.4f}, AUC-dir {row.auc_dir:.4f}, "
            f"{row.seconds_an_epoch:.1f} s an epoch"
        )
        rows.append(row)
    log_rows(workspace.settings, "models", snapshot.id, rows)
    return rows


def fit_and_judge(name: str, ground: Ground, settings: Settings) -> Row:
    """Fit a model, and measure how good it is and what that takes."""
    device = resolve_device(settings.device)
    started = time.perf_counter()
    fitted, memory = measured(partial(fit_recipe, ground, RECIPES[name], settings), device)
    seconds = time.perf_counter() - started
    quality = judge(name, DotProducts(fitted.source, fitted.target), ground.graph, seconds, settings)
    return Row(
        name,
        mrr_at_10=quality.mrr_at_10,
        mrr_low=quality.mrr_low,
        mrr_high=quality.mrr_high,
        hits_at_10=quality.hits_at_10,
        auc_dir=quality.auc_dir,
        epochs=len(fitted.history),
        seconds_an_epoch=sum(epoch.seconds for epoch in fitted.history) / len(fitted.history),
        seconds=seconds,
        peak_memory_mib=None if memory is None else round(memory / 2**20),
        parameters=sum(each.numel() for each in fitted.model.parameters()),
    )


def _import_sampler(settings: Settings, graph: ProductGraph) -> None:
    """DGL is imported when it is first used: that is no cost of the first row's."""
    relations = MODELS[settings.related.recipe].relations(graph)
    make_sampler(settings.related.sampler, relations, dict.fromkeys(relations, 1), 1, 0)
