"""The source and target vectors of every product, exactly."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.nn.training import inference


def infer(
    model: GraphEncoder, features: Features, graph: Mapping[str, Neighbours], chunk: int = 65_536
) -> tuple[Tensor, Tensor]:
    """Source and target vectors of all n products, float32 [n, dimension] each; see `training.inference`.

    Args:
        model: the encoder, left in evaluation mode.
        features: of the n products.
        graph: relation → neighbours of the 2n nodes of the double cover.
        chunk: nodes worked on at once.
    """
    vectors = inference.infer(model, features, graph, chunk)
    return vectors[: features.products], vectors[features.products :]
