"""The weight of co-views in random walks, chosen by the graph's own edges.

In some shops, products viewed together are complements; in others they are alternatives, and walks over co-views lead
from a product to its substitutes. So some training edges are hidden, and the weight by which nearness ranks them best
is chosen.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges, ProductGraph
from twinvec.metrics.ranking import rank_by, ranking_metrics
from twinvec.metrics.scores import SparseScores
from twinvec.nn.pagerank import directed_nearness
from twinvec.settings.related_models import ProximitySettings

WEIGHTS = (1.0, 0.25, 0.0)
HIDDEN = 0.1
MOST_HIDDEN = 1_000


def choose_coview_weight(graph: ProductGraph, options: ProximitySettings, seed: int) -> ProximitySettings:
    """Return the settings with a `coview_weight`: their own, or the best of `WEIGHTS`.

    A tenth of the co-purchase edges is hidden, at most 1,000, and walks start at their sources only. The same graph and
    seed give the same weight, so it need not be stored.

    Args:
        graph: A graph whose co-purchase edges are all trained on.
        options: Settings of the proximity.
        seed: Seed of the choice of hidden edges.
    """
    if options.coview_weight is not None:
        return options
    count = min(int(HIDDEN * len(graph.copurchase)), MOST_HIDDEN)
    if not count or not len(graph.coview):
        return options.model_copy(update={"coview_weight": WEIGHTS[0]})
    hidden = np.zeros(len(graph.copurchase), np.bool_)
    hidden[np.random.default_rng(seed).permutation(len(hidden))[:count]] = True
    held_out, rest = graph.copurchase.only(hidden), graph.copurchase.only(~hidden)
    mrr = {weight: _mrr(graph, held_out, rest, weight, options) for weight in WEIGHTS}
    return options.model_copy(update={"coview_weight": max(WEIGHTS, key=lambda weight: mrr[weight])})


def _mrr(
    graph: ProductGraph, held_out: Edges, rest: Edges, weight: float, options: ProximitySettings
) -> float:
    """Return the MRR@10 of the hidden edges by nearness over the other edges and the co-views."""
    copurchase, coview = rest.matrix(graph.products), graph.coview.matrix(graph.products)
    sources = np.unique(held_out.source)
    walks = options.model_dump(exclude={"coview_weight"})
    near = directed_nearness(copurchase, coview, weight, **walks, nodes=sources).tocoo()
    row, column = near.coords
    scores = sp.csr_array((near.data, (sources[row], column)), shape=copurchase.shape)
    return ranking_metrics(rank_by(SparseScores(scores), held_out.ends, copurchase)).mrr_at_10
