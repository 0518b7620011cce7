"""MERLIN's margin loss with random negatives (Sections 3.5 and 3.6.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.sampling.aggregation import rows_at
from twinvec.nn.training.transfer import array_on


def margin_loss(source: Tensor, target: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Return loss_pt of MERLIN 3.5 and loss_tr of 3.6.3: the mean of max(0, M − s_u·t_v + s_u·t_z).

    The mean is over pairs and negatives; it makes the learning rate independent of the batch. The paper puts a minus
    sign before a sum that is minimised; here the hinge itself is minimised.

    Args:
        source: s_u, [pairs, d].
        target: t_v, [pairs, d].
        negatives: t_z, [pairs, negatives, d].
        margin: M.

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> source, target = torch.eye(2), torch.eye(2)
        >>> margin_loss(source, target, negatives=-target.unsqueeze(1), margin=1.0).item()
        0.0
    """
    positive = (source * target).sum(1, keepdim=True)
    negative = torch.einsum("pd,pnd->pn", source, negatives)
    return functional.relu(margin - positive + negative).mean()


@dataclass(frozen=True)
class MarginBatch:
    """Positive pairs and their negatives, as positions among the seeds.

    Attributes:
        seeds: Distinct nodes, int64.
        source, target: int64 [pairs].
        negatives: int64 [pairs, negatives].
        margin: M of `margin_loss`.
    """

    seeds: Tensor
    source: Tensor
    target: Tensor
    negatives: Tensor
    margin: float

    def loss(self, vectors: Tensor) -> Tensor:
        """Return `margin_loss`, a scalar, of the seeds' vectors, [seeds, d]."""
        source, target, negatives = (
            rows_at(vectors, place) for place in (self.source, self.target, self.negatives)
        )
        return margin_loss(source, target, negatives, self.margin)


@dataclass(frozen=True)
class MarginObjective:
    """Each edge against `negatives` products drawn from all.

    The edges of a step take their negatives from a pool of products drawn for the step. Each product is as likely to
    be an edge's negative as if it was drawn for that edge alone, and a step has fewer neighbourhoods to sample.

    Attributes:
        source, target: Products at the edges' ends, int64 [edges].
        products: Number of products.
        target_offset: Offset from a product to its node as a target: `products` on the double cover of the graph, 0
            if a product is one node.
        negatives: Negatives drawn an edge.
        pool: Size of the pool, at least 2.
        margin: M of `margin_loss`.
        batch: Edges a step.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> objective = MarginObjective(
        ...     torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1]),
        ...     products=4, target_offset=4, negatives=5, pool=4, margin=1.0, batch=2,
        ... )
        >>> for batch in objective.batches(np.random.default_rng(0)):
        ...     print(batch.negatives.shape, batch.loss(torch.zeros(len(batch.seeds), 16)).shape)
        torch.Size([2, 5]) torch.Size([])
        torch.Size([1, 5]) torch.Size([])
    """

    source: Tensor
    target: Tensor
    products: int
    target_offset: int
    negatives: int
    pool: int
    margin: float
    batch: int

    def batches(self, generator: np.random.Generator) -> Iterator[MarginBatch]:
        """Yield the batches of one epoch: every edge once."""
        device = self.source.device
        order = array_on(generator.permutation(len(self.source)), device)
        for chosen in torch.split(order, self.batch):
            source, target = self.source[chosen], self.target[chosen]
            drawn = generator.choice(self.products, min(self.pool, self.products), replace=False)
            pool = array_on(drawn, device)
            choice = array_on(generator.integers(0, len(pool), (len(chosen), self.negatives)), device)
            # A product is never its own negative: the next of the pool is, which is as likely to be any other.
            own = pool[choice] == source.unsqueeze(1)
            negatives = pool[(choice + own) % len(pool)]
            nodes = torch.cat([source, target + self.target_offset, negatives.flatten() + self.target_offset])
            seeds, place = torch.unique(nodes, return_inverse=True)
            count = len(chosen)
            yield MarginBatch(
                seeds,
                place[:count],
                place[count : 2 * count],
                place[2 * count :].view(count, self.negatives),
                self.margin,
            )
