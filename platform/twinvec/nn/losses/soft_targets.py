"""Softmax against a distribution over all products, of which a step sees a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn.losses.positives import Positives
from twinvec.nn.training.transfer import array_on


def soft_target_loss(scores: Tensor, target: Tensor, chance: Tensor, own: Tensor) -> Tensor:
    """Return the cross-entropy of each source's distribution over products, by a sample of candidates.

    −Σ_v p(v | u) log softmax_v(s_u·t_v), where both sums over products, that of the loss and that within the softmax,
    are estimated from the sample: a candidate counts 1 / q(v | u) times. q(v | u) is its probability of being in the
    sample of a step that has source u. As u draws one candidate from p(· | u) itself, this is more than the
    probability q_v in the sample of any other step (Khrylchenko et al., RecSys 2025, correct logQ likewise):

        q(v | u) = 1 − (1 − q_v)(1 − p(v | u))

    Args:
        scores: s_u·t_v of every source and candidate, float32 [sources, candidates].
        target: p(v | u) of the candidates, float32 [sources, candidates], over zero somewhere in each row.
        chance: q_v, float32 [candidates]; one if every product is a candidate.
        own: Position of each source's own product among the candidates, int64 [sources], or −1. A product is not
            its own candidate.

    Returns:
        A scalar: the mean over sources.

    Example:
        >>> import torch
        >>> scores = torch.zeros(1, 5)  # five candidates score alike; one of them is the source itself
        >>> target = torch.tensor([[0.0, 0.5, 0.5, 0.0, 0.0]])
        >>> loss = soft_target_loss(scores, target, torch.ones(5), own=torch.tensor([0]))
        >>> round(loss.exp().item(), 4)
        4.0
    """
    in_sample = 1 - (1 - chance) * (1 - target)
    blocked = own.unsqueeze(1) == torch.arange(scores.shape[1], device=scores.device)
    logits = (scores - in_sample.log()).masked_fill(blocked, torch.finfo(scores.dtype).min)
    weight = target / in_sample
    weight = weight / weight.sum(1, keepdim=True)
    return -(weight * functional.log_softmax(logits, dim=1)).sum(1).mean()


@dataclass(frozen=True)
class SoftTargetBatch:
    """Sources, candidate targets, and the distribution of each source over the candidates.

    Attributes:
        seeds: Sources, then candidates, as nodes of the double cover, int64 [sources + candidates].
        sources: Number of sources.
        target: float32 [sources, candidates].
        chance: float32 [candidates].
        own: int64 [sources].
    """

    seeds: Tensor
    sources: int
    target: Tensor
    chance: Tensor
    own: Tensor

    def loss(self, vectors: Tensor) -> Tensor:
        """Return `soft_target_loss`, a scalar, of the seeds' vectors, [seeds, d]."""
        scores = vectors[: self.sources] @ vectors[self.sources :].T
        return soft_target_loss(scores, self.target, self.chance, self.own)


@dataclass(frozen=True)
class SoftTargetObjective:
    """Each source's distribution over products against the model's.

    A step's candidates are one product drawn from each source's distribution, and random ones; all sources share them.

    Attributes:
        positives: Distribution of each source.
        candidates: Random candidates of a step. If there are no more products than this, all of them are candidates
            and nothing is estimated.
        batch: Sources a step.

    Example:
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> import torch
        >>> positives = Positives(sp.csr_array(np.array([[0, 1, 0], [0, 0, 0], [0.5, 0.5, 0]], np.float32)))
        >>> objective = SoftTargetObjective(positives, candidates=100, batch=2)
        >>> for batch in objective.batches(np.random.default_rng(0)):
        ...     print(batch.target.shape, batch.loss(torch.zeros(len(batch.seeds), 16)).shape)
        torch.Size([2, 3]) torch.Size([])
    """

    positives: Positives
    candidates: int
    batch: int

    def batches(self, generator: np.random.Generator) -> Iterator[SoftTargetBatch]:
        """Yield the batches of one epoch: every source that has positives once."""
        sources = self.positives.sources()
        products = self.positives.matrix.shape[0]
        popularity = self.positives.popularity()
        device = sources.device
        order = array_on(generator.permutation(len(sources)), device)
        for chosen in torch.split(sources[order], self.batch):
            if products <= self.candidates:
                candidates = torch.arange(products, device=device)
                chance = torch.ones(products, device=device)
            else:
                drawn = self.positives.draw(chosen, 1, generator)
                random = array_on(generator.integers(0, products, self.candidates), device)
                candidates = torch.unique(torch.cat([drawn.flatten(), random]))
                expected = len(chosen) * popularity[candidates] + self.candidates / products
                chance = -torch.expm1(-expected)
            own = torch.searchsorted(candidates, chosen).clamp_max(len(candidates) - 1)
            yield SoftTargetBatch(
                seeds=torch.cat([chosen, candidates + products]),
                sources=len(chosen),
                target=self.positives.among(chosen, candidates),
                chance=chance,
                own=torch.where(candidates[own] == chosen, own, -1),
            )
