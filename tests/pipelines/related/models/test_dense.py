"""The equations of the models of the field, against dense matrices written straight from their papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.related.data import COPURCHASE, COVIEW, SIMILAR
from pipelines.related.models import daemon, gat, lightgcn, sage
from twinvec.nn.features import Features
from twinvec.nn.losses.directed import DirectedObjective, directed_loss, is_one_way
from twinvec.nn.models import DAEMON, GAT, ContentEncoder, GraphSAGE, LightGCN
from twinvec.nn.models.gat import Attention, softmax_within
from twinvec.nn.models.lightgcn import Propagation
from twinvec.nn.sampling.blocks import Hop, from_edges
from twinvec.nn.sampling.csr import CsrSampler
from twinvec.nn.training.inference import infer_dual

MakeGraph = Callable[..., ProductGraph]
LAYERS = pytest.mark.parametrize("layers", [1, 2, 3])


def adjacency(graph: ProductGraph) -> tuple[Tensor, Tensor]:
    a_cp, a_cv = torch.zeros(2, graph.products, graph.products).unbind()
    for matrix, kind in ((a_cp, graph.copurchase), (a_cv, graph.coview)):
        for source, target in zip(kind.source.tolist(), kind.target.tolist(), strict=True):
            matrix[source, target] = 1
    return a_cp, a_cv


def cover(matrix: Tensor) -> Tensor:
    """Both roles: [[0, A], [Aᵀ, 0]]."""
    none = torch.zeros_like(matrix)
    return torch.cat([torch.cat([none, matrix], 1), torch.cat([matrix.T, none], 1)])


def means(matrix: Tensor) -> Tensor:
    return matrix / matrix.sum(1, keepdim=True).clamp_min(1)


def features_of(graph: ProductGraph, seed: int, factors: Tensor | None = None) -> Features:
    content = torch.randn(graph.products, 5, generator=torch.Generator().manual_seed(seed))
    return Features(content, torch.zeros(2 * graph.products, 0) if factors is None else factors)


def agree(found: tuple[Tensor, Tensor], expected: Tensor) -> None:
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=1e-5)
    assert (found[0] - found[1]).abs().max() > 0.01, "source and target are the same; the test shows nothing"


def by_role(model: ContentEncoder, content: Tensor) -> Tensor:
    w_s, w_t = model.from_content.weight.chunk(2)
    b_s, b_t = model.from_content.bias.chunk(2)
    larger = 4 * content  # layers read content at four times its size
    return torch.cat([larger @ w_s.T + b_s, larger @ w_t.T + b_t])


@LAYERS
def test_daemon(random_graph: MakeGraph, layers: int) -> None:
    graph = random_graph(layers)
    features, relations = features_of(graph, 1), daemon.relations(graph)
    model = DAEMON(5, 7, layers, list(relations))
    a_cp, a_cv = adjacency(graph)
    similar = means(((a_cv + a_cv.T) > 0).float())
    with torch.no_grad():
        s = t = features.content
        for index, layer in enumerate(cast(Any, model.layers)):
            if index:
                s, t = s.clamp_min(0), t.clamp_min(0)
            w, b = layer.own.weight.T, layer.own.bias
            w_cp, w_cv = (layer.weights[name].weight.T for name in (COPURCHASE, SIMILAR))
            s, t = (
                s @ w + b + means(a_cp) @ t @ w_cp + similar @ s @ w_cv,
                t @ w + b + means(a_cp.T) @ s @ w_cp + similar @ t @ w_cv,
            )
    agree(infer_dual(model, features, relations), torch.cat([s, t]))


@LAYERS
def test_sage(random_graph: MakeGraph, layers: int) -> None:
    graph = random_graph(10 + layers)
    features, relations = features_of(graph, 2), sage.relations(graph)
    model = GraphSAGE(5, 7, layers, list(relations))
    kinds = dict(zip((COPURCHASE, COVIEW), map(cover, adjacency(graph)), strict=True))
    with torch.no_grad():
        h = by_role(model, features.content)
        for index, layer in enumerate(cast(Any, model.layers)):
            if index:
                h = h.clamp_min(0)
            # Algorithm 1: W [h_u, mean of the neighbours], written out as one matrix over all kinds.
            joined = torch.cat([h, *(means(matrix) @ h for matrix in kinds.values())], 1)
            weight = torch.cat([layer.own.weight, *(layer.weights[name].weight for name in kinds)], 1)
            h = joined @ weight.T + layer.own.bias
    agree(infer_dual(model, features, relations), h)


def dense_attention(attention: Attention, h: Tensor, matrix: Tensor) -> Tensor:
    """Equations 1 to 4, with a score for every pair and −∞ where there is no edge, [n, heads, outputs]."""
    outputs = []
    for head in range(attention.heads):
        w = attention.weight.weight.chunk(attention.heads)[head]
        a = torch.cat([attention.of_own[head], attention.of_neighbour[head]])
        wh = h @ w.T
        pairs = torch.cat([wh[:, None].expand(-1, len(h), -1), wh[None].expand(len(h), -1, -1)], 2)
        scores = functional.leaky_relu(pairs @ a, 0.2).masked_fill(matrix == 0, -torch.inf)
        outputs.append(torch.softmax(scores, 1).nan_to_num(0) @ wh)
    return torch.stack(outputs, 1)


@LAYERS
def test_gat(random_graph: MakeGraph, layers: int) -> None:
    graph = random_graph(20 + layers)
    features, relations = features_of(graph, 3), gat.relations(graph)
    model = GAT(5, 7, layers, 3, list(relations))
    kinds = dict(zip((COPURCHASE, COVIEW), map(cover, adjacency(graph)), strict=True))
    with torch.no_grad():
        h = by_role(model, features.content)
        for index, layer in enumerate(cast(Any, model.layers)):
            if index:
                h = functional.elu(h)
            heads: Any = sum(
                dense_attention(layer.attention[name], h, matrix) for name, matrix in kinds.items()
            )
            # The last layer averages its heads, the others put them side by side.
            h = layer.own(h) + (heads.mean(1) if index == layers - 1 else heads.flatten(1))
    agree(infer_dual(model, features, relations), h)
    assert h.shape == (2 * graph.products, 7)


def test_the_gradient_of_attention_is_that_of_the_dense_equations(random_graph: MakeGraph) -> None:
    graph = random_graph(25)
    matrix = cover(adjacency(graph)[0])
    nodes = len(matrix)
    torch.manual_seed(4)
    attention, h = Attention(5, 3, 2), torch.randn(nodes, 5, requires_grad=True)
    rows, positions = matrix.nonzero().T
    neighbours = from_edges(rows, positions, nodes)
    probe = torch.randn(nodes, 2, 3)
    wanted = [h, *attention.parameters()]
    outputs = attention(h, h, neighbours), dense_attention(attention, h, matrix)
    first, second = (torch.autograd.grad((output * probe).sum(), wanted) for output in outputs)
    for found, expected in zip(first, second, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_shares_of_large_scores_sum_to_one() -> None:
    row = torch.tensor([0, 0, 2, 2, 2])
    scores = torch.tensor([[1000.0, -1000], [1000, 0], [5, 1], [6, 2], [-900, 3]])
    shares = softmax_within(scores, row, 3)
    torch.testing.assert_close(shares[:2], torch.softmax(scores[:2], 0))
    torch.testing.assert_close(shares[2:], torch.softmax(scores[2:], 0))


@LAYERS
def test_lightgcn(random_graph: MakeGraph, layers: int) -> None:
    graph = random_graph(30 + layers)
    features, relations = features_of(graph, 5, lightgcn.factors(graph)), lightgcn.relations(graph)
    model = LightGCN(5, 7, layers)
    a_cp, a_cv = adjacency(graph)
    matrix = cover(((a_cp + a_cv) > 0).float())
    degree = matrix.sum(1)
    root = torch.where(degree > 0, degree.rsqrt(), 0)
    normalised = root[:, None] * matrix * root  # D^(−1/2) A D^(−1/2)
    with torch.no_grad():
        every = [by_role(model, features.content)]
        for _ in range(layers):
            every.append(normalised @ every[-1])
        expected = torch.stack(every).mean(0)
    agree(infer_dual(model, features, relations), expected)
    assert sum(each.numel() for each in model.parameters()) == 5 * 14 + 14, "layers have no parameters"


def test_samples_estimate_the_propagation_of_lightgcn_without_bias(random_graph: MakeGraph) -> None:
    graph = random_graph(35, products=20, copurchase=150, coview=60)
    relations = lightgcn.relations(graph)
    features = features_of(graph, 6, lightgcn.factors(graph))
    model = LightGCN(5, 4, 1)
    seeds = torch.arange(2 * graph.products)
    sampler = CsrSampler(relations, dict.fromkeys(relations, 3), 1, seed=7)
    with torch.no_grad():
        exact = torch.cat(infer_dual(model, features, relations))
        drawn = torch.stack(
            [
                model(*features.of(block.nodes), block)
                for block in (sampler.sample(seeds) for _ in range(1500))
            ]
        )
    error = drawn.std(0) / 1500**0.5
    assert drawn.std(0).max() > 0.01, "nothing was sampled; the test shows nothing"
    assert ((drawn.mean(0) - exact).abs() <= 5 * error + 1e-5).all()


def loss_by_loops(
    s: Tensor, t: Tensor, pairs: list[tuple[int, int]], negatives: list[int], asymmetry: float
) -> Tensor:
    def sigmoid(value: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-value))

    total = torch.zeros(())
    for u, v in pairs:
        total = total - torch.log(sigmoid(s[u] @ t[v]))
        total = total - sum(torch.log(sigmoid(-s[u] @ t[z])) for z in negatives if z != u) / len(negatives)
        if (v, u) not in pairs:
            total = total - asymmetry * (
                torch.log(sigmoid(s[u] @ t[v])) + torch.log(1 - sigmoid(s[v] @ t[u]))
            )
    return total / len(pairs)


@pytest.mark.parametrize("asymmetry", [0.0, 0.7])
def test_the_loss_of_daemon(asymmetry: float) -> None:
    pairs = [(0, 1), (1, 0), (2, 3), (4, 1), (3, 0), (0, 3), (5, 2)]
    ends = np.array(pairs).T
    edges = Edges(ends[0].copy(), ends[1].copy(), np.ones(7, np.int64))
    one_way = is_one_way(*edges.ends, 6)
    assert one_way.tolist() == [False, False, True, True, False, False, True]
    objective = DirectedObjective(
        torch.from_numpy(ends[0]), torch.from_numpy(ends[1]), one_way, 6, 9, asymmetry, batch=7
    )
    (batch,) = objective.batches(np.random.default_rng(1))
    vectors = torch.randn(12, 3, generator=torch.Generator().manual_seed(2))
    source, target, negatives = (batch.seeds[part] for part in (batch.source, batch.target, batch.negatives))
    chosen = list(zip(source.tolist(), (target - 6).tolist(), strict=True))
    assert sorted(chosen) == sorted(pairs)
    others = (negatives - 6).tolist()
    assert len(others) == 9
    assert set(others) <= set(range(6))
    assert set(others) & set(source.tolist()), "no source is among the random products; the test shows less"
    expected = loss_by_loops(vectors[:6], vectors[6:], chosen, others, asymmetry)
    torch.testing.assert_close(batch.loss(vectors[batch.seeds]), expected)


def test_the_asymmetry_tells_an_edge_from_its_reverse() -> None:
    edges, random = torch.tensor([2.0, 2.0]), torch.zeros(2, 1)
    both, none = torch.tensor([0, 1]), torch.tensor([], dtype=torch.int64)
    with_reverses = [
        directed_loss(edges, random, both, backward, 1.0)
        for backward in (torch.tensor([2.0, 2.0]), torch.tensor([-2.0, -2.0]))
    ]
    assert with_reverses[0] > with_reverses[1] + 1
    plain = directed_loss(edges, random, none, torch.zeros(0), 1.0)
    torch.testing.assert_close(plain, directed_loss(edges, random, both, edges, 0.0))


def test_hops_of_lightgcn_need_no_other_relation() -> None:
    relation = from_edges(torch.tensor([0]), torch.tensor([1]), 2)
    rows = torch.tensor([[1.0, 2.0, 1.0], [3.0, 4.0, 1.0]])
    above = Propagation()(rows, rows, Hop({"either": relation}, 2))
    assert above.tolist() == [[3.0, 5.0, 1.0], [0.0, 4.0, 1.0]]
