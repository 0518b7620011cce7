"""The reach of a change is found for every model of related: the others keep their vectors, exactly."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.related.fitting import make_plan
from pipelines.related.models import load_model, model_names
from pipelines.update.related import State, compute, find_affected
from twinvec.nn.features import Features
from twinvec.nn.models.full_graph import FullGraph, full_graph_inputs
from twinvec.settings import RelatedSettings

PRODUCTS, WIDTH = 120, 4


def edges(pairs: np.ndarray) -> Edges:
    return Edges(pairs[:, 0].copy(), pairs[:, 1].copy(), np.ones(len(pairs), np.int64))


def graph_of(products: int, copurchase: np.ndarray, coview: np.ndarray) -> ProductGraph:
    splits = (np.zeros(len(part), np.int8) for part in (copurchase, coview))
    ids = pa.array([f"p{number:03}" for number in range(products)])
    return ProductGraph(ids, edges(copurchase), edges(coview), *splits)


def sparse_pairs(random: np.random.Generator, count: int) -> np.ndarray:
    pairs = np.unique(random.integers(0, PRODUCTS, (count, 2)), axis=0)
    distinct: np.ndarray = pairs[pairs[:, 0] != pairs[:, 1]]
    return distinct


@pytest.mark.parametrize("name", model_names())
def test_part_of_the_graph_gives_what_the_whole_gives(name: str) -> None:
    random = np.random.default_rng(5)
    copurchase, coview = sparse_pairs(random, 70), sparse_pairs(random, 50)
    before = graph_of(PRODUCTS, copurchase, coview)
    # One product more, that is bought with two; one edge of each kind less.
    bought = np.array([[3, PRODUCTS], [PRODUCTS, 8]])
    after = graph_of(PRODUCTS + 1, np.concatenate([copurchase[1:], bought]), coview[1:])
    content = torch.randn(PRODUCTS + 1, WIDTH, generator=torch.Generator().manual_seed(1))
    options = RelatedSettings.model_validate({"recipe": name, "dimension": 12})
    plan, model = make_plan(before, content[:PRODUCTS], options, 2), load_model(name)
    for parameter in plan.model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    if model.factors is not None:
        factors = model.factors(after)
    else:
        new = torch.zeros(1, plan.features.proximity.shape[1])
        old = plan.features.proximity.chunk(2)
        factors = torch.cat([old[0], new, old[1], new])
    then = State(before, plan.features, model.relations(before))
    now = State(after, Features(content, factors), model.relations(after))
    function = FullGraph(plan.model, list(plan.graph)).eval()
    with torch.inference_mode():
        was = torch.stack(function(*full_graph_inputs(then.features, then.cover).values()))
        whole = torch.stack(function(*full_graph_inputs(now.features, now.cover).values()))
    vectors = torch.cat([was, torch.full((2, 1, was.shape[2]), torch.nan)], dim=1)
    affected = find_affected(then, now, options.layers)
    assert 2 < affected.sum() < PRODUCTS / 2
    compute(function, now, affected, options.layers, vectors)
    torch.testing.assert_close(vectors, whole, atol=1e-5, rtol=1e-5)
    assert (whole[:, :PRODUCTS] - was).abs().max() > 0.01, "nothing changed; the test shows nothing"
