"""What each part of WAML adds, on the same held-out offers (WAML 3, Table 4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines import road
from pipelines.device import resolve_device
from pipelines.outline import Inputs
from pipelines.sellers.fitting import fit
from pipelines.sellers.products import read_content, read_graph, test_metrics
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import CatalogueError, SettingsError
from twinvec.tracking import log_comparison
from twinvec.workspace import Workspace

# Row → settings that differ from those given.
ROWS: Mapping[str, Mapping[str, Any]] = {
    "waml": {},
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
    if unknown := set(names or ()) - set(ROWS):
        raise SettingsError(f"there is no row {', '.join(sorted(unknown))}", f"rows are: {', '.join(ROWS)}")
    settings = workspace.settings
    if (reason := road.without_offers(snapshot, settings)) is not None:
        raise CatalogueError(f"snapshot {snapshot.id}: {reason}", "ingest a source with offers.parquet")
    steps = road.run(workspace, snapshot, {"text"}, progress=progress)
    versions = {step.space: step.version for step in steps if step.version is not None}
    reduced, graph = read_graph(snapshot, settings)
    content = read_content(Inputs(workspace, snapshot, versions), reduced.products)
    device, k = resolve_device(settings.device), settings.sellers.recall_at
    rows: list[Row] = []
    for name in names or ROWS:
        progress(f"{name}: fitting")
        options, started = settings.sellers.model_copy(update={**ROWS[name]}), time.perf_counter()
        fitted = fit(graph, content, options, device, settings.seed)
        seconds = time.perf_counter() - started
        metrics = test_metrics(fitted, graph, k, options.normalise, device)
        if not metrics["offers"]:
            raise CatalogueError(
                f"snapshot {snapshot.id} has no held-out offers", "ingest a larger catalogue"
            )
        recall = metrics[f"recall_at_{k}"]
        first = rows[0].recall if rows and rows[0].name == "waml" else recall if name == "waml" else 0.0
        epochs = [epoch.seconds for epoch in fitted.history]
        rows.append(
            Row(
                name=name,
                recall=recall,
                relative=recall / first if first else None,
                recall_0=metrics.get(f"recall_at_{k}_products_0"),
                recall_1_to_3=metrics.get(f"recall_at_{k}_products_1_to_3"),
                recall_4_to_9=metrics.get(f"recall_at_{k}_products_4_to_9"),
                alphas=" ".join(f"{alpha:g}" for alpha in fitted.alphas),
                parameters=sum(each.numel() for each in fitted.model.parameters()),
                epochs=len(epochs),
                seconds_an_epoch=sum(epochs) / len(epochs) if epochs else None,
                seconds=seconds,
            )
        )
        progress(f"{name}: recall@{k} {recall:.4f}")
    figures = {
        row.name: {key: value for key, value in asdict(row).items() if isinstance(value, int | float)}
        for row in rows
    }
    log_comparison(settings, "waml", snapshot.id, figures)
    return rows
