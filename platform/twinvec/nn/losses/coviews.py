"""A softmax over undirected pairs: each end of a pair finds the other among random candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.training.transfer import array_on


def coview_loss(first: Tensor, second: Tensor, others: Tensor, excluded: Tensor, scale: float) -> Tensor:
    """Return the mean cross-entropy of finding each end of a pair from the other among `others`.

    InfoNCE (van den Oord et al., 2018) in both directions, over cosines times `scale`.

    Args:
        first, second: Vectors of the ends, unit length, [pairs, d] each.
        others: Vectors of the candidates, unit length, [candidates, d].
        excluded: Candidates that are no negatives of a pair, bool [pairs, candidates].
        scale: Factor of the cosines.

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> ends, others = torch.eye(2, 3), torch.eye(3)[2:]
        >>> round(coview_loss(ends, ends, others, torch.zeros(2, 1, dtype=torch.bool), scale=1.0).item(), 4)
        0.3133
    """
    positive = (first * second).sum(1, keepdim=True).repeat(2, 1)
    negative = (torch.cat([first, second]) @ others.T).masked_fill(excluded.repeat(2, 1), -torch.inf)
    scores = scale * torch.cat([positive, negative], dim=1)
    return functional.cross_entropy(scores, scores.new_zeros(len(scores), dtype=torch.long))


@dataclass(frozen=True)
class CoviewBatch:
    """Pairs and the candidates that they share.

    Attributes:
        seeds: Nodes of the first ends, the second ends and the candidates, distinct, int64.
        excluded: Candidates that are no negatives of a pair, bool [pairs, candidates].
        scale: Factor of the cosines.
    """

    seeds: Tensor
    excluded: Tensor
    scale: float

    def loss(self, vectors: Tensor) -> Tensor:
        """Return `coview_loss`, a scalar, of the seeds' vectors, [seeds, d]."""
        pairs, candidates = self.excluded.shape
        first, second, others = torch.split(vectors, [pairs, pairs, candidates])
        return coview_loss(first, second, others, self.excluded, self.scale)


@dataclass(frozen=True)
class CoviewObjective:
    """A sample of pairs in each epoch, against random candidates that a step's pairs share.

    Node p + `offset` is the first end of pair p, and node p + `offset` + pairs its second end, as in
    `twinvec.nn.models.alignment.CoviewMeans`.

    Attributes:
        first, second: Products at the pairs' ends, int64 [pairs].
        candidates: Products that candidates are drawn from, int64.
        offset: Node of the first pair's first end.
        pool: Candidates a step.
        most: Pairs an epoch; all of them if there are no more.
        scale: Factor of the cosines.
        batch: Pairs a step.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> first, second = torch.tensor([0, 0, 2]), torch.tensor([1, 2, 1])
        >>> objective = CoviewObjective(
        ...     first, second, torch.arange(4), offset=4, pool=3, most=10, scale=20.0, batch=2
        ... )
        >>> for batch in objective.batches(np.random.default_rng(0)):
        ...     print(batch.excluded.shape, batch.loss(torch.zeros(len(batch.seeds), 16)).shape)
        torch.Size([2, 3]) torch.Size([])
        torch.Size([1, 3]) torch.Size([])
    """

    first: Tensor
    second: Tensor
    candidates: Tensor
    offset: int
    pool: int
    most: int
    scale: float
    batch: int

    def batches(self, generator: np.random.Generator) -> Iterator[CoviewBatch]:
        """Yield the batches of one epoch, every pair at most once."""
        pairs = len(self.first)
        device = self.first.device
        order = array_on(generator.choice(pairs, min(self.most, pairs), replace=False), device)
        for chosen in torch.split(order, self.batch):
            drawn = generator.choice(
                len(self.candidates), min(self.pool, len(self.candidates)), replace=False
            )
            pool = self.candidates[array_on(drawn, device)]
            excluded = (pool == self.first[chosen, None]) | (pool == self.second[chosen, None])
            ends = chosen + self.offset
            yield CoviewBatch(torch.cat([ends, ends + pairs, pool]), excluded, self.scale)
