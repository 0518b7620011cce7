"""MagNet (Zhang et al., NeurIPS 2021): graph convolution by the magnetic Laplacian, whose phase is the direction."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.baselines.problem import RankingProblem, counts
from twinvec.metrics.scores import DotProducts
from twinvec.nn.losses.positives import Positives
from twinvec.nn.losses.softmax import SoftmaxObjective

# The library's defaults: phase of a one-way edge in turns, order of the filter, layers. There is no
# dropout before the last layer, and another learning rate: with both, validation edges ranked higher.
PHASE, ORDER, LAYERS = 0.25, 1, 2
EPOCHS, LEARNING_RATE, WEIGHT_DECAY = 100, 0.003, 5e-4
DRAWS, CANDIDATES, BATCH = 4, 8192, 1024


class MagNet(nn.Module):
    """Encoder of the library, with a linear map of its output for each role.

    MagNet classifies an edge by a linear function of both ends' vectors side by side. That is one number of the
    source plus one of the target, which ranks the same targets first for every source. Here the score is the dot
    product of two linear functions of the real and imaginary parts.

    Args:
        edges: int64 [2, e].
        content: Content of the products, float32 [n, c]. Each product has a learned vector beside it: without any
            content, all products of one neighbourhood would be the same.
        dimension: Length of the vectors of each layer and of each role, d.
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
        """Return the vectors of all products as sources and as targets, float32 [n, d] each."""
        real = imaginary = torch.cat([self.content, self.own], dim=1)
        for convolution in self.convolutions:
            real, imaginary = convolution(real, imaginary, self.edges)
            # Complex ReLU: values with a negative real part become zero.
            positive = real >= 0
            real, imaginary = real * positive, imaginary * positive
        both = torch.cat([real, imaginary], dim=1)
        return self.source(both), self.target(both)


def magnet(problem: RankingProblem) -> DotProducts:
    """Train MagNet's encoder on the co-purchases by a softmax over sampled targets, as Twinvec's own models are."""
    copurchase, products = problem.graph.copurchase, problem.graph.products
    seen = counts(copurchase, products)
    share = seen.multiply(1 / np.maximum(seen.sum(1), 1)[:, None]).tocsr()
    objective = SoftmaxObjective(Positives(share), DRAWS, CANDIDATES, BATCH)
    edges = torch.from_numpy(np.stack([copurchase.source, copurchase.target]))
    content = [torch.from_numpy(vectors) for vectors in problem.content.values()]
    random = np.random.default_rng(problem.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(problem.seed)
        model = MagNet(edges, torch.cat([*content, torch.zeros(products, 0)], dim=1), problem.dimension)
        optimiser = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(EPOCHS):
            for batch in objective.batches(random):
                optimiser.zero_grad()
                batch.loss(torch.cat(model())[batch.seeds]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    with torch.no_grad():
        return DotProducts(*model())
