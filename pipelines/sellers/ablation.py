"""What each part of WAML adds, on the same held-out offers (WAML 3, Table 4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from pipelines.evaluation.contenders import read_inputs
from pipelines.evaluation.rows import log_rows, require_rows
from pipelines.graph.product_graph import Split
from pipelines.sellers.fitting import fit
from pipelines.sellers.graph import SellerGraph
from pipelines.sellers.products import held_out_metrics, read_content, read_graph
from twinvec import dag
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError
from twinvec.nn.device import resolve_device
from twinvec.settings import Settings
from twinvec.workspace import Workspace

WHOLE = "waml"
# Row → settings that differ from those given.
ROWS: Mapping[str, Mapping[str, Any]] = {
    WHOLE: {},
    "- content": {"content": False},
    "- id hash": {"node_hash": False},
    "- type hash": {"type_hash": False},
    "- L2 in layers": {"normalise": False},
    "- tuned α": {"alphas": (0.5,) * 5, "tuning": 0},
    "- feed-forward": {"blocks": 0},
    "- contrastive": {"contrastive": False},
}


@dataclass(frozen=True)
class Row:
    """How many held-out offers one variant finds, and what that costs.

    Attributes:
        name: of the variant.
        recall: of all test offers, at `sellers.recall_at`.
        relative: the same divided by that of the whole model; None if it is not among the rows, or zero.
        recall_0, recall_1_to_3, recall_4_to_9: of products with so many training offers; None if none is held out.
        alphas: of the layers, tuned, with blanks between them.
        parameters: that are trained.
        epochs: until training stopped.
        seconds_an_epoch: of training; the layers, computed once, are not in it.
        seconds: to fit it, layers and tuning included.
    """

    name: str
    recall: float
    relative: float | None
    recall_0: float | None
    recall_1_to_3: float | None
    recall_4_to_9: float | None
    alphas: str
    parameters: int
    epochs: int
    seconds_an_epoch: float | None
    seconds: float


def compare(
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Fit each variant on the training offers and find the held-out ones; figures go to MLflow as well.

    Args:
        workspace: with the settings of the model.
        snapshot: to compare on; its text version is made if it is not there.
        progress: told what is going on, and each row's figure.
        names: rows; all if not given.

    Raises:
        SettingsError: if there is no such row.
        CatalogueError: if the snapshot has no offers, or none is held out.
    """
    require_rows(names, ROWS)
    settings = workspace.settings
    if (reason := dag.without_offers(snapshot, settings)) is not None:
        raise CatalogueError(f"snapshot {snapshot.id}: {reason}", "ingest a source with offers.parquet")
    inputs = read_inputs(workspace, snapshot, {"text"}, progress)
    reduced, graph = read_graph(snapshot, settings)
    if not (graph.split == Split.TEST).any():
        raise CatalogueError(f"snapshot {snapshot.id} has no held-out offers", "ingest a larger catalogue")
    content = read_content(inputs, reduced.products)
    rows = []
    for name in names or ROWS:
        progress(f"{name}: fitting")
        rows.append(fit_and_judge(name, graph, content, settings))
        progress(f"{name}: recall@{settings.sellers.recall_at} {rows[-1].recall:.4f}")
    whole = next((row.recall for row in rows if row.name == WHOLE), 0.0)
    rows = [replace(row, relative=row.recall / whole if whole else None) for row in rows]
    log_rows(settings, "waml", snapshot.id, rows)
    return rows


def fit_and_judge(name: str, graph: SellerGraph, content: Tensor, settings: Settings) -> Row:
    """One row, which does not know the others yet: `relative` is None."""
    options, k = settings.sellers.model_copy(update={**ROWS[name]}), settings.sellers.recall_at
    device = resolve_device(settings.device)
    started = time.perf_counter()
    fitted = fit(graph, content, options, device, settings.seed)
    seconds = time.perf_counter() - started
    metrics = held_out_metrics(fitted, graph, k, options.normalise, device)
    epochs = [epoch.seconds for epoch in fitted.history]
    return Row(
        name=name,
        recall=metrics[f"recall_at_{k}"],
        relative=None,
        recall_0=metrics.get(f"recall_at_{k}_products_0"),
        recall_1_to_3=metrics.get(f"recall_at_{k}_products_1_to_3"),
        recall_4_to_9=metrics.get(f"recall_at_{k}_products_4_to_9"),
        alphas=" ".join(f"{alpha:g}" for alpha in fitted.alphas),
        parameters=sum(each.numel() for each in fitted.model.parameters()),
        epochs=len(epochs),
        seconds_an_epoch=sum(epochs) / len(epochs) if epochs else None,
        seconds=seconds,
    )
