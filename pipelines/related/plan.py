"""What a model of the space `related` consists of: all that differs from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.losses.objective import Objective
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings import RelatedSettings


@dataclass(frozen=True)
class Plan:
    """What a model is trained with: everything but the loop.

    Attributes:
        model: untrained.
        features: of the products of the graph.
        graph: relation → neighbours of the nodes of the double cover; the first relation is the one predicted.
        objective: what is trained on.
        epochs, learning_rate, weight_decay, averaging: of the loop.
        calibrate: whether the vectors get the coordinate that makes scores of different sources comparable.
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
    """One model of the space.

    Attributes:
        plan: from a graph, content float32 [n, c], settings and a seed; all co-purchase edges are trained on.
        relations: the neighbours it aggregates over, in any graph: those of its plan, and of a later snapshot.
        factors: what it reads of each node of any graph beside content, float32 [2n, p]. Without it, a node keeps what
            the plan gave it in training, and one that came later is folded in.
    """

    plan: Callable[[ProductGraph, Tensor, RelatedSettings, int], Plan]
    relations: Callable[[ProductGraph], dict[str, Neighbours]]
    factors: Callable[[ProductGraph], Tensor] | None = None
