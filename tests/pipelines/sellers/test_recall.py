"""Recall of held-out offers against sorting, of all and by how little is known."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.graph.product_graph import Split
from pipelines.sellers.graph import SellerGraph
from pipelines.sellers.recall import rank_offers, recall_metrics


def test_ranks_are_those_of_sorting_candidates_not_offered_otherwise(graph: SellerGraph) -> None:
    vectors = torch.randn(graph.nodes, 6, generator=torch.Generator().manual_seed(0))
    offers = set(zip(*graph.offers, strict=True))
    ranks = rank_offers(vectors, graph, Split.TEST)
    sellers, products = graph.offers_of(Split.TEST)
    for seller, product, rank in zip(sellers, products, ranks, strict=True):
        allowed = [
            node
            for node in np.flatnonzero(graph.candidate)
            if node == product or (seller, node) not in offers
        ]
        assert rank == 1 + sum(
            bool(vectors[seller] @ (vectors[node] - vectors[product]) > 1e-6) for node in allowed
        )


def test_recall_is_told_by_what_is_known_of_the_product_and_of_the_seller(graph: SellerGraph) -> None:
    ranks = np.arange(1.0, 1 + len(graph.offers_of(Split.TEST)[0]))
    figures = recall_metrics(ranks, graph, k=3)
    assert figures["recall_at_3"] == min(1.0, 3 / len(ranks))
    assert figures["offers"] == len(ranks)
    train = list(zip(*graph.offers_of(Split.TRAIN), strict=True))
    for kind, ends in zip(("sellers", "products"), graph.offers_of(Split.TEST), strict=True):
        side = 0 if kind == "sellers" else 1
        counts = np.array([sum(pair[side] == node for pair in train) for node in ends])
        for label, chosen in (
            ("0", counts == 0),
            ("1_to_3", (counts >= 1) & (counts <= 3)),
            ("10_or_more", counts > 9),
        ):
            if chosen.any():
                assert figures[f"recall_at_3_{kind}_{label}"] == np.mean(ranks[chosen] <= 3)
            else:
                assert f"offers_{kind}_{label}" not in figures
        assert sum(value for name, value in figures.items() if name.startswith(f"offers_{kind}")) == len(
            ranks
        )
