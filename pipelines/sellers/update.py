"""Carrying the spaces of sellers to a later snapshot with the model of the live release."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from pipelines.graph.product_graph import Split
from pipelines.sellers.fitting import make_start
from pipelines.sellers.pipeline import digest_of, outcomes, read_content, read_graph
from pipelines.sellers.recall import rank_offers, recall_metrics
from pipelines.sellers.space import PRODUCTS, SPACE
from pipelines.update.live import Live
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.features.manifest import Manifest
from twinvec.nn.device import resolve_device
from twinvec.nn.models.waml import layers, principal_axes
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome, Train
from twinvec.tracking import Run, load_model
from twinvec.workspace import Workspace

CHUNK = 65_536
HINT = "`twinvec train sellers --force`, then `twinvec publish sellers`, make a release anew"


def carry_sellers(workspace: Workspace, live: Live, full: bool) -> Train:
    """Return a training that gives a later snapshot the vectors of the live model; nothing is trained.

    Every vector is computed: the layers have nothing to train, and one offer more reaches most of the graph. The text
    vectors are turned to the axes of the snapshot that the model was trained on.

    Args:
        workspace: Stores.
        live: Live release.
        full: Not used, since every vector is computed.

    Raises:
        StoreError: If the model is gone from MLflow, or is another than the version was made by.
    """
    products, sellers = live.versions[PRODUCTS.name], live.versions[SPACE.name]
    manifest = Manifest.from_json(sellers.manifest)
    alphas = _alphas(sellers.metrics)
    # Versions of old homes have the model with the candidates.
    modelled = sellers if sellers.model_uri is not None else products
    uri, model = modelled.model_uri, None
    if uri is not None:
        model = load_model(workspace.settings, modelled, HINT, digest_of=lambda each: digest_of(each, alphas))

    def train(inputs: Inputs, _run: Run, progress: Progress) -> Mapping[str, Outcome]:
        settings, options = inputs.settings, inputs.settings.sellers
        device = resolve_device(settings.device)
        axes = _trained_axes(workspace, live)
        reduced, graph = read_graph(inputs.snapshot, settings)
        progress(f"{graph.sellers:,} sellers, {int(graph.candidate.sum()):,} candidates")
        content = read_content(inputs, reduced.products)
        start = make_start(graph, content, options, settings.seed, axes).to(device)

        def vectors(*splits: Split) -> torch.Tensor:
            *_, below = layers(start, graph.neighbours(*splits).to(device), alphas, options.normalise)
            return below.cpu() if model is None else _embed(model.to(device), below).cpu()

        tested, kept = vectors(Split.TRAIN), vectors(*Split)
        recall = recall_metrics(rank_offers(tested, graph, Split.TEST), graph, options.recall_at)
        figures = {name: float(value) for name, value in sellers.metrics.items() if name.startswith("alpha_")}
        made = Outcome(
            keys=(),
            vectors={},
            metric=manifest.metric,
            normalised=manifest.normalised,
            model=manifest.model,
            preprocessing=manifest.preprocessing,
            metrics={**recall, **figures},
            log_model=(lambda: uri) if uri is not None else None,
        )
        return outcomes(reduced, graph, kept.numpy(), tested.numpy(), made)

    return train


@torch.inference_mode()
def _embed(model: nn.Module, below: torch.Tensor) -> torch.Tensor:
    """Return the blocks' output, [nodes, d], by an exported model, which has no `eval` and takes no single row."""
    parts = below.tensor_split(1 + len(below) // CHUNK)
    return torch.cat([model(part) for part in parts])


def _alphas(metrics: Mapping[str, float]) -> tuple[float, ...]:
    """Return the tuned weights of the layers, which the metrics of a version keep."""
    numbers = sorted(int(name.removeprefix("alpha_")) for name in metrics if name.startswith("alpha_"))
    return tuple(metrics[f"alpha_{number}"] for number in numbers)


def _trained_axes(workspace: Workspace, live: Live) -> torch.Tensor | None:
    """Return the axes that the trained version's text vectors were turned to, or None if it read none."""
    trained = live.trainings[PRODUCTS.name]
    snapshot = open_snapshot(Path(trained.snapshot.path))
    inputs = Inputs(workspace, snapshot, {each.space: each for each in trained.inputs})
    reduced, _ = read_graph(snapshot, workspace.settings)
    content = read_content(inputs, reduced.products)
    dimension = workspace.settings.sellers.dimension
    return principal_axes(content, dimension) if content.shape[1] > dimension else None
