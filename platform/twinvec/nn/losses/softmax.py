"""Softmax over sampled candidates, with positives drawn from a distribution over products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.losses.positives import Positives
from twinvec.nn.training.transfer import array_on


def sampled_softmax_loss(scores: Tensor, positives: Tensor, log_chance: Tensor, own: Tensor) -> Tensor:
    """Return the cross-entropy of each source's positives against a sample of candidates that contains them.

    −mean log softmax_v(s_u·t_v − log q_v). A candidate's score is lowered by the logarithm of its probability q_v of
    being in the sample (logQ correction, Bengio & Senécal 2008), so that the softmax over the sample estimates the
    softmax over the whole catalogue.

    Args:
        scores: s_u·t_v of every source and candidate, [sources, candidates].
        positives: Positions of each source's positives among the candidates, int64 [sources, positives].
        log_chance: log q_v, [candidates]; zero if every product is a candidate.
        own: Position of each source's own product among the candidates, int64 [sources], or −1. A product is not
            its own candidate.

    Returns:
        A scalar: the mean over sources and their positives.

    Example:
        >>> import torch
        >>> scores = torch.zeros(1, 5)  # five candidates score alike; one of them is the source itself
        >>> loss = sampled_softmax_loss(scores, torch.tensor([[1]]), torch.zeros(5), own=torch.tensor([0]))
        >>> round(loss.exp().item(), 4)
        4.0
    """
    scores = scores - log_chance
    blocked = own.unsqueeze(1) == torch.arange(scores.shape[1], device=scores.device)
    log_likelihood = functional.log_softmax(scores.masked_fill(blocked, -torch.inf), dim=1)
    return -log_likelihood.gather(1, positives).mean()


@dataclass(frozen=True)
class SoftmaxBatch:
    """Sources, candidate targets, and the positions of each source's positives among the candidates.

    Attributes:
        seeds: Sources, then candidates, as nodes of the double cover, int64 [sources + candidates].
        sources: Number of sources.
        positives: int64 [sources, positives].
        log_chance: float32 [candidates].
        own: int64 [sources].
    """

    seeds: Tensor
    sources: int
    positives: Tensor
    log_chance: Tensor
    own: Tensor

    def loss(self, vectors: Tensor) -> Tensor:
        """Return `sampled_softmax_loss`, a scalar, of the seeds' vectors, [seeds, d]."""
        scores = vectors[: self.sources] @ vectors[self.sources :].T
        return sampled_softmax_loss(scores, self.positives, self.log_chance, self.own)


@dataclass(frozen=True)
class SoftmaxObjective:
    """Each source's positives against all products, or a sample of them.

    Attributes:
        positives: Distribution of each source's positives.
        draws: Positives drawn a source and epoch.
        candidates: Random products a batch is scored against, beside its own positives. If there are no more products
            than this, all of them are candidates and nothing is estimated.
        batch: Sources a step.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> import torch
        >>> positives = Positives(sp.csr_array(np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32)))
        >>> objective = SoftmaxObjective(positives, draws=4, candidates=100, batch=2)
        >>> for batch in objective.batches(np.random.default_rng(0)):
        ...     print(batch.positives.shape, batch.loss(torch.zeros(len(batch.seeds), 16)).shape)
        torch.Size([2, 4]) torch.Size([])
    """

    positives: Positives
    draws: int
    candidates: int
    batch: int

    def batches(self, generator: np.random.Generator) -> Iterator[SoftmaxBatch]:
        """Yield the batches of one epoch: every source that has positives once."""
        sources = self.positives.sources()
        products = self.positives.matrix.shape[0]
        popularity = self.positives.popularity()
        device = sources.device
        order = array_on(generator.permutation(len(sources)), device)
        for chosen in torch.split(sources[order], self.batch):
            drawn = self.positives.draw(chosen, self.draws, generator)
            if products <= self.candidates:
                candidates = torch.arange(products, device=device)
                log_chance = torch.zeros(products, device=device)
            else:
                random = array_on(generator.integers(0, products, self.candidates), device)
                candidates = torch.unique(torch.cat([drawn.flatten(), random]))
                expected = drawn.numel() * popularity[candidates] + self.candidates / products
                log_chance = (-torch.expm1(-expected)).log()
            place = torch.searchsorted(candidates, drawn)
            own = torch.searchsorted(candidates, chosen).clamp_max(len(candidates) - 1)
            own = torch.where(candidates[own] == chosen, own, -1)
            yield SoftmaxBatch(
                torch.cat([chosen, candidates + products]), len(chosen), place, log_chance, own
            )
