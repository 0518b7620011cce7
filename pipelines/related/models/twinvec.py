"""Twinvec's own model: proximity factors beside the content, means of the neighbours, softmax over near products."""

from __future__ import annotations

import math

from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.data import edge_positives
from pipelines.related.plan import Model, Plan
from pipelines.related.proximity_choice import choose_proximity
from twinvec.nn.features import Features
from twinvec.nn.losses.positives import blend
from twinvec.nn.losses.soft_targets import SoftTargetObjective
from twinvec.nn.models import Twinvec
from twinvec.nn.proximity import proximity
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings
from twinvec.settings.related_models import TwinvecSettings

# Steps of an epoch, at least: a small catalogue has smaller batches.
LEAST_STEPS = 16


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """Return the double covers of both kinds of edges, and of their reverses."""
    return data.relations(graph, reverse=True)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Return the plan: one layer over content, factors and neighbours, softmax over near products and edges."""
    twinvec = options.twinvec
    cover = relations(graph)
    width = options.uncalibrated
    walks = choose_proximity(graph, twinvec.proximity, seed)
    copurchase, coview = (edges.matrix(graph.products) for edges in (graph.copurchase, graph.coview))
    near = proximity(copurchase, coview, width, **walks.model_dump(), seed=seed)
    positives = blend(edge_positives(graph), near.matrix, twinvec.near)
    batch, epochs = training_size(len(positives.sources()), twinvec)
    return Plan(
        model=Twinvec(
            content.shape[1],
            near.factors.shape[1],
            twinvec.hidden,
            width,
            list(cover),
            twinvec.factor_dropout,
        ),
        features=Features(content, near.factors),
        graph=cover,
        objective=SoftTargetObjective(positives, twinvec.candidates, batch),
        epochs=epochs,
        learning_rate=twinvec.learning_rate,
        weight_decay=twinvec.weight_decay,
        averaging=twinvec.averaging,
        calibrate=options.calibrate,
    )


def training_size(sources: int, options: TwinvecSettings) -> tuple[int, int]:
    """Return the sources in a step and the number of epochs.

    All that is learned is shared by all products, so a large catalogue needs no more steps than a small one.

    Args:
        sources: Number of products that have positives.
        options: Settings of the model.

    Example:
        >>> from twinvec.settings.related_models import TwinvecSettings
        >>> options = TwinvecSettings(batch=1024, epochs=30, steps=500)
        >>> [training_size(sources, options) for sources in (100, 7_000, 50_000, 6_500_000)]
        [(7, 30), (438, 30), (1024, 10), (1024, 1)]
    """
    batch = min(options.batch, max(1, math.ceil(sources / LEAST_STEPS)))
    steps = max(1, math.ceil(sources / batch))
    return batch, min(options.epochs, max(1, options.steps // steps))


MODEL = Model(plan, relations)
