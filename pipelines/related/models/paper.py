"""MERLIN as published (3.6): equations 3 and 4 on the content, a margin loss on the co-purchase edges.

The layer does not know the two roles apart: on the double cover (see `twinvec.nn.sampling.blocks.double_cover`) the
neighbours of a source node are target nodes and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipelines.graph.product_graph import ProductGraph
from pipelines.related import data
from pipelines.related.plan import Plan
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.losses.margin import MarginObjective
from twinvec.nn.sampling.aggregation import sum_neighbours
from twinvec.nn.sampling.blocks import Hop, Neighbours
from twinvec.settings import RelatedSettings


class PaperLayer(nn.Module):
    """Equations 3 and 4 of MERLIN: FC[Σ_cp h W_cp, Σ_cv h W_cv], sums over the neighbours in the other role.

    The paper names no activation; `FC` is a linear map of the two parts, and the model puts a ReLU between layers.
    Sums and the maps W commute, so neighbours are summed first, and `FC` after W is one map: half the work of two.

    Args:
        inputs: length of a vector below.
        outputs: length of a vector above.
        relations: names of the edge types, each with a W of its own.
    """

    def __init__(self, inputs: int, outputs: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.weights = nn.ModuleDict({name: nn.Linear(inputs, outputs, bias=False) for name in relations})
        self.combine = nn.Linear(len(relations) * outputs, outputs)

    def forward(self, own: Tensor, below: Tensor, hop: Hop) -> Tensor:
        """Vectors above, [rows, outputs], from the neighbours' below, [inputs of the hop, inputs].

        The nodes' own vectors below do not enter: the equations have no such term.
        """
        combine = self.combine.weight.chunk(len(self.weights), dim=1)
        above: Tensor = self.combine.bias
        for (name, weight), part in zip(self.weights.items(), combine, strict=True):
            both = part @ weight.get_parameter("weight")
            above = torch.addmm(above, sum_neighbours(below, hop.neighbours[name]), both.T)
        return above


class PaperEncoder(GraphEncoder):
    """MERLIN as published: h⁰ = X for source and target alike, then equations 3 and 4, with a ReLU between layers.

    Args:
        content: length of a product's features.
        dimension: length of the vectors.
        layers: hops.
        relations: names of the edge types.
    """

    def __init__(self, content: int, dimension: int, layers: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            PaperLayer(content if index == 0 else dimension, dimension, relations) for index in range(layers)
        )

    def activation(self, vectors: Tensor) -> Tensor:
        """ReLU between layers."""
        return vectors.relu_()


def relations(graph: ProductGraph) -> dict[str, Neighbours]:
    """The double covers of both kinds of edges."""
    return data.relations(graph, reverse=False)


def plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """MERLIN 3.6: equations 3 and 4 on the content, margin loss on the co-purchase edges."""
    recipe = options.paper
    cover = relations(graph)
    return Plan(
        model=PaperEncoder(content.shape[1], options.dimension, options.layers, list(cover)),
        features=Features(content, torch.zeros(2 * graph.products, 0)),
        graph=cover,
        objective=MarginObjective(
            torch.from_numpy(graph.copurchase.source),
            torch.from_numpy(graph.copurchase.target),
            graph.products,
            target_offset=graph.products,
            negatives=recipe.negatives,
            pool=recipe.pool,
            margin=recipe.margin,
            batch=recipe.batch,
        ),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=0.0,
    )
