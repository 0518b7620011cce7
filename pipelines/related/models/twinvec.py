"""Twinvec's own: proximity factors beside the content, residual layers, softmax over near products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.coview_weight import settle_coview_weight
from pipelines.related.data import blend, edge_positives, proximity
from pipelines.related.plan import Plan
from pipelines.related.softmax import SoftmaxObjective
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.aggregation import mean_neighbours
from twinvec.nn.sampling.blocks import Hop, Neighbours
from twinvec.settings import RelatedSettings


class ResidualLayer(nn.Module):
    """Adds to a vector what its neighbours say: h + V gelu(norm(W_own h + Σ_r W_r mean_r h)).

    V starts at zero, so that an untrained layer changes nothing and depth costs nothing. A product without
    neighbours keeps a vector of its own content.

    Args:
        width: length of a vector.
        relations: names of the edge types, each with a W of its own.
    """

    def __init__(self, width: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.weights = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in relations})
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Vectors above, [rows, width], from the nodes' own below and their neighbours', [inputs of the hop, width]."""
        hidden = self.own(own)
        for name, weight in self.weights.items():
            hidden = hidden + weight(mean_neighbours(below, hop.neighbours[name]))
        update: Tensor = self.out(functional.gelu(self.norm(hidden)))
        return own + update


class TwinvecEncoder(GraphEncoder):
    """Twinvec's own recipe: content and proximity factors, refined by residual layers.

    Source and target share the layers, as in the paper, but enter them through maps of their own. Where there are
    factors, the map of the content starts at zero and theirs at one: training starts from the factorisation.

    Args:
        content: length of a product's features.
        proximity: length of the factors, at most `dimension`.
        dimension: length of the vectors.
        layers: hops.
        relations: names of the edge types.
        factor_dropout: share of nodes that are trained without their factors, as new products have none.
    """

    def __init__(
        self,
        content: int,
        proximity: int,
        dimension: int,
        layers: int,
        relations: Sequence[str],
        factor_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.factor_dropout = factor_dropout
        self.from_content = nn.Linear(content, 2 * dimension)
        self.from_proximity = nn.Linear(proximity, 2 * dimension, bias=False)
        self.layers = nn.ModuleList(ResidualLayer(dimension, relations) for _ in range(layers))
        if proximity:
            nn.init.zeros_(self.from_content.weight)
            nn.init.zeros_(self.from_content.bias)
            with torch.no_grad():
                self.from_proximity.weight.copy_(torch.eye(dimension, proximity).repeat(2, 1))

    def start(self, content: Tensor, proximity: Tensor, is_target: Tensor) -> Tensor:
        """Content and factors through the maps of the node's role, [nodes, dimension].

        Args:
            content: features of the nodes' products, float32 [nodes, c].
            proximity: factors of the nodes in their role, float32 [nodes, p].
            is_target: whether a node is a product as a target, bool [nodes].
        """
        if self.training and self.factor_dropout:
            kept = torch.rand(len(proximity), 1, device=proximity.device) >= self.factor_dropout
            proximity = proximity * kept
        as_source, as_target = (self.from_content(content) + self.from_proximity(proximity)).chunk(2, dim=1)
        return torch.where(is_target.unsqueeze(1), as_target, as_source)


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """The double covers of both kinds of edges, and of their reverses."""
    return data.relations(graph, reverse=True)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Twinvec's: proximity factors beside the content, residual layers, softmax over near products."""
    recipe = options.twinvec
    cover = relations(graph)
    width = options.uncalibrated
    walked = settle_coview_weight(graph, recipe.proximity, seed)
    near = proximity(graph, width, **walked.model_dump(), seed=seed)
    return Plan(
        model=TwinvecEncoder(
            content.shape[1],
            near.factors.shape[1],
            width,
            options.layers,
            list(cover),
            recipe.factor_dropout,
        ),
        features=Features(content, near.factors),
        graph=cover,
        objective=SoftmaxObjective(
            blend(edge_positives(graph), near.matrix, recipe.near),
            draws=recipe.draws,
            candidates=recipe.candidates,
            batch=recipe.batch,
        ),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        averaging=recipe.averaging,
        calibrate=options.calibrate,
    )
