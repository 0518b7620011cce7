"""MERLIN's margin loss with random negatives (3.5, 3.6.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.sampling.aggregation import rows_at


def margin_loss(source: Tensor, target: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """loss_pt of MERLIN 3.5 and loss_tr of 3.6.3: mean of max(0, M − s_u·t_v + s_u·t_z) over pairs and negatives.

    The paper puts a minus sign before a sum that is minimised; the hinge itself is what is minimised. The
    mean in place of the sum makes the learning rate independent of the batch.

    Args:
        source: s_u, [pairs, d].
        target: t_v, [pairs, d].
        negatives: t_z, [pairs, negatives, d].
        margin: M.

    Returns:
        A scalar.
    """
    positive = (source * target).sum(1, keepdim=True)
    negative = torch.einsum("pd,pnd->pn", source, negatives)
    return functional.relu(margin - positive + negative).mean()


@dataclass(frozen=True)
class MarginBatch:
    """Positive pairs and their negatives, as positions among the seeds."""

    seeds: Tensor
    source: Tensor
    target: Tensor
    negatives: Tensor
    margin: float

    def loss(self, vectors: Tensor) -> Tensor:
        """The margin loss."""
        source, target, negatives = (
            rows_at(vectors, place.to(vectors.device)) for place in (self.source, self.target, self.negatives)
        )
        return margin_loss(source, target, negatives, self.margin)


@dataclass(frozen=True)
class MarginObjective:
    """Each edge against `negatives` products drawn from all.

    The edges of a step take theirs from some products drawn for the step: each is as likely to be an edge's negative
    as if it was drawn for that edge alone, and a step has that many fewer neighbourhoods to sample and to sum.

    Attributes:
        source, target: the edges, int64 [edges], products.
        products: how many products there are.
        target_offset: what is added to a product to get its node as a target: `products` on the double cover of
            the graph, 0 where a product is one node.
        negatives: drawn an edge.
        pool: products drawn a step, at least 2, for its edges to take their negatives from.
        margin: M.
        batch: edges a step.
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
        """One epoch: every edge once."""
        order = torch.from_numpy(generator.permutation(len(self.source)))
        for chosen in torch.split(order, self.batch):
            source, target = self.source[chosen], self.target[chosen]
            pool = generator.choice(self.products, min(self.pool, self.products), replace=False)
            choice = generator.integers(0, len(pool), (len(chosen), self.negatives))
            # A product is never its own negative: the next of the pool is, which is as likely to be any other.
            own = pool[choice] == source.unsqueeze(1).numpy()
            negatives = torch.from_numpy(pool[(choice + own) % len(pool)])
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
