"""Rules for every registered model; whoever adds one adds nothing here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
import torch

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.fitting import Fitted, fit, make_plan
from pipelines.related.models import load_model, model_names
from pipelines.related.pipeline import example_of
from pipelines.related.plan import Plan
from tests.samplers import SAMPLERS
from twinvec.metrics.ranking import rank_targets, ranking_metrics
from twinvec.nn.features import Features
from twinvec.nn.models.full_graph import FullGraph, full_graph_inputs
from twinvec.nn.sampling.samplers import SamplerName, make_sampler
from twinvec.nn.training import inference
from twinvec.nn.training.inference import infer_dual
from twinvec.settings import RelatedSettings, registered_models

MakeGraph = Callable[..., ProductGraph]
MODELS = model_names()
EVERY = pytest.mark.parametrize("name", MODELS)
GROUPS = {
    name: {"epochs": 4, "batch": 40} | ({"candidates": 30} if name not in ("paper", "daemon") else {})
    for name in MODELS
}


def options(name: str, **others: object) -> RelatedSettings:
    return RelatedSettings.model_validate(
        {"recipe": name, "sampler": "csr", "dimension": 12, **GROUPS, **others}
    )


def content_of(graph: ProductGraph, seed: int = 1) -> torch.Tensor:
    return torch.randn(graph.products, 6, generator=torch.Generator().manual_seed(seed))


def randomised(graph: ProductGraph, name: str, seed: int) -> Plan:
    """A plan whose parameters are all random, those that start at zero too."""
    plan = make_plan(graph, content_of(graph), options(name), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in plan.model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    return plan


def test_every_model_with_a_group_of_its_own_is_registered() -> None:
    assert set(RelatedSettings.own_groups()) <= set(registered_models.model_names())
    assert set(RelatedSettings.own_groups()) == set(MODELS)


@EVERY
def test_groups_of_other_models_change_no_digest(name: str) -> None:
    chosen = options(name)
    other = next(each for each in MODELS if each != name)
    changed = options(name, **{other: {"epochs": 17}})
    assert changed.deciding() == chosen.deciding()
    assert options(name, **{name: {"epochs": 17}}).deciding() != chosen.deciding()


@EVERY
def test_a_plan_aggregates_over_the_relations_of_its_model(random_graph: MakeGraph, name: str) -> None:
    graph = random_graph(3)
    plan, model = make_plan(graph, content_of(graph), options(name), 0), load_model(name)
    relations = model.relations(graph)
    assert list(plan.graph) == list(relations)
    for relation, neighbours in relations.items():
        assert torch.equal(plan.graph[relation].offsets, neighbours.offsets)
        assert torch.equal(plan.graph[relation].positions, neighbours.positions)
    if model.factors is not None:
        assert torch.equal(plan.features.proximity, model.factors(graph))


@EVERY
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_full_fanout_chunks_and_the_export_give_the_layerwise_inference(
    random_graph: MakeGraph, monkeypatch: pytest.MonkeyPatch, name: str, sampler: SamplerName
) -> None:
    graph = random_graph(30)
    plan = randomised(graph, name, 6)
    whole = infer_dual(plan.model, plan.features, plan.graph)
    assert all(part.isfinite().all() for part in whole)
    assert (whole[0] - whole[1]).abs().max() > 0.05, "source and target are the same; the test shows nothing"
    with torch.no_grad():
        exported = FullGraph(plan.model, list(plan.graph))(
            *full_graph_inputs(plan.features, plan.graph).values()
        )
        for fanout in (-1, 2 * graph.products):
            seeds = torch.randperm(2 * graph.products)[:17]
            block = make_sampler(
                sampler, plan.graph, dict.fromkeys(plan.graph, fanout), len(plan.model.layers), 0
            ).sample(seeds)
            vectors = plan.model(*plan.features.of(block.nodes), block)
            torch.testing.assert_close(vectors, torch.cat(whole)[seeds], atol=1e-5, rtol=1e-5)
    for chunk in (1, 10, 95):
        for one, other in zip(infer_dual(plan.model, plan.features, plan.graph, chunk), whole, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(inference, "MOST_EDGES", 3)  # fewer than some nodes have
    for one, other in zip(infer_dual(plan.model, plan.features, plan.graph), whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    for one, other in zip(exported, whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@EVERY
def test_a_product_elsewhere_changes_nothing(random_graph: MakeGraph, name: str) -> None:
    graph = random_graph(50)
    plan, n = randomised(graph, name, 7), graph.products
    ids = pa.array([*graph.product_ids.to_pylist(), "zz"])
    more = ProductGraph(ids, graph.copurchase, graph.coview, graph.split, graph.coview_split)
    # The new product is n as a source and 2n + 1 as a target.
    factors = plan.features.proximity
    new = torch.randn(1, factors.shape[1])
    fitting = load_model(name).factors
    larger = torch.cat([factors[:n], new, factors[n:], new]) if fitting is None else fitting(more)
    content = torch.cat([plan.features.content, torch.randn(1, 6)])
    before = infer_dual(plan.model, plan.features, plan.graph)
    after = infer_dual(plan.model, Features(content, larger), load_model(name).relations(more))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other[:n], atol=1e-5, rtol=1e-5)


def fitted(graph: ProductGraph, name: str, seed: int = 5, **others: object) -> Fitted:
    chosen = options(name, **others)
    return fit(make_plan(graph, content_of(graph), chosen, seed), chosen, torch.device("cpu"), seed)


@EVERY
def test_training_is_repeated_by_its_seed_and_keeps_the_model_of_the_vectors(
    random_graph: MakeGraph, name: str
) -> None:
    graph = random_graph(8)
    one, again, other = (fitted(graph, name, seed) for seed in (5, 5, 6))
    assert torch.equal(one.source, again.source)
    assert torch.equal(one.target, again.target)
    assert not torch.equal(one.source, other.source)
    assert one.source.shape == one.target.shape == (graph.products, 12)
    with torch.no_grad():
        found = one.model(*full_graph_inputs(one.features, one.graph).values())
    torch.testing.assert_close(found, (one.source, one.target))


@EVERY
def test_training_finds_the_edges_that_are_trained_on(random_graph: MakeGraph, name: str) -> None:
    graph = random_graph(11)
    chosen = options(name, **{name: {**GROUPS[name], "epochs": 25, "learning_rate": 0.01}})
    plan = make_plan(graph, content_of(graph), chosen, 5)
    untrained = infer_dual(plan.model, plan.features, plan.graph)
    result = fit(plan, chosen, torch.device("cpu"), 5)
    edges = (graph.copurchase.source, graph.copurchase.target)
    known = graph.copurchase.matrix(graph.products)
    before, after = (
        ranking_metrics(rank_targets(source, target, edges, known)).mrr_at_10
        for source, target in (untrained, (result.source, result.target))
    )
    assert after > before + 0.03, (before, after)


@EVERY
def test_mixed_precision_is_close(random_graph: MakeGraph, name: str) -> None:
    graph = random_graph(12)
    exact, mixed = (fitted(graph, name, precision=each) for each in ("float32", "bfloat16"))
    assert mixed.source.dtype == torch.float32
    losses = [result.history[-1].loss for result in (exact, mixed)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@EVERY
def test_the_exported_program_takes_a_graph_of_another_size(random_graph: MakeGraph, name: str) -> None:
    graph = random_graph(9)
    group: dict[str, Any] = {name: {**GROUPS[name], "epochs": 1}}
    result = fitted(graph, name, **group)
    example = tuple(each.clone() for each in example_of(result).values())
    # As MLflow exports: every axis of the example may be free.
    free = tuple(dict.fromkeys(range(each.dim()), torch.export.Dim.AUTO) for each in example)
    with torch.no_grad():
        program = torch.export.export(result.model.eval(), example, dynamic_shapes=free).module()
        found = program(*full_graph_inputs(result.features, result.graph).values())
    torch.testing.assert_close(found, (result.source, result.target), atol=1e-5, rtol=1e-5)


@EVERY
def test_calibration_is_settled_by_what_is_given_and_can_be_left_out(
    random_graph: MakeGraph, name: str
) -> None:
    graph = random_graph(13)
    seen: list[torch.Tensor] = []

    def settle(source: torch.Tensor, target: torch.Tensor, _terms: torch.Tensor) -> torch.Tensor:
        seen.append(source @ target.T)
        return torch.full((2, 6), 0.1)

    chosen, plain = options(name), options(name, calibrate=False)
    result, uncalibrated = (
        fit(make_plan(graph, content_of(graph), each, 5), each, torch.device("cpu"), 5, fit_weights=settle)
        for each in (chosen, plain)
    )
    assert uncalibrated.model.calibration is None
    assert uncalibrated.source.shape == (graph.products, 12)
    calibration = result.model.calibration
    if calibration is None:
        assert name in ("paper", "daemon")
        assert not seen
        return
    assert len(seen) == 1
    torch.testing.assert_close(seen[0].exp().sum(1), torch.ones(graph.products))
    assert not torch.allclose((result.source @ result.target.T).exp().sum(1), torch.ones(graph.products))
    taken_over = fit(
        make_plan(graph, content_of(graph), chosen, 5),
        chosen,
        torch.device("cpu"),
        5,
        fit_weights=calibration.fixed_weights,
    )
    assert torch.equal(result.source, taken_over.source)
