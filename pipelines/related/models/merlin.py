"""MERLIN as published (3.6), the value `paper` of `related.recipe`: margin loss on the co-purchase edges."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.plan import Model, Plan
from twinvec.nn.features import Features
from twinvec.nn.losses.margin import MarginObjective
from twinvec.nn.models import MERLIN
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """Return the double covers of both kinds of edges."""
    return data.relations(graph, reverse=False)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Return the plan of MERLIN 3.6: equations 3 and 4 on the content, margin loss on the co-purchase edges."""
    merlin = options.paper
    cover = relations(graph)
    return Plan(
        model=MERLIN(content.shape[1], options.dimension, options.layers, list(cover)),
        features=Features(content, torch.zeros(2 * graph.products, 0)),
        graph=cover,
        objective=MarginObjective(
            torch.from_numpy(graph.copurchase.source),
            torch.from_numpy(graph.copurchase.target),
            graph.products,
            target_offset=graph.products,
            negatives=merlin.negatives,
            pool=merlin.pool,
            margin=merlin.margin,
            batch=merlin.batch,
        ),
        epochs=merlin.epochs,
        learning_rate=merlin.learning_rate,
        weight_decay=0.0,
    )


MODEL = Model(plan, relations)
