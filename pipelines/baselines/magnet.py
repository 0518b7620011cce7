"""MagNet (Zhang et al., NeurIPS 2021): a graph convolution by the magnetic Laplacian, whose phase is the direction."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.baselines.problem import Given, counts
from pipelines.related.data import Positives
from pipelines.related.softmax import SoftmaxObjective
from twinvec.metrics.scores import DotProducts

# The library's defaults: phase of a one-way edge in turns, order of the filter, layers. The dropout before its last
# layer was left out, and the learning rate chosen, since validation edges were found better so.
PHASE, ORDER, LAYERS = 0.25, 1, 2
EPOCHS, LEARNING_RATE, WEIGHT_DECAY = 100, 0.003, 5e-4
DRAWS, CANDIDATES, BATCH = 4, 8192, 1024


class MagNet(nn.Module):
    """The library's encoder, and a vector for each role of what it gives.

    MagNet classifies an edge by a linear function of its ends' vectors side by side. That is one number of the source
    plus one of the target, which ranks the same targets first for every source; so what ranks here is the dot product
    of two linear functions of the real and imaginary parts.

    Args:
        edges: int64 [2, e].
        content: float32 [n, c]; beside it each product has a vector that is learned, as without any content all
            products of one neighbourhood would be the same.
        dimension: length of each layer's vectors and of those of either role, d.
    """

    def __init__(self, edges: Tensor, content: Tensor, dimension: int) -> None:
        from torch_geometric_signed_directed.nn.directed import MagNetConv  # an optional dependency

        super().__init__()
        self.edges, self.content = edges, content
        self.own = nn.Parameter(torch.randn(len(content), dimension) / dimension**0.5)
        widths = [content.shape[1] + dimension, *[dimension] * LAYERS]
        self.convolutions = nn.ModuleList(
            MagNetConv(before, after, K=ORDER, q=PHASE, trainable_q=False, cached=True)
            for before, after in pairwise(widths)
        )
        self.source = nn.Linear(2 * dimension, dimension)
        self.target = nn.Linear(2 * dimension, dimension)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Vectors of all products as sources and as targets, [n, d] each."""
        real = imaginary = torch.cat([self.content, self.own], dim=1)
        for convolution in self.convolutions:
            real, imaginary = convolution(real, imaginary, self.edges)
            # Complex ReLU: what has a negative real part is zero.
            positive = real >= 0
            real, imaginary = real * positive, imaginary * positive
        both = torch.cat([real, imaginary], dim=1)
        return self.source(both), self.target(both)


def magnet(given: Given) -> DotProducts:
    """MagNet's encoder trained on the co-purchases by a softmax over sampled targets, as our own models are."""
    copurchase, products = given.graph.copurchase, given.graph.products
    seen = counts(copurchase, products)
    share = seen.multiply(1 / np.maximum(seen.sum(1), 1)[:, None]).tocsr()
    objective = SoftmaxObjective(Positives(share), DRAWS, CANDIDATES, BATCH)
    edges = torch.from_numpy(np.stack([copurchase.source, copurchase.target]))
    content = [torch.from_numpy(vectors) for vectors in given.content.values()]
    random = np.random.default_rng(given.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed)
        model = MagNet(edges, torch.cat([*content, torch.zeros(products, 0)], dim=1), given.dimension)
        optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(EPOCHS):
            for batch in objective.batches(random):
                optimiser.zero_grad()
                batch.loss(torch.cat(model())[batch.seeds]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    with torch.no_grad():
        return DotProducts(*model())
