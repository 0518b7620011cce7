"""DAEMON (Amazon, ECML 2022): dual embeddings with a loss for directed edges."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.data import COPURCHASE, SIMILAR
from pipelines.related.plan import Model, Plan
from twinvec.nn.features import Features
from twinvec.nn.losses.directed import DirectedObjective, is_one_way
from twinvec.nn.models import DAEMON
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """Return co-purchases between the roles, and co-views within each role."""
    return {COPURCHASE: data.relations(graph, reverse=False)[COPURCHASE], SIMILAR: data.similar(graph)}


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Return the plan: DAEMON on the content, its directed loss on the co-purchase edges."""
    daemon, edges = options.daemon, graph.copurchase
    cover = relations(graph)
    return Plan(
        model=DAEMON(content.shape[1], options.dimension, options.layers, list(cover)),
        features=Features(content, torch.zeros(2 * graph.products, 0)),
        graph=cover,
        objective=DirectedObjective(
            torch.from_numpy(edges.source),
            torch.from_numpy(edges.target),
            is_one_way(edges.source, edges.target, graph.products),
            graph.products,
            negatives=daemon.negatives,
            asymmetry=daemon.asymmetry,
            batch=daemon.batch,
        ),
        epochs=daemon.epochs,
        learning_rate=daemon.learning_rate,
        weight_decay=daemon.weight_decay,
    )


MODEL = Model(plan, relations)
