"""The model as a function of plain tensors gives what the layer-wise inference gives."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.data import relations
from pipelines.related.export import FullGraph, full_graph_inputs
from pipelines.related.features import Features
from pipelines.related.inference import infer
from pipelines.related.models.twinvec import TwinvecEncoder


def test_full_graph_is_the_layerwise_inference(random_graph: Callable[..., ProductGraph]) -> None:
    graph = random_graph(5)
    torch.manual_seed(9)
    cover = relations(graph, reverse=True)
    model = TwinvecEncoder(4, 3, 8, 2, list(cover))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    features = Features(torch.randn(graph.products, 4), torch.randn(2 * graph.products, 3))
    expected = infer(model, features, cover, chunk=19)
    with torch.no_grad():
        found = FullGraph(model, list(cover))(*full_graph_inputs(features, cover).values())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
