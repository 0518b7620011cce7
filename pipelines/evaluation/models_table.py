"""The models of `related` side by side: how good they are on the same held-out edges, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from torch import Tensor

from pipelines import road
from pipelines.device import resolve_device
from pipelines.evaluation.memory import measured
from pipelines.evaluation.related_table import judge
from pipelines.evaluation.scores import DotProducts
from pipelines.graph.product_graph import ProductGraph, Split, load_graph
from pipelines.outline import Inputs
from pipelines.related.models import MODELS
from pipelines.related.pipeline import fit_on_training_edges, read_content
from pipelines.sampling.samplers import make_sampler
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError, SettingsError
from twinvec.settings import Settings
from twinvec.tracking import log_comparison
from twinvec.workspace import Workspace

# Name → `related.recipe`.
ROWS = {("merlin" if recipe == "paper" else recipe): recipe for recipe in MODELS}


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
    if unknown := set(names or ()) - set(ROWS):
        raise SettingsError(f"there is no row {', '.join(sorted(unknown))}", f"rows are: {', '.join(ROWS)}")
    steps = road.run(workspace, snapshot, {"aligned"}, progress=progress)
    versions = {step.space: step.version for step in steps if step.version is not None}
    inputs = Inputs(workspace, snapshot, versions)
    graph = load_graph(inputs.folder("graph"))
    if not len(graph.edges(Split.TEST)):
        raise CatalogueError(f"snapshot {snapshot.id} has no held-out edges", "ingest a larger catalogue")
    content = read_content(inputs, graph)
    _import_sampler(workspace.settings, graph)
    rows = []
    for name in names or ROWS:
        progress(f"{name}: fitting")
        row = fit_and_judge(name, graph, content, workspace.settings)
        progress(
            f"{name}: MRR@10 {row.mrr_at_10:.4f}, Hits@10 {row.hits_at_10:.4f}, AUC-dir {row.auc_dir:.4f}, "
            f"{row.seconds_an_epoch:.1f} s an epoch"
        )
        rows.append(row)
    log_comparison(workspace.settings, "models", snapshot.id, {row.name: _figures(row) for row in rows})
    return rows


def fit_and_judge(name: str, graph: ProductGraph, content: Tensor, settings: Settings) -> Row:
    """One row."""
    device = resolve_device(settings.device)
    options = settings.related.model_copy(update={"recipe": ROWS[name]})
    started = time.perf_counter()
    fit = partial(fit_on_training_edges, graph, content, options, device, settings.seed)
    fitted, memory = measured(fit, device)
    seconds = time.perf_counter() - started
    quality = judge(name, DotProducts(fitted.source, fitted.target), graph, seconds, settings.seed)
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


def _figures(row: Row) -> dict[str, float]:
    return {name: value for name, value in asdict(row).items() if name != "name" and value is not None}
