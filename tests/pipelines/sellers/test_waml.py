"""WAML's equations against dense computations on a small random graph (2.2, 2.3)."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from pipelines.graph.product_graph import Split
from pipelines.sellers.graph import SellerGraph, hash_ids
from twinvec.nn.hashing import hash_vectors
from twinvec.nn.models.waml import FeedForward, compress, initial_vectors, layers, tune

ALPHAS = (0.4, 0.55, 0.7)


def adjacency(graph: SellerGraph, *splits: Split) -> Tensor:
    dense = torch.zeros(graph.nodes, graph.nodes)
    for ends in (graph.offers_of(*splits), graph.others):
        for one, other in zip(*ends, strict=True):
            dense[one, other] = dense[other, one] = 1
    return dense


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm() if vector.norm() else vector


@pytest.mark.parametrize("normalise", [True, False])
def test_layers_are_the_papers_equations(graph: SellerGraph, normalise: bool) -> None:
    dense = adjacency(graph, Split.TRAIN)
    start = torch.randn(graph.nodes, 8, generator=torch.Generator().manual_seed(1))
    wanted = start
    for alpha, found in zip(
        ALPHAS, layers(start, graph.neighbours(Split.TRAIN), ALPHAS, normalise), strict=True
    ):
        own = torch.stack([unit(row) for row in wanted]) if normalise else wanted
        rows = []
        for node in range(graph.nodes):
            around = sum((own[other] for other in dense[node].nonzero()[:, 0]), torch.zeros(8))
            around = around / math.sqrt(max(1.0, float(dense[node].sum())))
            rows.append(alpha * own[node] + (1 - alpha) * (unit(around) if normalise else around))
        wanted = torch.stack(rows)
        torch.testing.assert_close(found, wanted)


def test_held_out_offers_are_no_edges(graph: SellerGraph) -> None:
    start = torch.eye(graph.nodes)
    (around,) = layers(start, graph.neighbours(Split.TRAIN), [0.0], normalise=False)
    assert torch.equal(around > 0, adjacency(graph, Split.TRAIN) > 0)
    for split in (Split.VALIDATION, Split.TEST):
        sellers, products = graph.offers_of(split)
        assert graph.candidate[products].all()
        assert not (around[sellers, products] > 0).any()


def test_nodes_start_from_hashes_and_content(graph: SellerGraph) -> None:
    content = torch.randn(graph.products, 16)
    keys = hash_ids(graph.ids)
    start = initial_vectors(keys, graph.types, content, graph.sellers, 16, seed=3)
    only = {
        name: initial_vectors(keys, graph.types, None, 0, 16, 3, name == "node", name == "type")
        for name in ("node", "type")
    }
    rest = (start - only["node"] - only["type"]).numpy()
    first, last = graph.sellers, graph.sellers + graph.products
    np.testing.assert_allclose(rest[first:last], content, atol=1e-6)
    assert np.abs(np.delete(rest, np.s_[first:last], axis=0)).max() < 1e-6
    assert len(torch.unique(only["type"], dim=0)) == 3
    assert len(torch.unique(only["node"], dim=0)) == graph.nodes
    for part in only.values():
        torch.testing.assert_close(part.norm(dim=1), torch.ones(graph.nodes))


def test_hashes_of_different_nodes_are_nearly_at_right_angles() -> None:
    ids = pa.array([f"node {number}" for number in range(300)])
    vectors = hash_vectors("node id", hash_ids(ids), 256, seed=0)
    dots = vectors @ vectors.T - np.eye(300)
    assert np.abs(dots).max() < 0.35
    assert np.std(dots) == pytest.approx(1 / 16, rel=0.1)
    assert hash_ids(pa.array(["P1"]))[0] == hash_ids(pa.array(["P0", "P1"]))[1]


def test_content_keeps_its_cosines_when_it_is_compressed() -> None:
    generator = torch.Generator().manual_seed(0)
    # 40 coordinates that hold 6 dimensions' worth.
    content = torch.randn(50, 6, generator=generator) @ torch.randn(6, 40, generator=generator)
    content[7] = 0
    compressed = compress(content, 8)
    torch.testing.assert_close(compressed @ compressed.T, _cosines(content), atol=1e-4, rtol=0)
    wider = compress(content, 64)
    assert wider.shape == (50, 64)
    torch.testing.assert_close(wider @ wider.T, _cosines(content), atol=1e-4, rtol=0)


def _cosines(vectors: Tensor) -> Tensor:
    unit_vectors = torch.nn.functional.normalize(vectors)
    return unit_vectors @ unit_vectors.T


def test_blocks_are_the_papers_equations() -> None:
    torch.manual_seed(0)
    model = FeedForward(8, blocks=3, beta=0.3)
    x = torch.randn(5, 8)
    wanted = x
    weights = model.state_dict()
    for block in range(3):
        norm, widen, narrow = (
            (weights[f"blocks.{block}.{part}.weight"], weights[f"blocks.{block}.{part}.bias"])
            for part in (0, 1, 3)
        )
        centred = wanted - wanted.mean(1, keepdim=True)
        x1 = centred / ((centred**2).mean(1, keepdim=True) + 1e-5).sqrt() * norm[0] + norm[1]
        x2 = x1 @ widen[0].T + widen[1]
        x2 = x2 * 0.5 * (1 + torch.erf(x2 / math.sqrt(2)))
        x3 = x2 @ narrow[0].T + narrow[1]
        wanted = wanted + 0.3 * x3 / x3.norm(dim=1, keepdim=True)
    torch.testing.assert_close(model(x), wanted / wanted.norm(dim=1, keepdim=True))
    assert sum(each.numel() for each in model.parameters()) == 3 * (2 * 8 + 2 * 8 * 32 + 32 + 8)


def test_tuning_finds_the_weights_that_score_best(graph: SellerGraph) -> None:
    start = torch.randn(graph.nodes, 8, generator=torch.Generator().manual_seed(2))
    neighbours = graph.neighbours(Split.TRAIN)
    *_, wanted = layers(start, neighbours, (0.6, 0.5, 0.5))
    wanted = torch.nn.functional.normalize(wanted)

    def score(vectors: Tensor) -> float:
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(graph.nodes))
        return float((vectors * wanted).sum())

    assert tune(start, neighbours, (0.5, 0.5, 0.5), 4, score) == (0.6, 0.5, 0.5)
    assert tune(start, neighbours, (0.5, 0.5, 0.5), 0, score) == (0.5, 0.5, 0.5)
    # Steps end before a layer would look at one side only.
    assert tune(start, neighbours, (0.1,), 9, lambda vectors: -float((vectors - start).norm())) == (0.9,)
