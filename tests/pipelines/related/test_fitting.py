"""Carrying a plan out: which epoch is kept, and how many neighbours are sampled."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.fitting import Fitted, fanout, fit, make_plan
from tests.samplers import needs_dgl
from twinvec.errors import SettingsError
from twinvec.settings import RelatedSettings

MakeGraph = Callable[..., ProductGraph]


def options(sampler: str = "csr") -> RelatedSettings:
    return RelatedSettings.model_validate(
        {"recipe": "paper", "sampler": sampler, "dimension": 12, "paper": {"epochs": 4, "batch": 40}}
    )


def fitted(graph: ProductGraph, content: torch.Tensor, chosen: RelatedSettings) -> Fitted:
    return fit(make_plan(graph, content, chosen, 5), chosen, torch.device("cpu"), 5)


@needs_dgl
def test_dgl_repeats_a_training_as_csr_does(random_graph: MakeGraph) -> None:
    graph = random_graph(8)
    content = torch.randn(graph.products, 6)
    one, again = (fitted(graph, content, options("dgl")) for _ in range(2))
    assert torch.equal(one.source, again.source)
    assert torch.equal(one.target, again.target)


@needs_dgl
def test_both_samplers_train_the_same_model_where_they_keep_every_neighbour(random_graph: MakeGraph) -> None:
    graph = random_graph(8)
    content = torch.randn(graph.products, 6)
    every = {"fanout_copurchase": 10_000, "fanout_coview": 10_000}
    by_dgl, by_csr, by_auto = (
        fitted(graph, content, options(name).model_copy(update=every)) for name in ("dgl", "csr", "auto")
    )
    # Blocks list their nodes in another order, and sums are rounded accordingly.
    torch.testing.assert_close(by_csr.source, by_dgl.source, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(by_csr.target, by_dgl.target, atol=1e-4, rtol=1e-4)
    assert torch.equal(by_auto.source, by_dgl.source)


def test_training_without_dgl(random_graph: MakeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    graph = random_graph(8)
    content = torch.randn(graph.products, 6)
    by_auto, by_csr = (fitted(graph, content, options(name)) for name in ("auto", "csr"))
    assert torch.equal(by_auto.source, by_csr.source)
    with pytest.raises(SettingsError, match="DGL is not installed"):
        fitted(graph, content, options("dgl"))


def test_the_best_epoch_by_the_given_figure_is_kept(random_graph: MakeGraph) -> None:
    graph, chosen = random_graph(10), options()
    seen: list[torch.Tensor] = []

    def validate(source: torch.Tensor, target: torch.Tensor) -> float:
        seen.append(source)
        return [0.1, 0.6, 0.2, 0.3][len(seen) - 1]

    plan = make_plan(graph, torch.randn(graph.products, 6), chosen, 1)
    result = fit(plan, chosen, torch.device("cpu"), 1, validate=validate)
    assert [epoch.validation for epoch in result.history] == [0.1, 0.6, 0.2, 0.3]
    torch.testing.assert_close(result.source, seen[1])


@pytest.mark.parametrize(
    ("relation", "most"),
    [("copurchase", 7), ("reverse_copurchase", 7), ("coview", 3), ("reverse_coview", 3), ("similar", 3)],
)
def test_a_relation_is_sampled_as_the_edges_it_is_made_of(relation: str, most: int) -> None:
    chosen = RelatedSettings(fanout_copurchase=7, fanout_coview=3)
    assert fanout(relation, chosen) == most
    assert fanout("either", chosen) == 10
