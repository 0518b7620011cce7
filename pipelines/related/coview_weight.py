"""How readily co-views are walked beside co-purchases, found out from the edges themselves.

What is viewed together goes together in some shops and is the alternative in others: there, walks over co-views lead
from a product to its substitutes. So some training edges are hidden, and the weight is taken by which nearness finds
them best.
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


def settle_coview_weight(graph: ProductGraph, options: ProximitySettings, seed: int) -> ProximitySettings:
    """The same settings with a `coview_weight`, if they have none: the best of `WEIGHTS`.

    A tenth of the co-purchase edges is hidden, and at most 1,000; walks start at their sources alone. The same graph
    and seed give the same weight, so it need not be kept with what was trained by it.

    Args:
        graph: all of whose co-purchase edges are trained on.
        options: of the proximity.
        seed: of the edges that are hidden.
    """
    if options.coview_weight is not None:
        return options
    count = min(int(HIDDEN * len(graph.copurchase)), MOST_HIDDEN)
    if not count or not len(graph.coview):
        return options.model_copy(update={"coview_weight": WEIGHTS[0]})
    hidden = np.zeros(len(graph.copurchase), np.bool_)
    hidden[np.random.default_rng(seed).permutation(len(hidden))[:count]] = True
    asked, rest = graph.copurchase.only(hidden), graph.copurchase.only(~hidden)
    found = {weight: _mrr(graph, asked, rest, weight, options) for weight in WEIGHTS}
    return options.model_copy(update={"coview_weight": max(WEIGHTS, key=lambda weight: found[weight])})


def _mrr(graph: ProductGraph, asked: Edges, rest: Edges, weight: float, options: ProximitySettings) -> float:
    """MRR@10 of the hidden edges by nearness over the rest and the co-views."""
    known, coview = rest.matrix(graph.products), graph.coview.matrix(graph.products)
    sources = np.unique(asked.source)
    walks = options.model_dump(exclude={"coview_weight"})
    near = directed_nearness(known, coview, weight, **walks, nodes=sources).tocoo()
    row, column = near.coords
    scores = sp.csr_array((near.data, (sources[row], column)), shape=known.shape)
    return ranking_metrics(rank_by(SparseScores(scores), asked.ends, known)).mrr_at_10
