"""GraphSAGE with the mean aggregator (Hamilton, Ying & Leskovec, NeurIPS 2017), on the double cover.

https://arxiv.org/abs/1706.02216. The layers of DGL and PyG take graph objects of these libraries. This one takes two
tensors a relation, as blocks and exported models have them, and can be exported without either library.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from twinvec.nn.layers.mean import MeanLayer
from twinvec.nn.models.content_encoder import ContentEncoder


class GraphSAGE(ContentEncoder):
    """Content through a linear map of the role, then `MeanLayer`s with a ReLU between them.

    Args:
        content: Length of a product's features.
        dimension: Length of an output vector.
        layers: Number of layers.
        relations: Names of the edge types.

    Example:
        >>> import torch
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.models import GraphSAGE
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> from twinvec.nn.training.inference import infer_dual
        >>> copurchase = double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4)
        >>> features = Features(content=torch.randn(4, 6), proximity=torch.zeros(8, 0))
        >>> model = GraphSAGE(content=6, dimension=16, layers=2, relations=["copurchase"])
        >>> source, target = infer_dual(model, features, {"copurchase": copurchase})
        >>> source.shape, target.shape
        (torch.Size([4, 16]), torch.Size([4, 16]))
    """

    def __init__(self, content: int, dimension: int, layers: int, relations: Sequence[str]) -> None:
        super().__init__(content, dimension)
        self.layers = nn.ModuleList(MeanLayer(dimension, dimension, relations) for _ in range(layers))

    def activation(self, vectors: Tensor) -> Tensor:
        """Apply a ReLU."""
        return torch.relu(vectors)
