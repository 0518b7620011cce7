"""Table of WAML: what each part of the model adds, on the same held-out offers (WAML 3, Table 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.comparisons.comparison import Column, Comparison, Request
from twinvec.errors import CatalogueError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pipelines.sellers.fitting import Fitted
    from pipelines.sellers.graph import SellerGraph
    from twinvec.settings import SellerSettings, Settings

WHOLE = "waml"
# Row → settings of `sellers` that differ from those of the home.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
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
class WamlRow:
    """Recall of held-out offers by one variant, and its cost.

    Attributes:
        name: Name of the variant.
        recall: Recall of all test offers, at `sellers.recall_at`.
        relative: The same divided by that of the whole model; None if that is not among the rows, or zero.
        recall_0, recall_1_to_3, recall_4_to_9: Recall of products with so many training offers; None if no offer of
            such a product is held out.
        alphas: Tuned α of the layers, separated by blanks.
        parameters: Number of trained parameters.
        epochs: Epochs until training stopped.
        seconds_an_epoch: Seconds of training; the layers, computed once, are not included.
        seconds: Seconds of fitting, layers and tuning included.
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


@dataclass(frozen=True)
class SellerProblem:
    """The problem that all variants share.

    Attributes:
        graph: Sellers, products and categories, with offers held out.
        content: Text vectors of the products, float32 [products, c].
        settings: Settings of the model.
        device: Device to fit on.
    """

    graph: SellerGraph
    content: Tensor
    settings: Settings
    device: torch.device

    def options(self, variant: str) -> SellerSettings:
        """Return the settings of a variant."""
        return self.settings.sellers.model_copy(update={**VARIANTS[variant]})


def row_names() -> Sequence[str]:
    """Return the names of all variants."""
    return [*VARIANTS]


def prepare(request: Request) -> SellerProblem:
    """Read the sellers' graph and the text vectors; the text version is made if it is missing.

    Raises:
        CatalogueError: If the snapshot has no offers, or none is held out.
    """
    from pipelines.comparisons.data import make_versions
    from pipelines.graph.product_graph import Split
    from pipelines.sellers.pipeline import read_content, read_graph, reason_to_skip
    from twinvec.nn.device import resolve_device

    snapshot, settings = request.snapshot, request.settings
    if (reason := reason_to_skip(snapshot, settings)) is not None:
        raise CatalogueError(f"snapshot {snapshot.id}: {reason}", "ingest a source with offers.parquet")
    inputs = make_versions(request.workspace, snapshot, {"text"}, request.progress)
    reduced, graph = read_graph(snapshot, settings)
    if not (graph.split == Split.TEST).any():
        raise CatalogueError(f"snapshot {snapshot.id} has no held-out offers", "ingest a larger catalogue")
    content = read_content(inputs, reduced.products)
    return SellerProblem(graph, content, settings, resolve_device(settings.device))


def fit(problem: SellerProblem, name: str) -> Fitted:
    """Fit a variant on the training offers."""
    from pipelines.sellers.fitting import fit as fit_waml

    return fit_waml(
        problem.graph, problem.content, problem.options(name), problem.device, problem.settings.seed
    )


def judge(problem: SellerProblem, name: str, fitted: Fitted, seconds: float) -> WamlRow:
    """Find the held-out offers; `relative` is None until the other rows are there."""
    from pipelines.graph.product_graph import Split
    from pipelines.sellers.fitting import vectors_of
    from pipelines.sellers.pipeline import held_out_metrics

    k, normalise = problem.settings.sellers.recall_at, problem.options(name).normalise
    tested = vectors_of(fitted, problem.graph, (Split.TRAIN,), normalise, problem.device)
    metrics = held_out_metrics(fitted, tested, problem.graph, k)
    epochs = [epoch.seconds for epoch in fitted.history]
    return WamlRow(
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


def relate(rows: Sequence[WamlRow]) -> list[WamlRow]:
    """Divide the recall of each row by that of the whole model."""
    whole = next((row.recall for row in rows if row.name == WHOLE), 0.0)
    return [replace(row, relative=row.recall / whole if whole else None) for row in rows]


COMPARISON = Comparison(
    name="waml",
    title="Recall@{settings.sellers.recall_at} of offers held out, by the product's other offers",
    help="Parts of the model that recommends products to sellers.",
    columns=(
        Column("recall", "Recall"),
        Column("relative", "×"),
        Column("recall_0", "no offer"),
        Column("recall_1_to_3", "1 to 3"),
        Column("recall_4_to_9", "4 to 9"),
        Column("alphas", "α"),
        Column("parameters", "parameters"),
        Column("epochs", "epochs"),
        Column("seconds_an_epoch", "s an epoch"),
        Column("seconds", "seconds"),
    ),
    rows=row_names,
    prepare=prepare,
    fit=fit,
    judge=judge,
    finish=relate,
    summary=("recall",),
)
