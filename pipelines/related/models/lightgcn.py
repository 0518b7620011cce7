"""LightGCN (SIGIR 2020) on the content, trained by a softmax over the co-purchase edges."""

from __future__ import annotations

from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.data import EITHER, either
from pipelines.related.plan import Model, Plan, softmax_plan
from twinvec.nn.models import LightGCN
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """Return the double cover of all edges, as one kind. Calibration reads the degrees in it."""
    return {EITHER: either(graph)}


def factors(graph: ProductGraph) -> Tensor:
    """Return the square root of each node's degree, float32 [2n, 1]; a sample of its neighbours does not tell it."""
    return either(graph).degrees().float().sqrt().unsqueeze(1)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Return the plan: LightGCN on the content, softmax over the co-purchase edges."""
    model = LightGCN(content.shape[1], options.uncalibrated, options.layers)
    return softmax_plan(
        model, graph, content, relations(graph), options.lightgcn, options.calibrate, factors(graph)
    )


MODEL = Model(plan, relations, factors)
