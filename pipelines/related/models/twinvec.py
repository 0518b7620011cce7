"""Twinvec's own model: proximity factors beside the content, residual layers, softmax over near products."""

from __future__ import annotations

from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.coview_weight import choose_coview_weight
from pipelines.related.data import edge_positives, proximity
from pipelines.related.plan import Model, Plan
from twinvec.nn.features import Features
from twinvec.nn.losses.positives import blend
from twinvec.nn.losses.softmax import SoftmaxObjective
from twinvec.nn.models import Twinvec
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """Return the double covers of both kinds of edges, and of their reverses."""
    return data.relations(graph, reverse=True)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Return the plan: residual layers over content and factors, softmax over near products and edges."""
    twinvec = options.twinvec
    cover = relations(graph)
    width = options.uncalibrated
    walks = choose_coview_weight(graph, twinvec.proximity, seed)
    near = proximity(graph, width, **walks.model_dump(), seed=seed)
    return Plan(
        model=Twinvec(
            content.shape[1],
            near.factors.shape[1],
            width,
            options.layers,
            list(cover),
            twinvec.factor_dropout,
        ),
        features=Features(content, near.factors),
        graph=cover,
        objective=SoftmaxObjective(
            blend(edge_positives(graph), near.matrix, twinvec.near),
            draws=twinvec.draws,
            candidates=twinvec.candidates,
            batch=twinvec.batch,
        ),
        epochs=twinvec.epochs,
        learning_rate=twinvec.learning_rate,
        weight_decay=twinvec.weight_decay,
        averaging=twinvec.averaging,
        calibrate=options.calibrate,
    )


MODEL = Model(plan, relations)
