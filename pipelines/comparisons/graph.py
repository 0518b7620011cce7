"""Table of graphs: ways of making the graph, of sampling it, and of training on it, by related products.

No variant is trained on a pair of products that is held out of the graph of the settings, but for an edge of that
graph that goes the other way. Graphs that are missing are made, as versions of the home.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.comparisons.comparison import Comparison, Request
from pipelines.comparisons.ranking_row import RANKING_COLUMNS, RANKING_SUMMARY, RankingRow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipelines.comparisons.data import ComparisonData
    from pipelines.graph.product_graph import Edges, ProductGraph
    from twinvec.metrics.scores import DotProducts
    from twinvec.settings import Settings


@dataclass(frozen=True)
class Variant:
    """Settings of a row that differ from those of the home.

    Attributes:
        graph: Settings of the graph, which is made again.
        related: Settings of the model.
        twinvec: Settings of the model `twinvec`.
        coviews: Whether co-views are in the graph.
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
    "softmax over edges alone": Variant(twinvec={"near": 0.0}),
    "softmax over nearness alone": Variant(twinvec={"near": 1.0}),
    "margin loss (the paper's recipe)": Variant(related={"recipe": "paper"}),
    "the paper's recipe with one layer": Variant(related={"recipe": "paper", "layers": 1}),
}


@dataclass(frozen=True)
class GraphProblem:
    """The problem that all variants share.

    Attributes:
        data: The graph of the settings, whose test edges all rows are judged on, and the content.
        request: The request, whose stores hold the graphs of the variants.
    """

    data: ComparisonData
    request: Request


def row_names() -> Sequence[str]:
    """Return the names of all variants."""
    return [*VARIANTS]


def prepare(request: Request) -> GraphProblem:
    """Read the graph and the content."""
    from pipelines.comparisons.data import read_data

    return GraphProblem(read_data(request.workspace, request.snapshot, request.progress), request)


def fit(problem: GraphProblem, name: str) -> DotProducts:
    """Make a variant's graph, if it has one of its own, and fit the model on it."""
    from pipelines.comparisons.contenders import fit_scores
    from pipelines.comparisons.data import make_versions
    from pipelines.graph.product_graph import load_graph
    from twinvec.workspace import Workspace

    variant, request = VARIANTS[name], problem.request
    settings, graph = _settings_of(request.settings, variant), problem.data.graph
    if variant.graph:
        inputs = make_versions(Workspace(settings), request.snapshot, {"graph"}, request.progress)
        graph = with_held_out_edges(load_graph(inputs.folder("graph")), graph)
    if not variant.coviews:
        graph = graph.without_coviews()
    return fit_scores(replace(problem.data, graph=graph), settings.related.recipe, settings)


def judge(problem: GraphProblem, name: str, scores: DotProducts, seconds: float) -> RankingRow:
    """Rank the test edges' targets among all products."""
    from pipelines.comparisons.judging import judge_ranking

    return judge_ranking(name, scores, problem.data.graph, seconds, problem.request.settings)


def finish(rows: Sequence[RankingRow]) -> list[RankingRow]:
    """Add the differences to the row above."""
    from pipelines.comparisons.judging import over_row_above

    return over_row_above(rows)


def with_held_out_edges(graph: ProductGraph, other: ProductGraph) -> ProductGraph:
    """Return `graph` with the held-out edges of `other` in place of its own; all its other edges are for training.

    Edges of `graph` whose pair of products is held out of `other`, in either direction, are left out, unless `other`
    trains on them: where shops list products both ways, one direction may be held out alone.
    """
    import numpy as np

    from pipelines.graph.product_graph import Edges, Split

    products = other.products
    held_out = other.split != Split.TRAIN
    kept = other.copurchase.only(held_out)
    edges = graph.copurchase
    free = ~np.isin(_pair_numbers(edges, products), _pair_numbers(kept, products))
    training = other.edges(Split.TRAIN)
    trained = np.isin(edges.source * products + edges.target, training.source * products + training.target)
    edges = edges.only(free | trained)
    return replace(
        graph,
        copurchase=Edges(
            np.concatenate([edges.source, kept.source]),
            np.concatenate([edges.target, kept.target]),
            np.concatenate([edges.count, kept.count]),
        ),
        split=np.concatenate([np.full(len(edges), Split.TRAIN, np.int8), other.split[held_out]]),
    )


def _settings_of(settings: Settings, variant: Variant) -> Settings:
    recipe = settings.related.twinvec.model_copy(update=dict(variant.twinvec))
    related = settings.related.model_copy(update={**variant.related, "twinvec": recipe})
    graph = settings.graph.model_copy(update=dict(variant.graph))
    return settings.model_copy(update={"graph": graph, "related": related})


def _pair_numbers(edges: Edges, products: int) -> npt.NDArray[np.int64]:
    """Return a number for each edge's pair of products, the same for both directions, int64 [edges]."""
    import numpy as np

    first, second = np.minimum(edges.source, edges.target), np.maximum(edges.source, edges.target)
    return first * products + second


COMPARISON = Comparison(
    name="graph",
    title="Related products by graph and training (MRR@10 and its differences with 95% intervals)",
    help="Ways of making the graph, of sampling it and of training on it.",
    columns=RANKING_COLUMNS,
    rows=row_names,
    prepare=prepare,
    fit=fit,
    judge=judge,
    finish=finish,
    summary=RANKING_SUMMARY,
)
