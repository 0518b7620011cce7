"""The weight of co-views and the share of EASE are found out from the edges."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.related import proximity_choice
from pipelines.related.proximity_choice import (
    COVIEW_WEIGHTS,
    EASE_SHARES,
    choose_proximity,
    hidden_edge_scorer,
)
from twinvec.settings.related_models import ProximitySettings

PRODUCTS, GROUP = 240, 6
UNSET = ProximitySettings()


def shop(coviews_help: bool, seed: int) -> ProductGraph:
    """Purchases within groups of six products; co-views within the same groups, or across all of them."""
    random = np.random.default_rng(seed)

    def within(size: int, count: int) -> Edges:
        source = random.integers(0, PRODUCTS, count)
        target = source // size * size + random.integers(0, size, count)
        source, target = np.unique(np.stack([source, target])[:, source != target], axis=1)
        return Edges(source, target, np.ones(len(source), np.int64))

    bought, viewed = within(GROUP, 260), within(GROUP if coviews_help else PRODUCTS, 1500)
    ids = pa.array([f"p{number:03}" for number in range(PRODUCTS)])
    return ProductGraph(ids, bought, viewed, np.zeros(len(bought), np.int8), np.zeros(len(viewed), np.int8))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_co_views_are_walked_where_they_lead_to_what_is_bought(seed: int) -> None:
    assert choose_proximity(shop(True, seed), UNSET, seed).coview_weight in COVIEW_WEIGHTS[:2]
    assert choose_proximity(shop(False, seed), UNSET, seed).coview_weight == 0


def test_what_is_set_stays_and_the_same_graph_gives_the_same() -> None:
    graph = shop(True, 4)
    given = ProximitySettings(coview_weight=0.5, ease=0.2)
    assert choose_proximity(graph, given, 0) is given
    assert choose_proximity(graph, UNSET, 7) == choose_proximity(graph, UNSET, 7)


def test_a_shop_without_co_views_needs_no_choice() -> None:
    graph = shop(True, 5)
    nothing = graph.coview.only(np.zeros(len(graph.coview), np.bool_))
    bare = ProductGraph(graph.product_ids, graph.copurchase, nothing, graph.split, np.zeros(0, np.int8))
    assert choose_proximity(bare, UNSET, 0).coview_weight == COVIEW_WEIGHTS[0]


def test_the_share_of_ease_is_the_better_one(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = shop(True, 6)
    settled = ProximitySettings(coview_weight=1.0)
    chosen = choose_proximity(graph, settled, 6).ease
    scorer = hidden_edge_scorer(graph, 6)
    assert scorer is not None
    scores = {ease: scorer(settled.model_copy(update={"ease": ease})) for ease in EASE_SHARES}
    assert scores[0.0] != scores[0.5]
    assert chosen == max(scores, key=lambda ease: scores[ease])
    monkeypatch.setattr(proximity_choice, "MOST_PRODUCTS", graph.products - 1)
    assert choose_proximity(graph, settled, 6).ease == 0
