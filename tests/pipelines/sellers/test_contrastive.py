"""The contrastive loss and its batches, against loops (WAML 2.3)."""

from __future__ import annotations

import math

import numpy as np
import torch

from pipelines.graph.product_graph import Split
from pipelines.sellers.fitting import make_objective
from pipelines.sellers.graph import SellerGraph
from twinvec.nn.losses.contrastive import contrastive_loss, excluded_negatives, triplet_loss
from twinvec.settings.sellers import SellerSettings


def test_the_loss_of_a_batch_is_that_of_a_loop_over_its_nodes(graph: SellerGraph) -> None:
    offers = set(zip(*graph.offers_of(Split.TRAIN), strict=True))
    batch = next(make_objective(graph, SellerSettings(batch=17)).batches(np.random.default_rng(0)))
    vectors = torch.nn.functional.normalize(torch.randn(len(batch.seeds), 8))
    sellers, products = (batch.seeds[ends].tolist() for ends in (batch.source, batch.target))
    assert set(zip(sellers, products, strict=True)) <= offers
    of = dict(zip(batch.seeds.tolist(), vectors, strict=True))
    losses = []
    for row, (seller, product) in enumerate(zip(sellers, products, strict=True)):
        own = math.exp(of[seller] @ of[product] / 0.1)
        total = own
        for other_row, nodes in enumerate(zip(sellers, products, strict=True)):
            for node in nodes:
                positive = other_row == row and node == product
                if not positive and node != seller and (seller, node) not in offers:
                    total += math.exp(of[seller] @ of[node] / 0.1)
        losses.append(-math.log(own / total))
    assert math.isclose(float(batch.loss(vectors)), float(np.mean(losses)), rel_tol=1e-4)


def test_pairs_of_different_nodes_have_all_others_as_negatives() -> None:
    seller, product = torch.randn(4, 6), torch.randn(4, 6)
    itself = torch.cat([torch.eye(4, dtype=torch.bool), torch.zeros(4, 4, dtype=torch.bool)], dim=1)
    nodes = torch.cat([seller, product])
    wanted = []
    for row in range(4):
        others = [node for place, node in enumerate(nodes) if place != row]
        assert len(others) == 2 * (4 - 1) + 1
        scores = torch.stack([seller[row] @ node for node in others]) / 0.1
        wanted.append(torch.logsumexp(scores, 0) - seller[row] @ product[row] / 0.1)
    torch.testing.assert_close(contrastive_loss(seller, product, itself, 0.1), torch.stack(wanted).mean())


def test_what_is_left_out_is_the_seller_and_what_it_offers(graph: SellerGraph) -> None:
    seller, product = (ends[:12] for ends in graph.offers_of(Split.TRAIN))
    linked = graph.offer_matrix(Split.TRAIN)
    found = excluded_negatives(seller, product, linked)
    for row in range(12):
        for column in range(12):
            assert found[row, column] == (seller[row] == seller[column])
            assert found[row, 12 + column] == (linked[[seller[row]]][:, [product[column]]].sum() > 0)


def test_every_offer_comes_once_an_epoch_and_a_triplet_has_another_product(graph: SellerGraph) -> None:
    options = SellerSettings(batch=8, contrastive=False, margin=0.4)
    batches = list(make_objective(graph, options).batches(np.random.default_rng(1)))
    pairs = sorted(
        pair
        for batch in batches
        for pair in zip(batch.seeds[batch.source].tolist(), batch.seeds[batch.target].tolist(), strict=True)
    )
    assert pairs == sorted(zip(*(ends.tolist() for ends in graph.offers_of(Split.TRAIN)), strict=True))
    vectors = torch.randn(len(batches[0].seeds), 5)
    seller, product, other = (
        vectors[ends] for ends in (batches[0].source, batches[0].target, batches[0].other)
    )
    hinges = [
        max(0.0, 0.4 - float(s @ p) + float(s @ o)) for s, p, o in zip(seller, product, other, strict=True)
    ]
    assert math.isclose(float(batches[0].loss(vectors)), float(np.mean(hinges)), rel_tol=1e-5)
    torch.testing.assert_close(triplet_loss(seller, product, other, 0.4), batches[0].loss(vectors))
    chosen = torch.cat([batch.seeds[batch.other] for batch in batches])
    assert ((chosen >= graph.sellers) & (chosen < graph.sellers + graph.products)).all()
