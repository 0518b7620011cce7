"""The spaces `seller_products` and `sellers`: candidates and sellers in one space, trained together by WAML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, nn

from pipelines.graph.product_graph import Split
from pipelines.sellers.fitting import Fitted, fit, vectors_of
from pipelines.sellers.graph import SellerGraph, build_graph
from pipelines.sellers.recall import rank_offers, recall_metrics
from pipelines.sellers.reduction import Reduced, reduce_graph
from pipelines.sellers.space import PRODUCTS, SPACE
from twinvec import digest
from twinvec.engine import open_cluster
from twinvec.errors import CatalogueError
from twinvec.nn.device import resolve_device
from twinvec.nn.training.loop import Epoch
from twinvec.progress import Progress
from twinvec.settings import Settings
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.tracking import Run

REDUCTION = "reduction.json"
TESTED = "tested.npy"
"""Vectors that a version was tested with, float32 [rows, d], in its folder: they know the training offers alone."""
Floats = npt.NDArray[np.float32]


def train(inputs: Inputs, run: Run, progress: Progress) -> Mapping[str, Outcome]:
    """Reduce the graph, fit on the training offers, test on those held out, then let the layers see all offers."""
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
    tested = vectors_of(fitted, graph, (Split.TRAIN,), options.normalise, device)
    metrics = held_out_metrics(fitted, tested, graph, options.recall_at)
    vectors = vectors_of(fitted, graph, tuple(Split), options.normalise, device).numpy()
    return outcomes(
        reduced,
        graph,
        vectors,
        tested.numpy(),
        Outcome(
            keys=(),
            vectors={},
            metric="dot",
            normalised=True,
            model=digest_of(fitted.model, fitted.alphas),
            preprocessing=digest.of_json(options.model_dump()),
            metrics=metrics,
            log_model=(lambda: run.log_model(fitted.model, {"below": fitted.start[:2]}))
            if options.blocks
            else None,
        ),
    )


def outcomes(
    reduced: Reduced, graph: SellerGraph, vectors: Floats, tested: Floats, made: Outcome
) -> dict[str, Outcome]:
    """Divide the vectors of all nodes, float32 [nodes, d], into the outcomes of both spaces.

    Args:
        reduced: Reduced graph.
        graph: Its numbered nodes.
        vectors: Vectors that are kept.
        tested: Vectors that know the training offers alone.
        made: What both have in common.
    """
    # Of other products, which are there for what they link, nothing is recommended.
    candidates, sellers = graph.candidate, np.arange(graph.nodes) < graph.sellers

    def write_products(folder: Path) -> None:
        np.save(folder / TESTED, tested[candidates])
        write_reduction(folder, reduced)

    return {
        PRODUCTS.name: replace(
            made,
            keys=graph.ids.filter(pa.array(candidates)).to_pylist(),
            vectors={PRODUCTS.fields[0]: vectors[candidates]},
            entity=PRODUCTS.entity.key,
            write=write_products,
        ),
        SPACE.name: replace(
            made,
            keys=reduced.sellers.to_pylist(),
            vectors={SPACE.fields[0]: vectors[sellers]},
            entity=SPACE.entity.key,
            write=lambda folder: np.save(folder / TESTED, tested[sellers]),
        ),
    }


def digest_of(model: nn.Module, alphas: Sequence[float]) -> str:
    """Return the digest of the blocks and of the layers' weights, as the manifests of both spaces have it."""
    return digest.of_json({"blocks": model_digest(model), "alphas": alphas})


def reason_to_skip(snapshot: Snapshot, _settings: Settings) -> str | None:
    """Return why there is nothing to recommend to sellers, or None."""
    return None if "offers" in snapshot.tables else "the source has no table `offers`"


def read_graph(snapshot: Snapshot, settings: Settings) -> tuple[Reduced, SellerGraph]:
    """Return the reduced graph of a snapshot, and the same with numbered nodes and split offers.

    Raises:
        CatalogueError: If no offer is of a candidate or its neighbour.
    """
    options = settings.sellers
    with open_cluster(settings) as cluster:
        reduced = reduce_graph(
            snapshot,
            options.reduction.candidate_below,
            options.reduction.customer_products,
            options.reduction.min_shared,
            settings.ingest.memory_limit,
            cluster=cluster,
        )
    if not len(reduced.sellers):
        raise CatalogueError(
            f"snapshot {snapshot.id} has no offer of a product with fewer than "
            f"{options.reduction.candidate_below} offers, nor of one linked to such a product",
            "raise sellers.reduction.candidate_below",
        )
    return reduced, build_graph(reduced, options.validation, options.test, settings.seed)


def read_content(inputs: Inputs, products: pa.StringArray) -> Tensor:
    """Return the text vectors of the products, float32 [products, c]; without a text version, [products, 0]."""
    if "text" not in inputs.versions:
        return torch.zeros(len(products), 0)
    return torch.from_numpy(inputs.vectors("text", products.to_pylist()).only())


def held_out_metrics(fitted: Fitted, tested: Tensor, graph: SellerGraph, k: int) -> dict[str, float]:
    """Return recall@k of the test offers and the tuned weights of the layers.

    Args:
        fitted: Fitted model.
        tested: Vectors of all nodes that know the training offers alone, float32 [nodes, d].
        graph: Graph that it was fitted on.
        k: Number of recommended products among which a true one counts.
    """
    recall = recall_metrics(rank_offers(tested, graph, Split.TEST), graph, k)
    alphas = {f"alpha_{number}": alpha for number, alpha in enumerate(fitted.alphas, 1)}
    return {**recall, **alphas, "epochs": len(fitted.history)}


def write_reduction(folder: Path, reduced: Reduced) -> None:
    """Write what the graph reduction kept (WAML, Table 5)."""
    table = {
        "counts": [{"what": row.what, "before": row.before, "after": row.after} for row in reduced.counts],
        "bounded_customers": reduced.bounded.customers,
        "interactions_left_out": reduced.bounded.interactions,
    }
    (folder / REDUCTION).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
