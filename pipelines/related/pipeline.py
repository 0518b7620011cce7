"""Training of the space `related`: a source and a target vector of each product, tested on held-out edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.graph.product_graph import Edges, ProductGraph, Split, load_graph
from pipelines.related.fitting import Fitted, fit, make_plan
from pipelines.related.held_out import TESTED
from pipelines.related.space import SPACE
from twinvec import digest
from twinvec.metrics.direction import direction_metrics
from twinvec.metrics.ranking import MOST_RANKED, rank_targets, ranking_metrics
from twinvec.nn.calibration import weight_fitter
from twinvec.nn.device import resolve_device
from twinvec.nn.features import Features
from twinvec.nn.models.full_graph import full_graph_inputs
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.nn.training.loop import Epoch
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.settings import RelatedSettings
    from twinvec.tracking import Run

SOURCE_FIELD, TARGET_FIELD = SPACE.fields
FACTORS = "proximity.npy"


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Train on the training edges, test on the held-out edges, then train on all edges for the published vectors."""
    settings, options = inputs.settings, inputs.settings.related
    device = resolve_device(settings.device)
    graph = load_graph(inputs.folder("graph"))
    content = read_content(inputs, graph)

    def report(epoch: Epoch) -> None:
        run.log_epoch(epoch.number, epoch.figures())
        progress(str(epoch))

    fitted = fit_on_training_edges(graph, content, options, device, settings.seed, report)
    metrics = held_out_metrics(fitted.source, fitted.target, graph)
    # Without edges to validate by, training ends with the last epoch's weights.
    best = (
        max(fitted.history, key=lambda epoch: epoch.validation or 0.0)
        if len(graph.edges(Split.VALIDATION))
        else fitted.history[-1]
    )
    tested = None
    if options.refit:
        progress(f"training again on all {len(graph.copurchase):,} edges, {best.number} epochs")
        tested = _in_file(fitted, settings.home)
        calibration = fitted.model.calibration  # no edges are held out now, so its weights stay
        weights = None if calibration is None else calibration.fixed_weights
        del fitted  # Two sets of factors and vectors are not in memory at once.
        plan = make_plan(graph, content, options, settings.seed)
        fitted = fit(plan, options, device, settings.seed, last=best.number, fit_weights=weights)
    return Outcome(
        keys=graph.product_ids.to_pylist(),
        vectors={SOURCE_FIELD: fitted.source.cpu().numpy(), TARGET_FIELD: fitted.target.cpu().numpy()},
        metric="dot",
        normalised=False,
        model=model_digest(fitted.model),
        preprocessing=digest.of_json(options.deciding_as_before()),
        metrics={**metrics, "validation_mrr_at_10": best.validation or 0.0, "epochs": best.number},
        log_model=lambda: run.log_model(fitted.model, example_of(fitted)),
        write=lambda folder: _write_files(folder, fitted, tested),
    )


def fit_on_training_edges(
    graph: ProductGraph,
    content: Tensor,
    options: RelatedSettings,
    device: torch.device,
    seed: int,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Train the model that the settings name on the training edges alone.

    The validation edges choose the epoch and fit the calibration.

    Args:
        graph: A graph with held-out edges.
        content: Content features of its products, float32 [n, c].
        options: Settings of the model, the sampling and the stopping.
        device: Device to train on.
        seed: Seed of everything random.
        report: Called after each epoch.
    """
    held_out = _sample(graph.edges(Split.VALIDATION), options.validation_edges, seed)
    adjacency = graph.copurchase.matrix(graph.products)
    without_test = graph.edges(Split.TRAIN, Split.VALIDATION).matrix(graph.products)

    def validate(source: Tensor, target: Tensor) -> float:
        ranks = rank_targets(source, target, held_out.ends, adjacency)
        return ranking_metrics(ranks).mrr_at_10

    return fit(
        make_plan(graph.training_part(), content, options, seed),
        options,
        device,
        seed,
        validate=validate if len(held_out) else None,
        fit_weights=weight_fitter(held_out.ends, without_test, options.direction, seed),
        report=report,
    )


def read_content(inputs: Inputs, graph: ProductGraph) -> Tensor:
    """Return the content features of the graph's products: the aligned vector and a flag, float32 [n, dimension + 1].

    The flag says whether the product has a vector. A catalogue without content has no aligned version; then the
    features are the flag alone.
    """
    if "aligned" not in inputs.versions:
        return torch.zeros(graph.products, 1)
    keys: list[str] = graph.product_ids.to_pylist()
    read = inputs.vectors("aligned", keys)
    present = read.present[:, None].astype(np.float32)
    return torch.from_numpy(np.concatenate([read.only(), present], axis=1))


def held_out_metrics(source: Tensor, target: Tensor, graph: ProductGraph) -> dict[str, float]:
    """Return the metrics of ranking and direction on the test edges; rankings leave out all edges of the graph.

    Of more than `MOST_RANKED` test edges, so many are measured.
    """
    adjacency = graph.copurchase.matrix(graph.products)
    test = graph.edges(Split.TEST).evenly(MOST_RANKED)
    ranking = ranking_metrics(rank_targets(source, target, test.ends, adjacency))
    return {**asdict(ranking), **asdict(direction_metrics(source, target, test.ends, adjacency))}


def _sample(edges: Edges, most: int, seed: int) -> Edges:
    return edges.only(np.random.default_rng(seed).permutation(len(edges))[:most])


def example_of(fitted: Fitted) -> dict[str, Tensor]:
    """Return example arguments of the model by name: a graph of two products that are each other's neighbours.

    Every length but a vector's is free when the model is used.
    """
    features = Features(fitted.features.content[:2].clone(), torch.cat([fitted.features.proximity[:2]] * 2))
    pair = Neighbours(torch.arange(5), torch.tensor([2, 3, 0, 1]))
    return full_graph_inputs(features, dict.fromkeys(fitted.graph, pair))


def _in_file(fitted: Fitted, folder: Path) -> npt.NDArray[np.float32]:
    """Return the source and the target vectors in an unnamed file, float32 [2, n, dimension]."""
    products, dimension = fitted.source.shape
    vectors = disk_matrix(folder, 2 * products, dimension).reshape(2, products, dimension)
    for role, values in enumerate((fitted.source, fitted.target)):
        vectors[role] = values.cpu().numpy()
    return vectors


def _write_files(folder: Path, fitted: Fitted, tested: npt.NDArray[np.float32] | None) -> None:
    np.save(folder / FACTORS, fitted.features.proximity.numpy())
    if tested is not None:
        # The published vectors know the test edges. Comparison with a later version needs vectors that do not.
        np.save(folder / TESTED, tested)
