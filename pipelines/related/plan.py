"""The declaration of a model of related products, and the plan of its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.data import edge_positives
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.losses.objective import Objective
from twinvec.nn.losses.softmax import SoftmaxObjective
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings
from twinvec.settings.related_models import SoftmaxSettings


@dataclass(frozen=True)
class Plan:
    """Everything that training needs beside the loop.

    Attributes:
        model: Untrained encoder.
        features: Features of the graph's products.
        graph: Relation → neighbours of the nodes of the double cover. The first relation is the one predicted.
        objective: Training objective.
        epochs, learning_rate, weight_decay, averaging: Options of `twinvec.nn.training.loop.train`.
        calibrate: Whether the vectors get the coordinate that makes scores of different sources comparable.
    """

    model: GraphEncoder
    features: Features
    graph: Mapping[str, Neighbours]
    objective: Objective
    epochs: int
    learning_rate: float
    weight_decay: float
    averaging: float = 0.0
    calibrate: bool = False


@dataclass(frozen=True)
class Model:
    """The declaration of a model of related products, named by an entry point of the group `twinvec.models`.

    Attributes:
        plan: Returns the plan from a graph, content float32 [n, c], the settings and a seed. All co-purchase edges of
            the graph are trained on. The model's own settings are `options.group(NAME)`.
        relations: Returns the relations that the model aggregates over, in any graph: that of its plan and that of a
            later snapshot.
        factors: Returns the factors of each node of any graph, float32 [2n, p]. If None, a node keeps the factors that
            the plan gave it, and those of new nodes are folded in.
    """

    plan: Callable[[ProductGraph, Tensor, RelatedSettings, int], Plan]
    relations: Callable[[ProductGraph], dict[str, Neighbours]]
    factors: Callable[[ProductGraph], Tensor] | None = None


def softmax_plan(
    model: GraphEncoder,
    graph: ProductGraph,
    content: Tensor,
    relations: Mapping[str, Neighbours],
    options: SoftmaxSettings,
    calibrate: bool,
    factors: Tensor | None = None,
) -> Plan:
    """Return a plan that trains `model` to rank each product's co-purchase targets among all products.

    The loss is a softmax over all products or a corrected sample of them; see `twinvec.nn.losses.softmax`.

    Args:
        model: Encoder. If scores are calibrated, its vectors are one shorter than the published ones.
        graph: Graph of n products.
        content: float32 [n, c].
        relations: Relations that the model aggregates over.
        options: Settings of the objective and the loop.
        calibrate: Whether scores are calibrated.
        factors: Factors of each node, float32 [2n, p]; none if not given.
    """
    return Plan(
        model=model,
        features=Features(content, torch.zeros(2 * graph.products, 0) if factors is None else factors),
        graph=relations,
        objective=SoftmaxObjective(
            edge_positives(graph), draws=options.draws, candidates=options.candidates, batch=options.batch
        ),
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        calibrate=calibrate,
    )
