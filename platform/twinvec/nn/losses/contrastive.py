"""Contrastive and triplet losses over linked pairs of nodes, each against the rest of its batch (WAML 2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional

IntArray = npt.NDArray[np.int64]


def contrastive_loss(source: Tensor, target: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """Return the mean over the pairs of −log exp(e_s·e_p / τ) / Σ_k exp(e_s·e_k / τ) (WAML 2.3, equation 1).

    k runs over all 2N nodes of the batch but the source itself, so that a pair has 2(N − 1) negatives. The printed
    equation has τ outside of the exponential, where it would cancel; it is meant as in NT-Xent, the loss that the paper
    names as its model.

    Args:
        source: e_s, vectors of the pairs' sources (sellers), [N, d].
        target: e_p, vectors of the pairs' targets (products), [N, d].
        excluded: Nodes that are no negatives of a pair, bool [N, 2N], sources first: the source itself, wherever it
            comes again, and targets it is known to be linked to. The pair's own target is never excluded.
        temperature: τ.

    Returns:
        A scalar.

    Example:
        >>> source, target = torch.eye(2), torch.eye(2)
        >>> itself = torch.cat([torch.eye(2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool)], dim=1)
        >>> round(contrastive_loss(source, target, itself, temperature=1.0).item(), 4)
        0.5514
    """
    scores = source @ torch.cat([source, target]).T / temperature
    own = len(source) + torch.arange(len(source), device=source.device)
    excluded = excluded.scatter(1, own[:, None], False)
    return functional.cross_entropy(scores.masked_fill(excluded, -torch.inf), own)


def triplet_loss(source: Tensor, target: Tensor, other: Tensor, margin: float) -> Tensor:
    """Return the mean over the pairs of max(0, margin − e_s·e_p + e_s·e_o), with one other target a pair.

    Args:
        source: e_s, [N, d].
        target: e_p, [N, d].
        other: e_o, [N, d].
        margin: Margin of the loss.

    Returns:
        A scalar.

    Example:
        >>> triplet_loss(torch.eye(2), torch.eye(2), 1 - torch.eye(2), margin=1.5).item()
        0.5
    """
    return functional.relu(margin - (source * (target - other)).sum(1)).mean()


@dataclass(frozen=True)
class PairBatch:
    """Some pairs of nodes and their loss.

    Attributes:
        seeds: Distinct nodes, int64 [seeds].
        source: Position of each pair's source in `seeds`, int64 [N].
        target: Position of each pair's target in `seeds`, int64 [N].
        excluded: As in `contrastive_loss`; empty for the triplet loss.
        other: Position of another target for each pair, int64 [N]; empty for the contrastive loss.
        scale: τ, or the margin of the triplet loss.
    """

    seeds: Tensor
    source: Tensor
    target: Tensor
    excluded: Tensor
    other: Tensor
    scale: float

    def loss(self, vectors: Tensor) -> Tensor:
        """Return the loss, a scalar, of the vectors of the seeds, [seeds, d]."""
        source, target = vectors[self.source], vectors[self.target]
        if len(self.other):
            return triplet_loss(source, target, vectors[self.other], self.scale)
        return contrastive_loss(source, target, self.excluded, self.scale)


@dataclass(frozen=True)
class PairObjective:
    """Every pair once an epoch, by the contrastive or the triplet loss.

    Attributes:
        pairs: Nodes of the sources and of the targets, int64 [pairs] each.
        linked: Nonzero where a source is linked to a target, float32 [nodes, nodes].
        others: Nodes that the triplet loss draws its other targets from, int64; None for the contrastive loss.
        batch: Pairs in a step.
        scale: τ, or the margin of the triplet loss.

    Example:
        >>> pairs = np.array([0, 1]), np.array([2, 3])
        >>> objective = PairObjective(pairs, sp.csr_array((np.ones(2), pairs), shape=(4, 4)), None, 2, 0.1)
        >>> [batch.seeds.tolist() for batch in objective.batches(np.random.default_rng(0))]
        [[0, 1, 2, 3]]
    """

    pairs: tuple[IntArray, IntArray]
    linked: sp.csr_array
    others: IntArray | None
    batch: int
    scale: float

    def batches(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """Yield the batches of one epoch, in random order."""
        order = generator.permutation(len(self.pairs[0]))
        for first in range(0, len(order), self.batch):
            chosen = order[first : first + self.batch]
            yield self._batch(self.pairs[0][chosen], self.pairs[1][chosen], generator)

    def _batch(self, source: IntArray, target: IntArray, generator: np.random.Generator) -> PairBatch:
        size = len(source)
        other = generator.choice(self.others, size) if self.others is not None else source[:0]
        seeds, inverse = np.unique(np.concatenate([source, target, other]), return_inverse=True)
        positions = torch.from_numpy(inverse)
        return PairBatch(
            torch.from_numpy(seeds),
            positions[:size],
            positions[size : 2 * size],
            torch.zeros(0)
            if len(other)
            else torch.from_numpy(excluded_negatives(source, target, self.linked)),
            positions[2 * size :],
            self.scale,
        )


def excluded_negatives(source: IntArray, target: IntArray, linked: sp.csr_array) -> npt.NDArray[np.bool_]:
    """Return which nodes of a batch are no negatives of each pair, bool [N, 2N]; see `contrastive_loss`.

    Args:
        source: Nodes of the pairs' sources, int64 [N].
        target: Nodes of the pairs' targets, int64 [N].
        linked: Nonzero where a source is linked to a target, [nodes, nodes].
    """
    distinct, inverse = np.unique(target, return_inverse=True)
    rows = linked[source]
    column = np.searchsorted(distinct, rows.indices).clip(max=len(distinct) - 1)
    in_batch = distinct[column] == rows.indices
    is_linked = np.zeros((len(source), len(distinct)), np.bool_)
    owner = np.repeat(np.arange(len(source)), np.diff(rows.indptr))
    is_linked[owner[in_batch], column[in_batch]] = True
    return np.concatenate([source[:, None] == source[None, :], is_linked[:, inverse]], axis=1)
