"""GraphSAGE (NeurIPS 2017) on the content, trained by a softmax over the co-purchase edges."""

from __future__ import annotations

from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.plan import Model, Plan, softmax_plan
from twinvec.nn.models import GraphSAGE
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """Return the double covers of both kinds of edges."""
    return data.relations(graph, reverse=False)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Return the plan: GraphSAGE on the content, softmax over the co-purchase edges."""
    cover = relations(graph)
    model = GraphSAGE(content.shape[1], options.uncalibrated, options.layers, list(cover))
    return softmax_plan(model, graph, content, cover, options.sage, options.calibrate)


MODEL = Model(plan, relations)
