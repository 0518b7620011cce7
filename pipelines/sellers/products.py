"""The space `seller_products`: vectors of candidate products, which are compared with vectors of sellers, by WAML.

One model gives both and is trained here; the space `sellers` is read from the files beside these vectors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from pipelines.graph.product_graph import Split
from pipelines.sellers.fitting import Fitted, fit, vectors_of
from pipelines.sellers.graph import SellerGraph, build_graph
from pipelines.sellers.recall import rank_offers, recall_metrics
from pipelines.sellers.reduction import Reduced, reduce_graph
from twinvec import digest
from twinvec.columns import SELLER_ID
from twinvec.errors import CatalogueError
from twinvec.features.manifest import vector_fields
from twinvec.nn.device import resolve_device
from twinvec.nn.training.loop import Epoch
from twinvec.settings import Settings
from twinvec.stage import Inputs, Outcome, Progress
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.tracking import Run

(FIELD,) = vector_fields("seller_products")
SELLERS, VECTORS, REDUCTION = "sellers.parquet", "sellers.npy", "reduction.json"


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Reduce the graph, fit on the training offers, test on held-out offers, then embed with all offers as edges."""
    settings, options = inputs.settings, inputs.settings.sellers
    device = resolve_device(settings.device)
    reduced, graph = read_graph(inputs.snapshot, settings)
    progress(
        f"{graph.sellers:,} sellers, {graph.products:,} of {inputs.snapshot.tables['products']:,} products, "
        f"{int(graph.candidate.sum()):,} of them candidates, {graph.categories:,} categories"
    )

    def report(epoch: Epoch) -> None:
        run.log_epoch(epoch.number, epoch.figures())
        figure = "" if epoch.validation is None else f", recall@{options.recall_at} {epoch.validation:.4f}"
        progress(f"epoch {epoch.number}: loss {epoch.loss:.4f}{figure}")

    fitted = fit(graph, read_content(inputs, reduced.products), options, device, settings.seed, report)
    metrics = held_out_metrics(fitted, graph, options.recall_at, options.normalise, device)
    vectors = vectors_of(fitted, graph, tuple(Split), options.normalise, device).numpy()
    return Outcome(
        # Other products are in the graph for their links, and are never recommended.
        keys=graph.ids.filter(pa.array(graph.candidate)).to_pylist(),
        vectors={FIELD: vectors[graph.candidate]},
        metric="dot",
        normalised=True,
        model=digest.of_json({"blocks": model_digest(fitted.model), "alphas": fitted.alphas}),
        preprocessing=digest.of_json(options.model_dump()),
        metrics=metrics,
        log_model=(lambda: run.log_model(fitted.model, {"below": fitted.start[:2]}))
        if options.blocks
        else None,
        write=lambda folder: write_sellers(folder, reduced, vectors[: graph.sellers]),
    )


def read_graph(snapshot: Snapshot, settings: Settings) -> tuple[Reduced, SellerGraph]:
    """Return the reduced graph of a snapshot, and the same with numbered nodes and split offers.

    Raises:
        CatalogueError: If no offer is of a candidate or its neighbour.
    """
    options = settings.sellers
    reduced = reduce_graph(
        snapshot,
        options.reduction.candidate_below,
        options.reduction.customer_products,
        options.reduction.min_shared,
        settings.ingest.memory_limit,
    )
    if not len(reduced.sellers):
        raise CatalogueError(
            f"snapshot {snapshot.id} has no offer of a product with fewer than "
            f"{options.reduction.candidate_below} offers, nor of one linked to such a product",
            "raise sellers.reduction.candidate_below",
        )
    return reduced, build_graph(reduced, options.validation, options.test, settings.seed)


def read_content(inputs: Inputs, products: pa.StringArray) -> Tensor:
    """Return text vectors of the products, float32 [products, c]; without a text version, [products, 0]."""
    if "text" not in inputs.versions:
        return torch.zeros(len(products), 0)
    return torch.from_numpy(inputs.vectors("text", products.to_pylist()).only())


def held_out_metrics(
    fitted: Fitted, graph: SellerGraph, k: int, normalise: bool, device: torch.device
) -> dict[str, float]:
    """Return recall@k of the test offers with the training offers alone as edges, α of each layer, and the epochs."""
    vectors = vectors_of(fitted, graph, (Split.TRAIN,), normalise, device)
    metrics = recall_metrics(rank_offers(vectors, graph, Split.TEST), graph, k)
    alphas = {f"alpha_{number}": alpha for number, alpha in enumerate(fitted.alphas, 1)}
    return {**metrics, **alphas, "epochs": len(fitted.history)}


def write_sellers(folder: Path, reduced: Reduced, vectors: np.typing.NDArray[np.float32]) -> None:
    """Write the sellers, their vectors, and the counts of the reduction."""
    pq.write_table(pa.table({SELLER_ID: reduced.sellers}), folder / SELLERS)
    np.save(folder / VECTORS, vectors)
    table = {
        "counts": [{"what": row.what, "before": row.before, "after": row.after} for row in reduced.counts],
        "bounded_customers": reduced.bounded.customers,
        "interactions_left_out": reduced.bounded.interactions,
    }
    (folder / REDUCTION).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
