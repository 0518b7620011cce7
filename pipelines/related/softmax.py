"""A softmax over sampled candidates, with positives drawn from a distribution over products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.related.data import Positives


def sampled_softmax_loss(scores: Tensor, positives: Tensor, log_chance: Tensor, own: Tensor) -> Tensor:
    """Cross-entropy of each source's positives against a sample of candidates they are among.

    Each candidate's score is lowered by the logarithm of its chance to be in the sample (logQ correction, Bengio &
    Senécal 2008), so that the sample's softmax estimates that of the whole catalogue.

    Args:
        scores: s_u·t_v of every source and candidate, [sources, candidates].
        positives: positions of each source's positives among the candidates, int64 [sources, positives].
        log_chance: [candidates]; zero where every product is a candidate.
        own: position of each source's own product among the candidates, int64 [sources], or −1; a product is not
            its own candidate.

    Returns:
        A scalar: the mean over sources and their positives.
    """
    scores = scores - log_chance
    rows = (own >= 0).nonzero().squeeze(1)
    blocked = torch.zeros_like(scores, dtype=torch.bool)
    blocked[rows, own[rows]] = True
    log_likelihood = functional.log_softmax(scores.masked_fill(blocked, -torch.inf), dim=1)
    return -log_likelihood.gather(1, positives).mean()


@dataclass(frozen=True)
class SoftmaxBatch:
    """Sources, then candidate targets, and which of the candidates are each source's positives."""

    seeds: Tensor
    sources: int
    positives: Tensor
    log_chance: Tensor
    own: Tensor

    def loss(self, vectors: Tensor) -> Tensor:
        """Sampled softmax with logQ correction."""
        scores = vectors[: self.sources] @ vectors[self.sources :].T
        device = scores.device
        return sampled_softmax_loss(
            scores, self.positives.to(device), self.log_chance.to(device), self.own.to(device)
        )


@dataclass(frozen=True)
class SoftmaxObjective:
    """Each source's positives against all products, or a sample of them.

    Attributes:
        positives: what each source is to be near to.
        draws: positives drawn a source and epoch.
        candidates: random products a batch is scored against, beside its own positives; with no more products than
            this, all of them are candidates and nothing is estimated.
        batch: sources a step.
    """

    positives: Positives
    draws: int
    candidates: int
    batch: int

    def batches(self, generator: np.random.Generator) -> Iterator[SoftmaxBatch]:
        """One epoch: every source that has positives once."""
        sources = self.positives.sources()
        products = self.positives.matrix.shape[0]
        popularity = self.positives.popularity()
        order = torch.from_numpy(generator.permutation(len(sources)))
        for chosen in torch.split(sources[order], self.batch):
            drawn = self.positives.draw(chosen, self.draws, generator)
            if products <= self.candidates:
                candidates = torch.arange(products)
                log_chance = torch.zeros(products)
            else:
                random = torch.from_numpy(generator.integers(0, products, self.candidates))
                candidates = torch.unique(torch.cat([drawn.flatten(), random]))
                expected = drawn.numel() * popularity[candidates] + self.candidates / products
                log_chance = (-torch.expm1(-expected)).log()
            place = torch.searchsorted(candidates, drawn)
            own = torch.searchsorted(candidates, chosen).clamp_max(len(candidates) - 1)
            own = torch.where(candidates[own] == chosen, own, -1)
            yield SoftmaxBatch(
                torch.cat([chosen, candidates + products]), len(chosen), place, log_chance, own
            )
