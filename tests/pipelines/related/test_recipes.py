"""Both recipes from a graph to vectors, by settings alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.export import full_graph_inputs
from pipelines.related.recipes import Fitted, fit, make_plan
from twinvec.settings import RelatedSettings

MakeGraph = Callable[..., ProductGraph]
RECIPES: tuple[Literal["paper", "twinvec"], ...] = ("paper", "twinvec")


def options(recipe: Literal["paper", "twinvec"], sampler: Literal["dgl", "csr"] = "csr") -> RelatedSettings:
    return RelatedSettings(
        recipe=recipe,
        sampler=sampler,
        dimension=12,
        paper={"epochs": 4, "batch": 40},  # type: ignore[arg-type]
        twinvec={"epochs": 4, "batch": 20, "candidates": 30},  # type: ignore[arg-type]
    )


def fitted(graph: ProductGraph, content: torch.Tensor, chosen: RelatedSettings, seed: int = 5) -> Fitted:
    return fit(make_plan(graph, content, chosen, seed), chosen, torch.device("cpu"), seed)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("sampler", ["dgl", "csr"])
def test_a_recipe_is_repeated_by_its_seed(
    random_graph: MakeGraph, recipe: Literal["paper", "twinvec"], sampler: Literal["dgl", "csr"]
) -> None:
    graph, chosen = random_graph(8), options(recipe, sampler)
    content = torch.randn(graph.products, 6)
    one, again, other = (fitted(graph, content, chosen, seed) for seed in (5, 5, 6))
    assert torch.equal(one.source, again.source)
    assert torch.equal(one.target, again.target)
    assert not torch.equal(one.source, other.source)
    assert one.source.shape == one.target.shape == (graph.products, 12)
    assert (one.source - one.target).abs().max() > 1e-3


@pytest.mark.parametrize("recipe", RECIPES)
def test_vectors_are_those_of_the_model_that_is_kept(
    random_graph: MakeGraph, recipe: Literal["paper", "twinvec"]
) -> None:
    graph = random_graph(9)
    result = fitted(graph, torch.randn(graph.products, 6), options(recipe))
    with torch.no_grad():
        source, target = result.model(*full_graph_inputs(result.features, result.graph).values())
    torch.testing.assert_close(source, result.source)
    torch.testing.assert_close(target, result.target)


def test_the_best_epoch_by_the_given_figure_is_kept(random_graph: MakeGraph) -> None:
    graph, chosen = random_graph(10), options("paper")
    seen: list[torch.Tensor] = []

    def validate(source: torch.Tensor, target: torch.Tensor) -> float:
        seen.append(source)
        return [0.1, 0.6, 0.2, 0.3][len(seen) - 1]

    plan = make_plan(graph, torch.randn(graph.products, 6), chosen, 1)
    result = fit(plan, chosen, torch.device("cpu"), 1, validate=validate)
    assert [epoch.validation for epoch in result.history] == [0.1, 0.6, 0.2, 0.3]
    torch.testing.assert_close(result.source, seen[1])
