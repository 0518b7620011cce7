"""Graded relevance among listings: the same product, its substitutes, and the rest (ProductSIM 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

EXACT, SUBSTITUTE = 1.0, 0.25
"""Gains of another listing of the product, and of a listing of its family (5)."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Groups = npt.NDArray[np.integer[Any]]
"""Numbers of groups, in 32 or 64 bits."""


@dataclass(frozen=True)
class Graded:
    """Rankings of all other listings for each of n, by their vectors.

    Attributes:
        top: Best k listings of each, int64 [n, k].
        scores: Their cosines, float64 [n, k].
        exact, related: Whether each is of the product, and of its family, bool [n, k].
        exacts, relateds: Number of other listings of the product, and of its family, int64 [n].
    """

    top: Ints
    scores: Floats
    exact: npt.NDArray[np.bool_]
    related: npt.NDArray[np.bool_]
    exacts: Ints
    relateds: Ints

    @property
    def recall(self) -> Floats:
        """Recall@k of the family, [n]: found of those that k places can hold; NaN where there are none."""
        return _share(self.related.sum(1), np.minimum(self.relateds, self.related.shape[1]))

    @property
    def exact_recall(self) -> Floats:
        """Recall@k of the product alone, [n]; NaN where it has no other listing."""
        return _share(self.exact.sum(1), np.minimum(self.exacts, self.exact.shape[1]))

    @property
    def ndcg(self) -> Floats:
        """nDCG@k with the gains `EXACT` and `SUBSTITUTE`, [n]; NaN where there is nothing to find."""
        k = self.related.shape[1]
        discounts = 1 / np.log2(np.arange(2, k + 2))
        gains = np.where(self.exact, EXACT, np.where(self.related, SUBSTITUTE, 0.0))
        sums = np.concatenate([[0.0], np.cumsum(discounts)])
        best, all_best = sums[np.minimum(self.exacts, k)], sums[np.minimum(self.relateds, k)]
        return _share(gains @ discounts, EXACT * best + SUBSTITUTE * (all_best - best))


@torch.inference_mode()
def rank_graded(vectors: Tensor, products: Groups, families: Groups, k: int, chunk: int = 1024) -> Graded:
    """Rank all other listings for each, exactly, a chunk of listings at a time.

    Args:
        vectors: Unit vectors, float32 [n, d].
        products: Product of each listing, int32 or int64 [n].
        families: Family of each listing, int32 or int64 [n]; a product is in one family.
        k: Length of the rankings; at most n − 1 are given, none for one listing or no listing.
        chunk: Listings ranked at once.

    Example:
        >>> vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.6, 0.4], [0.0, 1.0]]))
        >>> graded = rank_graded(vectors, np.array([0, 0, 1, 2]), np.array([0, 0, 0, 1]), k=2)
        >>> graded.recall, graded.ndcg.round(2)
        (array([ 1.,  1.,  1., nan]), array([ 1.,  1.,  1., nan]))
    """
    k = max(0, min(k, len(vectors) - 1))
    tops, scores = [], []
    for first in range(0, max(1, len(vectors)), chunk):
        cosines = vectors[first : first + chunk] @ vectors.T
        rows = torch.arange(len(cosines), device=cosines.device)
        cosines[rows, rows + first] = -torch.inf
        best = torch.topk(cosines, k)
        tops.append(best.indices.cpu())
        scores.append(best.values.double().cpu())
    top = torch.cat(tops).numpy()
    return Graded(
        top=top,
        scores=torch.cat(scores).numpy(),
        exact=products[top] == products[:, None],
        related=families[top] == families[:, None],
        exacts=_sizes(products) - 1,
        relateds=_sizes(families) - 1,
    )


def best_threshold(scores: Floats, true: npt.NDArray[np.bool_], total: int) -> float:
    """Return the score from which on a pair counts as true for the best F1.

    Args:
        scores: Scores of the pairs that were found, any shape.
        true: Whether each is true, of that shape.
        total: Number of true pairs, found or not.
    """
    order = np.argsort(-scores, axis=None)
    hits = np.cumsum(true.ravel()[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + total)
    return float(scores.ravel()[order[int(np.argmax(f1))]])


def _sizes(groups: Groups) -> Ints:
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return counts[place].astype(np.int64)


def _share(part: npt.NDArray[np.generic], whole: npt.NDArray[np.generic]) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Floats = np.where(whole > 0, part / whole, np.nan)  # type: ignore[operator]
    return shares
