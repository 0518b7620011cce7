"""What a sentence encoder is trained with: the paper's cosine margin, or the ranking of a batch (MERLIN 3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import merge_feature_batches
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    TripletDistanceMetric,
    TripletLoss,
)
from sentence_transformers.util import all_gather, get_rank
from torch import Tensor, nn
from torch.nn import functional

from pipelines.text.coview_lookup import Coviewed
from twinvec.nn import processes
from twinvec.settings.pipelines import TextTraining

# Texts in one forward pass; of the cached loss, what bounds its memory.
TOGETHER = 32


class MarginLoss(nn.Module):
    """loss_ft of MERLIN 3.3: mean of max(0, M − cos(a, p) + cos(a, n)) over pairs and their negatives.

    The library's, of one negative, over each of several. The paper puts a minus sign before a sum that is minimised;
    the hinge itself is what is minimised.

    Args:
        model: the encoder.
        margin: M_ft.
    """

    def __init__(self, model: SentenceTransformer, margin: float) -> None:
        super().__init__()
        self.model = model
        self.triplet = TripletLoss(model, TripletDistanceMetric.COSINE, margin)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of texts in columns: anchor, positive, negatives."""
        anchor, positive, *negatives = _embed(self.model, sentence_features)
        of_each = [
            self.triplet.compute_loss_from_embeddings([anchor, positive, negative], labels)
            for negative in negatives
        ]
        return torch.stack(of_each).mean()


class RankingLoss(nn.Module):
    """Multiple negatives ranking: the positive among the positives and negatives of the whole batch.

    What the batch holds by chance beside an anchor's own positive and negatives may be right for it, too: a product
    that was viewed with it, or the same text. Such is left out, which is all that the library's loss does not do.

    Args:
        model: the encoder.
        coviewed: pairs to train on.
        scale: of the cosine, before the softmax.
    """

    def __init__(self, model: SentenceTransformer, coviewed: Coviewed, scale: float) -> None:
        super().__init__()
        self.model = model
        self.coviewed = coviewed
        self.scale = scale

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of texts in columns: anchor, positive, negatives; for `labels` see `ranking_loss`."""
        vectors = _embed(self.model, sentence_features)
        return ranking_loss(vectors, labels, self.coviewed, self.scale)


class CachedRankingLoss(CachedMultipleNegativesRankingLoss):
    """`RankingLoss` of a batch that is embedded in parts, twice, in the memory of one part."""

    def __init__(self, model: SentenceTransformer, coviewed: Coviewed, scale: float) -> None:
        super().__init__(model, scale=scale, mini_batch_size=TOGETHER)
        self.coviewed = coviewed

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss of vectors in columns, each in parts."""
        assert labels is not None
        loss = ranking_loss([torch.cat(parts) for parts in reps], labels, self.coviewed, self.scale)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss


def ranking_loss(vectors: list[Tensor], labels: Tensor, coviewed: Coviewed, scale: float) -> Tensor:
    """Cross-entropy of each anchor's positive among all processes' positives and negatives.

    Args:
        vectors: of anchors, positives, and each column of negatives, [pairs, d] each.
        labels: the products' nodes, and then the lowest nodes with the same texts, int64 [pairs, 2 · columns].
        coviewed: pairs that are no negatives, unless they were mined as an anchor's own.
        scale: of the cosine.

    Returns:
        A scalar: the mean over this process's pairs.
    """
    columns, pairs = len(vectors), len(labels)
    first = get_rank() * pairs
    gathered = [_gather(functional.normalize(column.float(), dim=1)) for column in vectors]
    labelled = _gather(labels)
    products, wordings = labelled[:, :columns], labelled[:, columns:]
    mine = torch.arange(first, first + pairs, device=labels.device)
    anchors, answers = gathered[0][mine], torch.cat(gathered[1:])
    scores = anchors @ answers.T * scale
    # Answers stand in columns, like `answers`.
    answering, worded = products[:, 1:].T.flatten(), wordings[:, 1:].T.flatten()
    # Of an answer in row r, r is the pair that it belongs to.
    own = mine[:, None] == torch.arange(len(products), device=labels.device).repeat(columns - 1)
    alike = worded == wordings[mine, 0, None]
    alike |= worded == wordings[mine, 1, None]
    right = (coviewed.among(products[mine, 0], answering) | alike) & ~own
    return functional.cross_entropy(scores.masked_fill(right, -torch.inf), mine)


def make_loss(model: SentenceTransformer, options: TextTraining, coviewed: Coviewed) -> nn.Module:
    """The loss that the settings name."""
    if options.loss == "margin":
        return MarginLoss(model, options.margin)
    kind = CachedRankingLoss if options.loss == "cached-ranking" else RankingLoss
    return kind(model, coviewed, options.scale)


def _embed(model: SentenceTransformer, columns: Iterable[dict[str, Tensor]]) -> list[Tensor]:
    """The vectors of texts in columns, [pairs, d] each: texts of one length are embedded together, hardly padded."""
    parts = list(columns)
    merged = merge_feature_batches(parts)
    if merged is None:
        return [model(part)["sentence_embedding"].float() for part in parts]
    lengths = merged["attention_mask"].sum(1)
    order = lengths.argsort(descending=True, stable=True)
    vectors = torch.cat(
        [
            model({name: _part(value, chosen, int(lengths[chosen[0]])) for name, value in merged.items()})[
                "sentence_embedding"
            ].float()
            for chosen in order.split(TOGETHER)
        ]
    )
    return list(vectors[order.argsort()].chunk(len(parts)))


def _part(value: Any, rows: Tensor, length: int) -> Any:
    return value[rows, :length] if isinstance(value, Tensor) and value.ndim > 1 else value


def _gather(tensor: Tensor) -> Tensor:
    return all_gather(tensor, with_grad=tensor.requires_grad) if processes.count() > 1 else tensor
