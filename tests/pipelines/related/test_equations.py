"""Equations 3 and 4 of MERLIN against dense matrices written straight from the paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.data import COPURCHASE, COVIEW, relations
from tests.samplers import SAMPLERS
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.models import MERLIN, Twinvec
from twinvec.nn.sampling.blocks import Hop, Neighbours, double_cover
from twinvec.nn.sampling.csr import CsrSampler
from twinvec.nn.sampling.samplers import SamplerName, make_sampler
from twinvec.nn.training.inference import infer_dual

MakeGraph = Callable[..., ProductGraph]


def randomise(model: nn.Module, seed: int) -> None:
    """Every parameter, those that start at zero too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)


def dense_paper(model: MERLIN, content: Tensor, a_cp: Tensor, a_cv: Tensor) -> tuple[Tensor, Tensor]:
    """(h_u^s)^l = FC_l[Σ_{(u,v) ∈ cp} h_v^t W_cp, Σ_{(u,v) ∈ cv} h_v^t W_cv], and the mirror image for h_v^t."""
    h_s, h_t = content, content
    for index, layer in enumerate(cast(Any, model.layers)):
        w_cp, w_cv = (layer.weights[name].weight.T for name in (COPURCHASE, COVIEW))
        fc, bias = layer.combine.weight.T, layer.combine.bias
        if index:
            h_s, h_t = h_s.clamp_min(0), h_t.clamp_min(0)
        h_s, h_t = (
            torch.cat([a_cp @ (h_t @ w_cp), a_cv @ (h_t @ w_cv)], 1) @ fc + bias,
            torch.cat([a_cp.T @ (h_s @ w_cp), a_cv.T @ (h_s @ w_cv)], 1) @ fc + bias,
        )
    return h_s, h_t


def paper_case(graph: ProductGraph, layers: int) -> tuple[MERLIN, Features]:
    torch.manual_seed(1)
    model = MERLIN(content=5, dimension=7, layers=layers, relations=[COPURCHASE, COVIEW])
    return model, Features(torch.randn(graph.products, 5), torch.zeros(2 * graph.products, 0))


def twinvec_case(graph: ProductGraph) -> tuple[Twinvec, Features]:
    torch.manual_seed(2)
    model = Twinvec(5, 6, 16, 9, list(relations(graph, reverse=True)))
    randomise(model, 3)
    return model, Features(torch.randn(graph.products, 5), torch.randn(2 * graph.products, 6))


def adjacency(graph: ProductGraph) -> tuple[Tensor, Tensor]:
    a_cp, a_cv = torch.zeros(2, graph.products, graph.products).unbind()
    for matrix, kind in ((a_cp, graph.copurchase), (a_cv, graph.coview)):
        for source, target in zip(kind.source.tolist(), kind.target.tolist(), strict=True):
            matrix[source, target] = 1
    return a_cp, a_cv


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layerwise_inference_is_the_dense_equations(random_graph: MakeGraph, layers: int) -> None:
    graph = random_graph(10 + layers)
    model, features = paper_case(graph, layers)
    found = infer_dual(model, features, relations(graph, reverse=False), chunk=13)
    with torch.no_grad():
        expected = dense_paper(model, features.content, *adjacency(graph))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert (found[0] - found[1]).abs().max() > 0.1, "source and target are the same; the test shows nothing"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_block_with_full_fanout_is_the_dense_equations(
    random_graph: MakeGraph, sampler: SamplerName
) -> None:
    graph = random_graph(20)
    model, features = paper_case(graph, layers=2)
    cover = relations(graph, reverse=False)
    seeds = torch.randperm(features.nodes, generator=torch.Generator().manual_seed(4))[:31]
    block = make_sampler(sampler, cover, dict.fromkeys(cover, -1), 2, 0).sample(seeds)
    vectors = model(*features.of(block.nodes), block)
    with torch.no_grad():
        expected = torch.cat(dense_paper(model, features.content, *adjacency(graph)))[seeds]
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=1e-5)


def test_the_gradient_is_that_of_the_dense_equations(random_graph: MakeGraph) -> None:
    graph = random_graph(21)
    model, features = paper_case(graph, layers=2)
    cover = relations(graph, reverse=False)
    block = CsrSampler(cover, dict.fromkeys(cover, -1), 2).sample(torch.arange(features.nodes))
    probe = torch.randn(features.nodes, 7)
    outputs = [
        model(*features.of(block.nodes), block),
        torch.cat(dense_paper(model, features.content, *adjacency(graph))),
    ]
    first, second = (torch.autograd.grad((out * probe).sum(), list(model.parameters())) for out in outputs)
    for found, expected in zip(first, second, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


def test_a_product_without_edges_has_a_vector_of_its_content(random_graph: MakeGraph) -> None:
    graph = random_graph(60)
    model, features = twinvec_case(graph)
    n = graph.products
    # The last three products have no edges; without factors they differ in their content only.
    features.proximity[[n - 3, n - 2, n - 1, 2 * n - 3, 2 * n - 2, 2 * n - 1]] = 0
    features.content[n - 1] = features.content[n - 2]
    source, target = infer_dual(model, features, relations(graph, reverse=True))
    assert source.isfinite().all()
    torch.testing.assert_close(source[n - 1], source[n - 2], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(target[n - 1], target[n - 2], atol=1e-6, rtol=1e-6)
    assert (source[n - 1] - source[n - 3]).abs().max() > 0.05
    # The role is one number beside content of four times its size.
    assert (source[n - 1] - target[n - 1]).abs().max() > 1e-3


def test_the_two_roles_are_the_two_ends_of_an_edge() -> None:
    """One edge u → v, by hand: only u as a source and v as a target have a neighbour."""
    model = MERLIN(1, 1, 1, [COPURCHASE, COVIEW])
    layer: Any = model.layers[0]
    with torch.no_grad():
        layer.weights[COPURCHASE].weight.fill_(2)
        layer.weights[COVIEW].weight.fill_(10)
        layer.combine.weight.copy_(torch.tensor([[1.0, 1.0]]))
        layer.combine.bias.fill_(0.5)
    none = torch.empty(0, dtype=torch.int64)
    cover = {
        COPURCHASE: double_cover(torch.tensor([0]), torch.tensor([1]), 3),
        COVIEW: double_cover(none, none, 3),
    }
    content = torch.tensor([[3.0], [5.0], [7.0]])
    source, target = infer_dual(model, Features(content, torch.zeros(6, 0)), cover)
    # s_0 = 2 × 5 + .5, t_1 = 2 × 3 + .5, all others the bias.
    assert source.flatten().tolist() == [10.5, 0.5, 0.5]
    assert target.flatten().tolist() == [0.5, 6.5, 0.5]


def test_untrained_twinvec_gives_the_factors(random_graph: MakeGraph) -> None:
    graph = random_graph(70)
    model = Twinvec(5, 6, 16, 9, list(relations(graph, reverse=True)))
    features = Features(torch.randn(graph.products, 5), torch.randn(2 * graph.products, 6))
    vectors = torch.cat(infer_dual(model, features, relations(graph, reverse=True)))
    torch.testing.assert_close(vectors[:, :6], features.proximity)
    assert vectors[:, 6:].std() > 0.05  # or these values would never be learned


def dense_twinvec(model: Twinvec, features: Features, graph: ProductGraph) -> Tensor:
    """M f + V gelu(norm(W x + Σ_r W_r mean_r x)) of all nodes, sources first."""
    layer: Any = model.layers[0]
    n = graph.products
    a_cp, a_cv = adjacency(graph)
    x_s, x_t = (
        torch.cat(
            [4 * features.content, features.proximity[role * n :][:n], torch.full((n, 1), float(role))], 1
        )
        for role in range(2)
    )
    hidden = []
    for own, other, kinds in ((x_s, x_t, (a_cp, a_cv)), (x_t, x_s, (a_cp.T, a_cv.T))):
        h = own @ layer.own.weight.T + layer.own.bias
        for name, a in zip(("copurchase", "coview"), kinds, strict=True):
            for relation, matrix in ((name, a), (f"reverse_{name}", a.T)):
                mean = matrix @ other / matrix.sum(1, keepdim=True).clamp_min(1)
                h = h + mean @ layer.weights[relation].weight.T
        hidden.append(h)
    refined = layer.out(nn.functional.gelu(layer.norm(torch.cat(hidden))))
    vectors: Tensor = features.proximity @ layer.from_factors.weight.T + refined
    return vectors


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_twinvec_is_its_dense_equation(random_graph: MakeGraph, sampler: SamplerName) -> None:
    graph = random_graph(80)
    model, features = twinvec_case(graph)
    cover = relations(graph, reverse=True)
    with torch.no_grad():
        expected = dense_twinvec(model, features, graph)
    torch.testing.assert_close(torch.cat(infer_dual(model, features, cover)), expected, atol=1e-5, rtol=1e-5)
    seeds = torch.randperm(features.nodes, generator=torch.Generator().manual_seed(5))[:31]
    block = make_sampler(sampler, cover, dict.fromkeys(cover, -1), len(model.layers), 0).sample(seeds)
    vectors = model(*features.of(block.nodes), block)
    torch.testing.assert_close(vectors, expected[seeds], atol=1e-5, rtol=1e-5)


def test_factors_are_dropped_in_training_alone() -> None:
    model = Twinvec(5, 6, 16, 9, [COPURCHASE], factor_dropout=0.25)
    none = Neighbours(torch.zeros(4001, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    factors = torch.rand(4000, 6) + 0.1
    inputs = model.start(torch.randn(4000, 5), factors, torch.arange(4000) % 2 == 0)
    hop = Hop({COPURCHASE: none}, 4000)
    # Untrained, a vector is the node's factors, so that one without factors is zero: 1,000 ± 27 of 4,000.
    without = (model.train().step(0, inputs, inputs, hop)[:, :6] == 0).all(1)
    assert 890 < without.sum() < 1110
    torch.testing.assert_close(model.eval().step(0, inputs, inputs, hop)[:, :6], factors)


def test_layer_0_is_the_content_unless_an_encoder_says_otherwise() -> None:
    content, factors, is_target = torch.ones(2, 3), torch.zeros(2, 1), torch.tensor([False, True])
    assert GraphEncoder().start(content, factors, is_target) is content
