"""What the ways of making the graph, of sampling it and of training on it are worth to related products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.contenders import Ground, read_ground, read_inputs, scores_of
from pipelines.evaluation.related_table import Row, rank_each
from pipelines.evaluation.rows import require_rows
from pipelines.graph.product_graph import Edges, ProductGraph, Split, load_graph
from twinvec.catalogue.snapshot import Snapshot
from twinvec.metrics.scores import DotProducts
from twinvec.settings import Settings
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Variant:
    """A row: what is set otherwise.

    Attributes:
        graph: settings of the graph, which is made again.
        related: settings of the model.
        twinvec: settings of the recipe `twinvec`.
        coviews: whether co-views are in the graph.
    """

    graph: Mapping[str, object] = field(default_factory=dict)
    related: Mapping[str, object] = field(default_factory=dict)
    twinvec: Mapping[str, object] = field(default_factory=dict)
    coviews: bool = True


VARIANTS: Mapping[str, Variant] = {
    "as set": Variant(),
    "weak associations dropped": Variant(graph={"drop_weak": "always"}),
    "weak associations kept": Variant(graph={"drop_weak": "never"}),
    "direction by price": Variant(graph={"direction": "price"}),
    "direction by popularity": Variant(graph={"direction": "popularity"}),
    "direction by views": Variant(graph={"direction": "views"}),
    "no co-views": Variant(coviews=False),
    "fan-outs 5 and 5": Variant(related={"fanout_copurchase": 5, "fanout_coview": 5}),
    "fan-outs 50 and 50": Variant(related={"fanout_copurchase": 50, "fanout_coview": 50}),
    "one layer": Variant(related={"layers": 1}),
    "softmax over edges alone": Variant(twinvec={"near": 0.0}),
    "softmax over nearness alone": Variant(twinvec={"near": 1.0}),
    "margin loss (the paper's recipe)": Variant(related={"recipe": "paper"}),
}


def compare(
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Fit each variant on its own graph, and rank the test edges of the graph as the settings have it.

    No variant is trained on a pair of products that is held out of that graph, but for an edge of that graph that goes
    the other way. Graphs that are not there are made, as versions of the home. Figures go to MLflow: a run, with one
    in it a row.

    Raises:
        SettingsError: if there is no such row.
        CatalogueError: if the snapshot has no held-out edges.
    """
    require_rows(names, VARIANTS)
    ground = read_ground(workspace, snapshot, progress)
    fits = {
        name: partial(fit_variant, variant, ground, workspace, snapshot, progress)
        for name, variant in VARIANTS.items()
    }
    return rank_each("graph", fits, ground.graph, workspace, snapshot, progress, names)


def fit_variant(
    variant: Variant,
    ground: Ground,
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
) -> DotProducts:
    """Make a variant's graph, if it has one of its own, and fit the model on it."""
    settings, graph = _settings_of(workspace.settings, variant), ground.graph
    if variant.graph:
        inputs = read_inputs(Workspace(settings), snapshot, {"graph"}, progress)
        graph = with_the_tests_of(graph, load_graph(inputs.folder("graph")))
    if not variant.coviews:
        graph = graph.without_coviews()
    return scores_of(replace(ground, graph=graph), settings.related.recipe, settings)


def _settings_of(settings: Settings, variant: Variant) -> Settings:
    recipe = settings.related.twinvec.model_copy(update=dict(variant.twinvec))
    related = settings.related.model_copy(update={**variant.related, "twinvec": recipe})
    graph = settings.graph.model_copy(update=dict(variant.graph))
    return settings.model_copy(update={"graph": graph, "related": related})


def with_the_tests_of(graph: ProductGraph, other: ProductGraph) -> ProductGraph:
    """The edges of `other` to train on, and the held-out edges of `graph`.

    Edges of `other` whose pair of products is held out of `graph`, either way, are left out, unless `graph` is trained
    on them: where shops list products both ways, one way may be held out alone.
    """
    held_out = graph.split != Split.TRAIN
    kept = graph.copurchase.only(held_out)
    trained = other.copurchase
    unknown = ~np.isin(_pair_numbers(trained, graph.products), _pair_numbers(kept, graph.products))
    before = graph.edges(Split.TRAIN)
    known = trained.source * graph.products + trained.target
    trained = trained.only(unknown | np.isin(known, before.source * graph.products + before.target))
    return replace(
        other,
        copurchase=Edges(
            np.concatenate([trained.source, kept.source]),
            np.concatenate([trained.target, kept.target]),
            np.concatenate([trained.count, kept.count]),
        ),
        split=np.concatenate([np.full(len(trained), Split.TRAIN, np.int8), graph.split[held_out]]),
    )


def _pair_numbers(edges: Edges, products: int) -> npt.NDArray[np.int64]:
    """A number for each edge's pair of products, the same whichever way it leads, int64 [edges]."""
    return np.minimum(edges.source, edges.target) * products + np.maximum(edges.source, edges.target)
