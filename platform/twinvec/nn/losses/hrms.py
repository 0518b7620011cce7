"""Hierarchical ranked multi-similarity (HRMS), a loss for several levels of "the same" (ProductSIM 2.4 and 2.5).

It is built on pytorch-metric-learning: any of its distances and reducers can be used, and any of its miners, one for
each level. The differences from that library's `MultiSimilarityLoss` and `MultiSimilarityMiner` at one level are:

- the similarity is the negative Euclidean distance of unit vectors, −2 to 0, in place of the cosine;
- the mean is over the anchors that have a pair, in place of all anchors;
- all levels are mined and summed at once, and no pair is positive at one level and negative at another.

This module is not imported by `twinvec.nn.losses`: pytorch-metric-learning takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from pytorch_metric_learning.distances import LpDistance
from torch import Tensor, nn
from torch.nn import functional

IndexPairs: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""Pairs of a level as a miner gives them: anchors and positives, anchors and negatives, int64 [pairs] each."""
Deconflict: TypeAlias = Literal["mined", "labelled", "never"]


@dataclass(frozen=True)
class Level:
    """Parameters of one level of the hierarchy.

    Attributes:
        alpha: α^l, the sharpness of the positive pairs' weights.
        beta: β^l, the sharpness of the negative pairs' weights.
        epsilon: ε^l, the margin of the miner. A finer level has the smaller one.
        weight: Factor of the level's loss in the sum, which the paper does not have.
    """

    alpha: float
    beta: float
    epsilon: float
    weight: float = 1.0


LEVELS = (Level(2.0, 40.0, 0.05), Level(1.0, 20.0, 0.1), Level(0.5, 10.0, 0.2))
"""Three levels, the finest first: α and β fall and ε rises with the size of the groups (2.4, 2.5)."""


class EuclideanDistance(LpDistance):  # type: ignore[misc]  # the library has no types
    """Euclidean distance by one matrix product, whose gradient is several times faster than that of `torch.cdist`.

    Squared distances below 10⁻⁶, which rounding decides, count as 10⁻⁶ and have no gradient.
    """

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """Return the distances of all pairs, [n, m]."""
        squares = query_emb.square().sum(1, keepdim=True) + ref_emb.square().sum(1)
        return torch.addmm(squares, query_emb, ref_emb.T, alpha=-2.0).clamp_min(1e-6).sqrt()


def mine(
    similarity: Tensor, labels: Tensor, epsilon: Sequence[float], deconflict: Deconflict = "mined"
) -> tuple[Tensor, Tensor]:
    """Select the hard pairs of each level, and take conflicts out (ProductSIM, equation 2).

    A pair of one group is selected if it is less similar than ε above the anchor's most similar other item; a pair of
    two groups, if it is more similar than ε below the anchor's least similar item of its group.

    Args:
        similarity: S, [n, n].
        labels: Group of each item at each level, [n, levels].
        epsilon: ε of each level.
        deconflict: Negative pairs that are dropped: `mined`, those selected as positive at any level (the paper's
            words); `labelled`, those in one group at any level, selected or not; `never`, none.

    Returns:
        Masks of the positive and of the negative pairs, bool [levels, n, n].
    """
    groups = labels.T
    same = groups.unsqueeze(2) == groups.unsqueeze(1)
    different = ~same
    same.diagonal(dim1=1, dim2=2).fill_(False)
    least, most = torch.finfo(similarity.dtype).min, torch.finfo(similarity.dtype).max
    margin = similarity.new_tensor(list(epsilon)).view(-1, 1, 1)
    with torch.no_grad():
        hardest_positive = similarity.masked_fill(~same, most).amin(2, keepdim=True)
        hardest_negative = similarity.masked_fill(~different, least).amax(2, keepdim=True)
        positive = same & (similarity < hardest_negative + margin)
        negative = different & (similarity > hardest_positive - margin)
    if deconflict != "never" and len(groups) > 1:
        negative &= ~(positive if deconflict == "mined" else same).any(0)
    return positive, negative


class HRMSLoss(nn.Module):
    """Hierarchical ranked multi-similarity loss (ProductSIM, equation 4).

    Args:
        levels: Parameters of each level, in the order of the columns of `labels`.
        offset: λ, a similarity that all levels share.
        deconflict: As in `mine`.
        distance: A distance of pytorch-metric-learning; `EuclideanDistance` if not given.
        reducer: A reducer of pytorch-metric-learning that reduces the anchors of a level that have pairs; their mean
            if not given.

    Example:
        >>> import torch
        >>> from twinvec.nn.losses.hrms import HRMSLoss
        >>> loss = HRMSLoss()
        >>> labels = torch.tensor([[0, 0, 0], [0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 1]])  # product, family, category
        >>> vectors = torch.randn(5, 8, requires_grad=True)
        >>> loss(vectors, labels).backward()
        >>> vectors.grad.shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        levels: Sequence[Level] = LEVELS,
        offset: float = -0.7,
        deconflict: Deconflict = "mined",
        distance: Any = None,
        reducer: Any = None,
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.offset = offset
        self.deconflict: Deconflict = deconflict
        self.distance = EuclideanDistance() if distance is None else distance
        self.reducer = reducer

    def forward(
        self, embeddings: Tensor, labels: Tensor, indices_tuples: Sequence[IndexPairs] | None = None
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            embeddings: Vectors of n items, [n, d]; the distance makes them unit vectors.
            labels: Group of each item at each level, int64 [n, levels]; [n] for one level.
            indices_tuples: Pairs of each level from miners of the library, in place of those of `mine`. They are
                deconflicted in the same way.

        Raises:
            ValueError: If labels or pairs have another number of levels.
        """
        labels = labels.unsqueeze(1) if labels.ndim == 1 else labels
        if labels.shape != (len(embeddings), len(self.levels)):
            raise ValueError(f"labels are {tuple(labels.shape)}, not [{len(embeddings)}, {len(self.levels)}]")
        distances = self.distance(embeddings)
        similarity = distances if self.distance.is_inverted else -distances
        if indices_tuples is None:
            epsilon = [level.epsilon for level in self.levels]
            positive, negative = mine(similarity.detach(), labels, epsilon, self.deconflict)
        else:
            positive, negative = self._masks(indices_tuples, labels)
        alpha, beta, weight = (
            similarity.new_tensor([getattr(level, name) for level in self.levels]).view(-1, 1)
            for name in ("alpha", "beta", "weight")
        )
        centred = similarity - self.offset
        losses = _log_one_plus(-alpha.unsqueeze(2) * centred, positive) / alpha
        losses = losses + _log_one_plus(beta.unsqueeze(2) * centred, negative) / beta
        has_pairs = (positive | negative).any(2)
        return self._reduce(losses * weight, has_pairs, embeddings, labels)

    def _reduce(self, losses: Tensor, has_pairs: Tensor, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Reduce the losses of the anchors, [levels, n], within each level, and sum over levels."""
        if self.reducer is None:
            return (losses.sum(1) / has_pairs.sum(1).clamp_min(1)).sum()
        total = losses.sum() * 0.0
        for level, (each, has) in enumerate(zip(losses, has_pairs, strict=True)):
            anchors = has.nonzero().squeeze(1)
            if len(anchors):
                given = {"losses": each[anchors], "indices": anchors, "reduction_type": "element"}
                total = total + self.reducer({"loss": given}, embeddings, labels[:, level])
        return total

    def _masks(self, indices_tuples: Sequence[IndexPairs], labels: Tensor) -> tuple[Tensor, Tensor]:
        if len(indices_tuples) != len(self.levels):
            raise ValueError(f"pairs are of {len(indices_tuples)} levels, not {len(self.levels)}")
        positive = torch.zeros(
            len(self.levels), len(labels), len(labels), dtype=torch.bool, device=labels.device
        )
        negative = torch.zeros_like(positive)
        for level, (anchor, other, second, unlike) in enumerate(indices_tuples):
            positive[level, anchor, other] = True
            negative[level, second, unlike] = True
        if self.deconflict == "mined":
            negative &= ~positive.any(0)
        elif self.deconflict == "labelled":
            negative &= ~(labels.T.unsqueeze(2) == labels.T.unsqueeze(1)).any(0)
        return positive, negative


def _log_one_plus(exponents: Tensor, mask: Tensor) -> Tensor:
    """Return log(1 + Σ exp) over the masked entries of each row, [levels, n]; 0 for a row without any."""
    kept = exponents.masked_fill(~mask, torch.finfo(exponents.dtype).min)
    return functional.softplus(torch.logsumexp(kept, dim=2))
