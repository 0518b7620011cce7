"""Learning of the ranker from hidden edges, and its test on edges that neither it nor its features have seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.graph.product_graph import Edges, Split
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.features import Vectors
from pipelines.ranking.listing import Ranked, make_examples
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
        ranker: Ranker for the lists; None if there were too few edges to learn from.
        examples: What it learned from.
        tested: Lists of the sources of test edges, by a ranker that has not seen these edges.
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
    validation, test = graph.edges(Split.VALIDATION), graph.edges(Split.TEST)
    if min(len(validation), len(test)) < options.min_edges:
        progress(
            f"too few edges to learn from, {len(validation):,} for validation and {len(test):,} for the test "
            f"(ranking.min_edges {options.min_edges}): lists are in the order of the vectors"
        )
        return Learned(None, None, None, {"ranked": 0.0})
    train, both = graph.edges(Split.TRAIN), graph.edges(Split.VALIDATION, Split.TEST)
    first = hide(catalogue, validation, train, vectors, seed)
    progress(f"learning from {int(first.hidden.sum()):,} of {len(validation):,} validation edges")
    ranker = fit(first, options, seed)
    tested, metrics = judge(catalogue, ranker, graph.edges(Split.TRAIN, Split.VALIDATION), test, vectors)
    progress(", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    second = hide(catalogue, test, graph.edges(Split.TRAIN, Split.VALIDATION), vectors, seed)
    again = hide(catalogue, validation, graph.edges(Split.TRAIN, Split.TEST), vectors, seed)
    examples = Examples.together([again, second])
    progress(f"learning from {int(examples.hidden.sum()):,} of {len(both):,} held-out edges")
    return Learned(fit(examples, options, seed), examples, tested, {"ranked": 1.0, **metrics})


def hide(
    catalogue: Catalogue, hidden: Edges, observed: Edges, vectors: Vectors | None, seed: int
) -> Examples:
    """Return queries for hidden edges, at most `ranking.max_edges`, whose features see the observed edges alone."""
    options, products = catalogue.options, catalogue.graph.products
    if len(hidden) > options.max_edges:
        hidden = hidden.only(
            np.sort(np.random.default_rng(seed).permutation(len(hidden))[: options.max_edges])
        )
    known = catalogue.known(observed, vectors)
    return make_examples(
        known, hidden, observed.matrix(products), options.candidates, options.negatives, options.chunk, seed
    )


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
    ranked = catalogue.lists(known, ranker, np.unique(test.source), WHOLE, without)
    adjacency = graph.copurchase.matrix(graph.products)
    matrix = ranked.matrix(graph.products)
    ranks = ranking_metrics(rank_by(SparseScores(matrix), test.ends, adjacency))
    figures = {
        "mrr_at_10": ranks.mrr_at_10,
        "hits_at_10": ranks.hits_at_10,
        "ceiling": float(np.mean(np.asarray(matrix[test.source, test.target]).ravel() > 0)),
        "edges": float(len(test)),
    }
    if vectors is not None:
        source, target = torch.from_numpy(vectors.source), torch.from_numpy(vectors.target)
        alone = ranking_metrics(rank_targets(source, target, test.ends, adjacency))
        figures |= {"vectors_mrr_at_10": alone.mrr_at_10, "vectors_hits_at_10": alone.hits_at_10}
    return ranked.first(catalogue.options.length), figures
