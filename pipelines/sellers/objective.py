"""What WAML's blocks are trained on: offers against all else in their batch (WAML 2.3)."""

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


def contrastive_loss(seller: Tensor, product: Tensor, left_out: Tensor, temperature: float) -> Tensor:
    """Mean over the pairs of −log exp(e_s·e_p / τ) / Σ_k exp(e_s·e_k / τ) (2.3, equation 1).

    k runs over all 2N nodes of the batch but the seller itself, so that a pair has 2(N − 1) negatives. The printed
    equation has τ outside of the exponential, where it would cancel; it is meant as in the loss that the paper names
    as its model, NT-Xent.

    Args:
        seller, product: vectors of the pairs' ends, [N, d] each.
        left_out: which nodes are no negatives of a pair, bool [N, 2N], sellers first: the seller itself, wherever it
            comes again, and products that it is known to offer. The pair's own product does not count.
        temperature: τ.
    """
    scores = seller @ torch.cat([seller, product]).T / temperature
    own = len(seller) + torch.arange(len(seller), device=seller.device)
    left_out = left_out.scatter(1, own[:, None], False)
    return functional.cross_entropy(scores.masked_fill(left_out, -torch.inf), own)


def triplet_loss(seller: Tensor, product: Tensor, other: Tensor, margin: float) -> Tensor:
    """Mean over the pairs of max(0, margin − e_s·e_p + e_s·e_o) with one other product a pair; all [N, d]."""
    return functional.relu(margin - (seller * (product - other)).sum(1)).mean()


@dataclass(frozen=True)
class OfferBatch:
    """Some offers.

    Attributes:
        seeds: distinct nodes, int64 [seeds].
        seller, product: of each pair, positions in `seeds`, int64 [N] each.
        left_out: as `contrastive_loss` has it; empty for a triplet loss.
        other: another product a pair, a position in `seeds`; empty for a contrastive loss.
        scale: τ, or the margin of the triplet loss.
    """

    seeds: Tensor
    seller: Tensor
    product: Tensor
    left_out: Tensor
    other: Tensor
    scale: float

    def loss(self, vectors: Tensor) -> Tensor:
        """The loss, a scalar, of the vectors of the seeds, [seeds, d]."""
        device = vectors.device
        seller, product = vectors[self.seller.to(device)], vectors[self.product.to(device)]
        if len(self.other):
            return triplet_loss(seller, product, vectors[self.other.to(device)], self.scale)
        return contrastive_loss(seller, product, self.left_out.to(device), self.scale)


@dataclass(frozen=True)
class OfferObjective:
    """Every training offer once an epoch.

    Attributes:
        offers: nodes of sellers and products, int64 [offers] each.
        known: the same as a matrix, float32 [nodes, nodes].
        others: products to draw from for the triplet loss, nodes, int64; none for the contrastive one.
        batch: offers in a step.
        scale: τ, or the margin.
    """

    offers: tuple[IntArray, IntArray]
    known: sp.csr_array
    others: IntArray | None
    batch: int
    scale: float

    def batches(self, generator: np.random.Generator) -> Iterator[OfferBatch]:
        """One epoch's batches, in random order."""
        order = generator.permutation(len(self.offers[0]))
        for first in range(0, len(order), self.batch):
            chosen = order[first : first + self.batch]
            yield self._batch(self.offers[0][chosen], self.offers[1][chosen], generator)

    def _batch(self, seller: IntArray, product: IntArray, generator: np.random.Generator) -> OfferBatch:
        size = len(seller)
        other = generator.choice(self.others, size) if self.others is not None else seller[:0]
        seeds, place = np.unique(np.concatenate([seller, product, other]), return_inverse=True)
        places = torch.from_numpy(place)
        return OfferBatch(
            torch.from_numpy(seeds),
            places[:size],
            places[size : 2 * size],
            torch.zeros(0) if len(other) else torch.from_numpy(left_out(seller, product, self.known)),
            places[2 * size :],
            self.scale,
        )


def left_out(seller: IntArray, product: IntArray, known: sp.csr_array) -> npt.NDArray[np.bool_]:
    """Which nodes of a batch are no negatives of a pair's seller, bool [N, 2N]; see `contrastive_loss`.

    Args:
        seller, product: nodes of the pairs, int64 [N] each.
        known: nonzero where a seller offers a product, [nodes, nodes].
    """
    distinct, place = np.unique(product, return_inverse=True)
    rows = known[seller]
    found = np.searchsorted(distinct, rows.indices).clip(max=len(distinct) - 1)
    inside = distinct[found] == rows.indices
    offered = np.zeros((len(seller), len(distinct)), np.bool_)
    owner = np.repeat(np.arange(len(seller)), np.diff(rows.indptr))
    offered[owner[inside], found[inside]] = True
    return np.concatenate([seller[:, None] == seller[None, :], offered[:, place]], axis=1)
