"""Losses of a sentence encoder: the paper's cosine margin loss, and the ranking of a batch (MERLIN 3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import merge_feature_batches
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    TripletDistanceMetric,
    TripletLoss,
)
from torch import Tensor, nn

from pipelines.text.coviews import CoviewedPairs
from twinvec.nn.losses.ranking import ranking_loss

if TYPE_CHECKING:
    from twinvec.settings.pipelines import TextTraining

# Texts in one forward pass of the cached loss, which bounds its memory; and on a CPU, which pads less than with more.
MINI_BATCH = 32
# On a GPU, a pass over few texts takes as long as one over many.
ON_GPU = 2048


class MarginLoss(nn.Module):
    """loss_ft of MERLIN 3.3: the mean of max(0, M − cos(a, p) + cos(a, n)) over pairs and their negatives.

    It is the library's loss of one negative, applied to each of several. The paper puts a minus sign before a sum that
    is minimised; here the hinge itself is minimised.

    Args:
        model: The encoder.
        margin: M_ft.
    """

    def __init__(self, model: SentenceTransformer, margin: float) -> None:
        super().__init__()
        self.model = model
        self.triplet = TripletLoss(model, TripletDistanceMetric.COSINE, margin)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of texts in columns: anchor, positive, negatives."""
        anchor, positive, *negatives = embed(self.model, sentence_features)
        of_each = [
            self.triplet.compute_loss_from_embeddings([anchor, positive, negative], labels)
            for negative in negatives
        ]
        return torch.stack(of_each).mean()


class RankingLoss(nn.Module):
    """Multiple negatives ranking: each anchor's positive among the positives and negatives of the whole batch.

    Other products of the batch may be positives of an anchor by chance: products that were viewed with it, or that have
    the same text. They are excluded, which is the one difference from the library's loss.

    Args:
        model: The encoder.
        coviewed: Pairs of products that were viewed together.
        scale: Factor of the cosines before the softmax.
    """

    def __init__(self, model: SentenceTransformer, coviewed: CoviewedPairs, scale: float) -> None:
        super().__init__()
        self.model = model
        self.coviewed = coviewed
        self.scale = scale

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of texts in columns: anchor, positive, negatives; for `labels` see `ranking_loss`."""
        vectors = embed(self.model, sentence_features)
        return ranking_loss(vectors, labels, self.coviewed.contains, self.scale)


class CachedRankingLoss(CachedMultipleNegativesRankingLoss):
    """`RankingLoss` that embeds the batch in parts, twice, in the memory of one part."""

    def __init__(self, model: SentenceTransformer, coviewed: CoviewedPairs, scale: float) -> None:
        super().__init__(model, scale=scale, mini_batch_size=MINI_BATCH)
        self.coviewed = coviewed

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of vectors in columns, each in parts."""
        assert labels is not None
        loss = ranking_loss([torch.cat(parts) for parts in reps], labels, self.coviewed.contains, self.scale)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss


def make_loss(model: SentenceTransformer, options: TextTraining, coviewed: CoviewedPairs) -> nn.Module:
    """Return the loss that the settings name."""
    if options.loss == "margin":
        return MarginLoss(model, options.margin)
    kind = CachedRankingLoss if options.loss == "cached-ranking" else RankingLoss
    # A step on a GPU that asked the CPU for pairs would wait for it.
    return kind(model, coviewed.to(model.device), options.scale)


def embed(model: SentenceTransformer, columns: Iterable[dict[str, Tensor]]) -> list[Tensor]:
    """Return vectors of texts in columns, [pairs, d] each; texts of similar length share a batch, to pad less."""
    parts = list(columns)
    merged = merge_feature_batches(parts)
    if merged is None:
        return [model(part)["sentence_embedding"].float() for part in parts]
    lengths = merged["attention_mask"].sum(1)
    size = ON_GPU if lengths.is_cuda else MINI_BATCH
    if len(lengths) <= size:
        return list(model(merged)["sentence_embedding"].float().chunk(len(parts)))
    order = lengths.argsort(descending=True, stable=True)
    vectors = torch.cat(
        [
            model({name: _part(value, chosen, int(lengths[chosen[0]])) for name, value in merged.items()})[
                "sentence_embedding"
            ].float()
            for chosen in order.split(size)
        ]
    )
    return list(vectors[order.argsort()].chunk(len(parts)))


def _part(value: Any, rows: Tensor, length: int) -> Any:
    return value[rows, :length] if isinstance(value, Tensor) and value.ndim > 1 else value
