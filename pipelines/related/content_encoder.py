"""What the layers of the field share here: content at the bottom, and a softmax over co-purchase edges on top."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.data import edge_positives
from pipelines.related.plan import Plan
from pipelines.related.softmax import SoftmaxObjective
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.settings.related_models import SoftmaxRecipe


class ContentEncoder(GraphEncoder):
    """Content through a linear map of the node's role; what the layers are, a subclass says.

    The layers themselves were published for graphs without roles. On the double cover they keep to a node's
    neighbours, which are in the other role; the two maps are what tells the roles of a product without edges apart.

    Args:
        content: length of a product's features.
        width: length of a vector of layer 0.
    """

    def __init__(self, content: int, width: int) -> None:
        super().__init__()
        self.from_content = nn.Linear(content, 2 * width)

    def start(self, content: Tensor, proximity: Tensor, is_target: Tensor) -> Tensor:
        """Vectors of layer 0, [nodes, width].

        Args:
            content: features of the nodes' products, float32 [nodes, c].
            proximity: not used.
            is_target: whether a node is a product as a target, bool [nodes].
        """
        as_source, as_target = self.from_content(content).chunk(2, dim=1)
        return torch.where(is_target.unsqueeze(1), as_target, as_source)


def softmax_plan(
    model: GraphEncoder,
    graph: ProductGraph,
    content: Tensor,
    relations: Mapping[str, Neighbours],
    recipe: SoftmaxRecipe,
    calibrate: bool,
    factors: Tensor | None = None,
) -> Plan:
    """Train `model` to find each product's co-purchase targets among all products, or a corrected sample of them.

    It is Twinvec's objective without positives by proximity; see `pipelines.related.softmax`.

    Args:
        model: of vectors one shorter than those to be published, if these are calibrated.
        graph: of n products.
        content: float32 [n, c].
        relations: what it aggregates over.
        recipe: of the objective and the loop.
        calibrate: whether scores are.
        factors: of each node, float32 [2n, p]; none if not given.
    """
    return Plan(
        model=model,
        features=Features(content, torch.zeros(2 * graph.products, 0) if factors is None else factors),
        graph=relations,
        objective=SoftmaxObjective(
            edge_positives(graph), draws=recipe.draws, candidates=recipe.candidates, batch=recipe.batch
        ),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        calibrate=calibrate,
    )
