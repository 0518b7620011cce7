"""Learning of the ranker from hidden edges, and its test on edges that neither it nor its features have seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.graph.product_graph import Edges, Split
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.features import Vectors
from pipelines.ranking.listing import Ranked, make_examples, make_lists
from pipelines.ranking.ranker import Examples, Ranker, fit
from twinvec.metrics.ranking import rank_by, rank_targets, ranking_metrics
from twinvec.metrics.scores import SparseScores
from twinvec.progress import Progress

# All candidates, of which there are fewer.
WHOLE = 1_000


@dataclass(frozen=True)
class Learned:
    """A ranker and its test.

    Attributes:
        ranker: Ranker; None if there were too few edges to learn from.
        examples: What it learned from.
        tested: Lists of the sources of test edges, which neither the ranker nor its features have seen.
        metrics: Figures on the test edges.
    """

    ranker: Ranker | None
    examples: Examples | None
    tested: Ranked | None
    metrics: Mapping[str, float]


def learn(catalogue: Catalogue, vectors: Vectors | None, seed: int, progress: Progress) -> Learned:
    """Return the ranker and its test.

    Args:
        catalogue: Graph, content and settings.
        vectors: Vectors that were trained on the training edges alone; None without such vectors.
        seed: Seed of the trees and of the choice of edges.
        progress: Called with messages.
    """
    graph, options = catalogue.graph, catalogue.options
    edges, test = graph.edges(Split.TRAIN, Split.VALIDATION), graph.edges(Split.TEST)
    if len(edges) < options.min_edges:
        progress(
            f"{len(edges):,} edges are too few to learn from (ranking.min_edges {options.min_edges}): "
            "lists are in the order of the vectors"
        )
        return Learned(None, None, None, {"ranked": 0.0})
    examples = hide_in_turn(catalogue, edges, seed)
    progress(f"learning from {int(examples.hidden.sum()):,} of {len(edges):,} edges")
    ranker = fit(examples, options, seed)
    tested, metrics = judge(catalogue, ranker, edges, test, vectors)
    progress(_told(metrics))
    return Learned(ranker, examples, tested, {"ranked": 1.0, **metrics})


def _told(metrics: Mapping[str, float]) -> str:
    """Return the figures of `judge` in words."""
    told = (
        f"{metrics['edges']:,.0f} test edges, {metrics['ceiling']:.1%} of them among the candidates: "
        f"MRR@10 {metrics['mrr_at_10']:.4f}, Hits@10 {metrics['hits_at_10']:.4f}"
    )
    if "vectors_mrr_at_10" not in metrics:
        return told
    alone = metrics["vectors_mrr_at_10"], metrics["vectors_hits_at_10"]
    return f"{told}; by the vectors alone {alone[0]:.4f} and {alone[1]:.4f}"


def hide_in_turn(catalogue: Catalogue, edges: Edges, seed: int) -> Examples:
    """Return queries for edges that are hidden a part at a time, each part seen from all other edges.

    There are `ranking.folds` parts; of a large graph, only so many are hidden that `ranking.max_edges` are learned
    from. The vectors take no part, since they know all these edges.
    """
    options, products = catalogue.options, catalogue.graph.products
    fold = np.random.default_rng(seed).permutation(len(edges)) % options.folds
    size = min(len(edges) / options.folds, options.max_edges)
    parts = []
    for number in range(min(options.folds, round(options.max_edges / size))):
        hidden = np.flatnonzero(fold == number)[: int(size) + 1]
        observed = np.ones(len(edges), np.bool_)
        observed[hidden] = False
        seen = edges.only(observed)
        known = catalogue.known(seen, None)
        parts.append(make_examples(known, edges.only(hidden), seen.matrix(products), options, seed))
    return Examples.together(parts)


def judge(
    catalogue: Catalogue, ranker: Ranker, observed: Edges, test: Edges, vectors: Vectors | None
) -> tuple[Ranked, dict[str, float]]:
    """Return the lists of the sources of test edges, and figures of the edges' ranks in them.

    Rankings leave out all edges of the graph, as those of the vectors do, whose figures stand beside them. The ceiling
    is the share of test edges among the candidates.
    """
    graph = catalogue.graph
    known = catalogue.known(observed, vectors)
    without = observed.matrix(graph.products)
    ranked = make_lists(known, ranker, np.unique(test.source), catalogue.options, WHOLE, without)
    adjacency = graph.copurchase.matrix(graph.products)
    matrix = ranked.matrix(graph.products)
    ranks = ranking_metrics(rank_by(SparseScores(matrix), test.ends, adjacency))
    listed = np.asarray(matrix[test.source, test.target]).ravel() > 0
    figures = {
        "mrr_at_10": ranks.mrr_at_10,
        "hits_at_10": ranks.hits_at_10,
        "ceiling": float(np.mean(listed)) if len(test) else 0.0,
        "edges": float(len(test)),
    }
    if vectors is not None:
        source, target = torch.from_numpy(vectors.source), torch.from_numpy(vectors.target)
        alone = ranking_metrics(rank_targets(source, target, test.ends, adjacency))
        figures |= {"vectors_mrr_at_10": alone.mrr_at_10, "vectors_hits_at_10": alone.hits_at_10}
    return ranked.first(catalogue.options.length), figures
