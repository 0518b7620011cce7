"""DAEMON: related products in directed graphs, by dual embeddings (Amazon, ECML 2022).

Written from the authors' article, whose sections are named here. The article describes the model in words. Where it
leaves a choice open, the docstring states ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.layers.mean import MeanLayer


class DAEMON(GraphEncoder):
    """Section "GNN embeddings": source and target start as the content, then two equations a layer.

    s_u ← W s_u + b + W_cp mean_{u → v} t_v + W_cv mean_{w similar to u} s_w,
    t_v ← W t_v + b + W_cp mean_{u → v} s_u + W_cv mean_{w similar to v} t_w.

    On the double cover, with co-views within a role, both are one equation: `MeanLayer`. Our choices are the means,
    the weights shared by both roles, the ReLU between layers, and the term W of the node itself. Without that term, a
    product that has no edges would have no vector of its content.

    Args:
        content: Length of a product's features.
        dimension: Length of an output vector.
        layers: Number of layers; 2 in the article.
        relations: Names of the edge types.

    Example:
        >>> import torch
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.models import DAEMON
        >>> from twinvec.nn.sampling.blocks import double_cover, within_roles
        >>> from twinvec.nn.training.inference import infer_dual
        >>> graph = {
        ...     "copurchase": double_cover(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]), products=4),
        ...     "similar": within_roles(torch.tensor([0]), torch.tensor([3]), products=4),
        ... }
        >>> features = Features(content=torch.randn(4, 6), proximity=torch.zeros(8, 0))
        >>> model = DAEMON(content=6, dimension=16, layers=2, relations=list(graph))
        >>> source, target = infer_dual(model, features, graph)
        >>> source.shape, target.shape
        (torch.Size([4, 16]), torch.Size([4, 16]))
    """

    def __init__(self, content: int, dimension: int, layers: int, relations: Sequence[str]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MeanLayer(content if index == 0 else dimension, dimension, relations) for index in range(layers)
        )

    def activation(self, vectors: Tensor) -> Tensor:
        """Apply a ReLU."""
        return torch.relu(vectors)
