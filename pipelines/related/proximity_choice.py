"""The proximity that suits a graph, chosen by the graph's own edges.

In some shops, products viewed together are complements; in others they are alternatives, and walks over co-views lead
from a product to its substitutes. In a shop of many edges a product, EASE tells more than walks; in one of few, less.
So some training edges are hidden, and what ranks them best is chosen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from pipelines.graph.product_graph import ProductGraph
from twinvec.metrics.ranking import rank_by, ranking_metrics
from twinvec.metrics.scores import SparseScores
from twinvec.nn.ease import MOST_PRODUCTS
from twinvec.nn.proximity import directed_nearness
from twinvec.settings.related_models import ProximitySettings

COVIEW_WEIGHTS = (1.0, 0.25, 0.0)
EASE_SHARES = (0.0, 0.5)
HIDDEN = 0.1
MOST_HIDDEN = 1_000


def choose_proximity(graph: ProductGraph, options: ProximitySettings, seed: int) -> ProximitySettings:
    """Return the settings with a `coview_weight` and an `ease`: their own, or the best of those above.

    A tenth of the co-purchase edges is hidden, at most 1,000, and nearness is computed of their sources only. The same
    graph and seed give the same choice, so it need not be stored. The weight of co-views is chosen for walks alone.

    Args:
        graph: A graph whose co-purchase edges are all trained on.
        options: Settings of the proximity.
        seed: Seed of the choice of hidden edges.
    """
    score = hidden_edge_scorer(graph, seed)

    def choose(name: str, values: tuple[float, ...], chosen: ProximitySettings) -> ProximitySettings:
        settings = [chosen.model_copy(update={name: value}) for value in values]
        return settings[0] if len(values) == 1 or score is None else max(settings, key=score)

    if options.coview_weight is None:
        walks = options.model_copy(update={"ease": 0.0})
        weights = COVIEW_WEIGHTS if len(graph.coview) else COVIEW_WEIGHTS[:1]
        weight = choose("coview_weight", weights, walks).coview_weight
        options = options.model_copy(update={"coview_weight": weight})
    if options.ease is None:
        shares = EASE_SHARES if graph.products <= MOST_PRODUCTS else EASE_SHARES[:1]
        options = choose("ease", shares, options)
    return options


def hidden_edge_scorer(graph: ProductGraph, seed: int) -> Callable[[ProximitySettings], float] | None:
    """Return a function that gives the MRR@10 of hidden edges by nearness over the rest; None if none can be hidden."""
    count = min(int(HIDDEN * len(graph.copurchase)), MOST_HIDDEN)
    if not count:
        return None
    hidden = np.zeros(len(graph.copurchase), np.bool_)
    hidden[np.random.default_rng(seed).permutation(len(hidden))[:count]] = True
    held_out, rest = graph.copurchase.only(hidden), graph.copurchase.only(~hidden)
    copurchase, coview = rest.matrix(graph.products), graph.coview.matrix(graph.products)
    sources = np.unique(held_out.source)

    def score(options: ProximitySettings) -> float:
        near = directed_nearness(copurchase, coview, **options.model_dump())(sources).tocoo()
        row, column = near.coords
        scores = sp.csr_array((near.data, (sources[row], column)), shape=copurchase.shape)
        return ranking_metrics(rank_by(SparseScores(scores), held_out.ends, copurchase)).mrr_at_10

    return score
