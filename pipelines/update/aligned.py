"""Aligned vectors of a later snapshot by the model of the live release, computed where something changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.alignment.loading import load_aligned
from pipelines.alignment.pipeline import FIELD, neighbours_of
from pipelines.graph.product_graph import ProductGraph, Split, load_graph
from pipelines.graph.renumbering import renumbered, row_of
from pipelines.update.frontier import part_around, reached, rows_that_differ, touched
from pipelines.update.live import Live
from registry.models import Version
from twinvec.features.manifest import Manifest
from twinvec.features.reading import read_vectors
from twinvec.nn.models.alignment import AlignmentEncoder, ContentFeatures
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.progress import Progress
from twinvec.spaces import find_space
from twinvec.stage import Inputs, Outcome, Train
from twinvec.tracking import Run
from twinvec.workspace import Workspace

LAYERS = 1


@dataclass(frozen=True)
class Content:
    """Inputs of the aligned vectors of n products.

    Attributes:
        features: Features of the products.
        coviews: Co-viewed products of each, among those that have a text or an image.
    """

    features: ContentFeatures
    coviews: Neighbours

    @property
    def embeddable(self) -> Tensor:
        """Mask of the products that have a text or an image, bool [n]."""
        return self.features.has_text | self.features.has_image

    def rows(self) -> Tensor:
        """Return all features side by side, float32 [n, t + i + 2]."""
        features = self.features
        flags = torch.stack([features.has_text, features.has_image], 1).float()
        return torch.cat([features.text, features.image, flags], dim=1)


def carry_aligned(workspace: Workspace, live: Live, full: bool) -> Train:
    """Return a training that gives a later snapshot the aligned vectors of the live model; nothing is trained.

    Args:
        workspace: Stores.
        live: Live release.
        full: Compute all vectors, in place of those that changes reach.
    """
    model = load_aligned(workspace.settings, live.versions["aligned"])

    def train(inputs: Inputs, _run: Run, progress: Progress) -> Outcome:
        old = live.versions["aligned"]
        manifest = Manifest.from_json(old.manifest)
        graph, graph_before = (
            load_graph(inputs.folder("graph")),
            load_graph_of(live.versions["graph"]),
        )
        place = torch.from_numpy(row_of(graph, graph_before.product_ids))
        now_at = torch.from_numpy(row_of(graph_before, graph.product_ids))
        now = _content(inputs.workspace, {**inputs.versions}, live, graph)
        then = _content(inputs.workspace, {**live.versions}, live, graph_before)
        coviews, coviews_then = ({AlignmentEncoder.RELATION: each.coviews} for each in (now, then))
        affected = torch.ones(graph.products, dtype=torch.bool)
        if not full:
            affected = reached(
                rows_that_differ(then.rows(), now.rows(), place),
                touched(coviews_then, coviews, now_at),
                coviews,
                LAYERS,
            )
        read = read_vectors(inputs.workspace.features, old, graph.product_ids.to_pylist())
        vectors = torch.from_numpy(read.only())
        computed = affected & now.embeddable
        progress(f"{int(computed.sum()):,} of {graph.products:,} aligned vectors are computed")
        if bool(computed.any()):
            part = part_around(computed, coviews, LAYERS, roles=1)
            near = part.graph[AlignmentEncoder.RELATION]
            with torch.inference_mode():
                results = model(*now.features.of(part.products), near.offsets, near.positions)
            chosen = computed[part.products]
            vectors[part.products[chosen]] = results[chosen]
        present = np.flatnonzero(now.embeddable.numpy())
        return Outcome(
            keys=graph.product_ids.take(present).to_pylist(),
            vectors={FIELD: vectors.numpy()[present]},
            metric=manifest.metric,
            normalised=manifest.normalised,
            model=manifest.model,
            preprocessing=manifest.preprocessing,
            metrics={
                "coverage": float(now.embeddable.float().mean()),
                "computed": float(computed.sum()),
                "taken_over": float(len(present) - int(computed.sum())),
            },
            log_model=lambda: str(old.model_uri),
        )

    return train


def load_graph_of(version: Version) -> ProductGraph:
    """Return the graph that a version holds."""
    return load_graph(Path(version.path))


def _content(workspace: Workspace, versions: dict[str, Version], live: Live, graph: ProductGraph) -> Content:
    """Return the features of a graph's products, in its order; the model takes lengths as the live release has them."""
    keys: list[str] = graph.product_ids.to_pylist()
    parts: list[Tensor] = []
    for space in find_space("aligned").uses:
        live_version = live.versions.get(space)
        length = live_version.dimension or 0 if live_version is not None else 0
        if length and space in versions:
            read = read_vectors(workspace.features, versions[space], keys)
            parts += [torch.from_numpy(read.only()), torch.from_numpy(read.present)]
        else:
            parts += [torch.zeros(len(keys), length), torch.zeros(len(keys), dtype=torch.bool)]
    features = ContentFeatures(*parts)
    embeddable = (features.has_text | features.has_image).numpy()
    number = np.where(embeddable, np.arange(graph.products), -1)
    return Content(features, neighbours_of(renumbered(graph.coviews(*Split), number), graph.products))
