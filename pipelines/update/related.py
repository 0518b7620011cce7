"""Source and target vectors of a later snapshot by the model of the live release, computed where something changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.graph.product_graph import Edges, ProductGraph, Split, load_graph
from pipelines.graph.renumbering import row_of
from pipelines.related.models import load_model
from pipelines.related.pipeline import FACTORS, SOURCE_FIELD, TARGET_FIELD
from pipelines.related.proximity_choice import choose_proximity
from pipelines.update.factors import fold_in
from pipelines.update.frontier import part_around, reached, rows_that_differ, touched
from pipelines.update.live import Live
from pipelines.update.models import hops_of, load_related
from registry.models import Version
from twinvec.errors import StateError
from twinvec.features.manifest import Manifest
from twinvec.features.reading import read_vectors
from twinvec.metrics.ranking import rank_targets, ranking_metrics
from twinvec.nn.features import Features
from twinvec.nn.models.full_graph import full_graph_inputs
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.progress import Progress
from twinvec.settings import RelatedSettings, Settings
from twinvec.stage import Inputs, Outcome, Train
from twinvec.tracking import Run
from twinvec.workspace import Workspace

ROLES = 2


@dataclass(frozen=True)
class State:
    """A graph as the model sees it.

    Attributes:
        graph: Graph of n products.
        features: Features of these products.
        cover: Relation → neighbours of the 2n nodes of the double cover.
    """

    graph: ProductGraph
    features: Features
    cover: Mapping[str, Neighbours]

    def rows(self) -> Tensor:
        """Return all features of the nodes, float32 [2n, c + p]."""
        return torch.cat([self.features.content.repeat(ROLES, 1), self.features.proximity], dim=1)


def carry_related(workspace: Workspace, live: Live, full: bool) -> Train:
    """Return a training that gives a later snapshot the vectors of the live model; nothing is trained.

    Args:
        workspace: Stores.
        live: Live release.
        full: Compute all vectors, in place of those that changes reach.

    Raises:
        StateError: If the release was made from no graph.
        StoreError: If its model is gone from MLflow, or is another than the version was made by.
    """
    trained_graph = live.trained_graph
    if trained_graph is None or "graph" not in live.versions:
        raise StateError(
            f"{live.trained.name} was made from no graph", "`twinvec run` trains a release that is"
        )
    model = load_related(workspace.settings, live.versions["related"])

    def train(inputs: Inputs, _run: Run, progress: Progress) -> Outcome:
        old = live.versions["related"]
        manifest = Manifest.from_json(old.manifest)
        started = time.perf_counter()
        graph = load_graph(inputs.folder("graph"))
        trained = load_graph(Path(trained_graph.path))
        options = _as_trained(inputs.settings, trained)
        hops = hops_of(model, options.layers)
        content = _content(inputs.workspace, inputs.versions.get("aligned"), live, graph)
        now = _state(graph, content, trained, live.trained, options)
        before = _before(inputs.workspace, live, options)
        read = read_vectors(inputs.workspace.features, old, graph.product_ids.to_pylist())
        vectors = torch.from_numpy(np.stack([read.fields[name] for name in (SOURCE_FIELD, TARGET_FIELD)]))
        affected = torch.ones(graph.products, dtype=torch.bool) if full else find_affected(before, now, hops)
        progress(f"{int(affected.sum()):,} of {graph.products:,} products get other vectors")
        compute(model, now, affected, hops, vectors)
        seconds = time.perf_counter() - started
        quality = _judge(model, now, vectors, trained, live.trained, options, hops)
        return Outcome(
            keys=graph.product_ids.to_pylist(),
            vectors={SOURCE_FIELD: vectors[0].numpy(), TARGET_FIELD: vectors[1].numpy()},
            metric=manifest.metric,
            normalised=manifest.normalised,
            model=manifest.model,
            preprocessing=manifest.preprocessing,
            metrics={
                "affected": float(affected.sum()),
                "taken_over": float(graph.products - int(affected.sum())),
                "seconds": seconds,
                **quality,
            },
            log_model=lambda: str(old.model_uri),
            write=lambda folder: np.save(folder / FACTORS, now.features.proximity.numpy()),
        )

    return train


def find_affected(before: State, now: State, layers: int) -> Tensor:
    """Return the products of `now` that may have other vectors than before, in either role, bool [n]."""
    total_before, total = before.graph.products, now.graph.products
    was = torch.from_numpy(row_of(now.graph, before.graph.product_ids))
    became = torch.from_numpy(row_of(before.graph, now.graph.product_ids))
    changed = rows_that_differ(before.rows(), now.rows(), _in_both_roles(was, total_before))
    other_neighbours = touched(before.cover, now.cover, _in_both_roles(became, total))
    nodes = reached(changed, other_neighbours, now.cover, layers)
    return nodes[:total] | nodes[total:]


def compute(model: nn.Module, state: State, selected: Tensor, layers: int, vectors: Tensor) -> None:
    """Write the vectors of some products, bool [n], into `vectors`, float32 [2, n, dimension]."""
    if not bool(selected.any()):
        return
    part = part_around(selected, state.cover, layers, ROLES)
    features = Features(
        state.features.content[part.products],
        state.features.proximity[part.nodes(ROLES, state.graph.products)],
    )
    with torch.inference_mode():
        results = model(*full_graph_inputs(features, part.graph).values())
    chosen = selected[part.products]
    for role, computed in enumerate(results):
        vectors[role, part.products[chosen]] = computed[chosen]


def _in_both_roles(place: Tensor, total: int) -> Tensor:
    """Return places of nodes from places of products, −1 where there is none, among `total` products, int64 [2n]."""
    return torch.cat([place, torch.where(place >= 0, place + total, place)])


def _state(
    graph: ProductGraph, content: Tensor, trained: ProductGraph, version: Version, options: RelatedSettings
) -> State:
    """Return the state of a graph for the model, if `version` was trained on the graph `trained`."""
    model = load_model(options.recipe)
    if model.factors is not None:
        return State(graph, Features(content, model.factors(graph)), model.relations(graph))
    factors = np.load(Path(version.path) / FACTORS)
    proximity = fold_in(graph, row_of(graph, trained.product_ids), factors, options.twinvec.proximity)
    return State(graph, Features(content, proximity), model.relations(graph))


def _as_trained(settings: Settings, trained: ProductGraph) -> RelatedSettings:
    """Return the settings of the model, with the values that its training chose."""
    options = settings.related
    if load_model(options.recipe).factors is not None:
        return options
    seen = trained if options.refit else trained.training_part()
    walked = choose_proximity(seen, options.twinvec.proximity, settings.seed)
    recipe = options.twinvec.model_copy(update={"proximity": walked})
    return options.model_copy(update={"twinvec": recipe})


def _before(workspace: Workspace, live: Live, options: RelatedSettings) -> State:
    """Return the state of the live release for the model."""
    graph = load_graph(Path(live.versions["graph"].path))
    content = _content(workspace, live.versions.get("aligned"), live, graph)
    factors = np.load(Path(live.versions["related"].path) / FACTORS)
    cover = load_model(options.recipe).relations(graph)
    return State(graph, Features(content, torch.from_numpy(factors)), cover)


def _content(workspace: Workspace, aligned: Version | None, live: Live, graph: ProductGraph) -> Tensor:
    """Return the content of the products as training reads it, as long as the model takes it, [n, dimension + 1]."""
    if aligned is None:
        live_version = live.versions.get("aligned")
        return torch.zeros(
            graph.products, 1 + (live_version.dimension or 0 if live_version is not None else 0)
        )
    read = read_vectors(workspace.features, aligned, graph.product_ids.to_pylist())
    return torch.from_numpy(np.concatenate([read.only(), read.present[:, None].astype(np.float32)], axis=1))


def _judge(
    model: nn.Module,
    now: State,
    vectors: Tensor,
    trained: ProductGraph,
    version: Version,
    options: RelatedSettings,
    hops: int,
) -> dict[str, float]:
    """Return the quality on held-out edges that the model was not trained on; only their number if there are none.

    They are taken out of the graph, and everything that they reach is computed without them, so that neither
    neighbours nor factors know of them.
    """
    held_out = now.graph.split == Split.TEST
    held_out &= ~_known(now.graph, trained)
    candidates = now.graph.copurchase.only(held_out)
    if not len(candidates):
        return {"held_out_edges": 0.0}
    rest = replace(
        now.graph, copurchase=now.graph.copurchase.only(~held_out), split=now.graph.split[~held_out]
    )
    without = _state(rest, now.features.content, trained, version, options)
    judged = vectors.clone()
    compute(model, without, find_affected(now, without, hops), hops, judged)
    chosen = np.unique(
        np.linspace(0, len(candidates) - 1, min(len(candidates), options.validation_edges)).astype(np.int64)
    )
    edges = (candidates.source[chosen], candidates.target[chosen])
    ranking = ranking_metrics(
        rank_targets(judged[0], judged[1], edges, now.graph.copurchase.matrix(now.graph.products))
    )
    return {"held_out_edges": float(len(chosen)), "mrr_at_10": ranking.mrr_at_10}


def _known(graph: ProductGraph, trained: ProductGraph) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return a mask of the co-purchase edges that the trained graph has, in either direction, bool [edges]."""
    place = row_of(graph, trained.product_ids)
    edges, trained_edges = graph.copurchase, trained.copurchase
    before = _keys(Edges(place[edges.source], place[edges.target], edges.count), trained.products)
    after = _keys(trained_edges.both_ways(), trained.products)
    inside = (place[edges.source] >= 0) & (place[edges.target] >= 0)
    return inside & np.isin(before, after)


def _keys(edges: Edges, products: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return edges.source * products + edges.target
