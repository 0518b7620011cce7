"""Multiple negatives ranking: each anchor's positive among the answers of a whole batch (MERLIN 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from twinvec.nn import processes


def ranking_loss(
    vectors: Sequence[Tensor], labels: Tensor, related: Callable[[Tensor, Tensor], Tensor], scale: float
) -> Tensor:
    """Return the cross-entropy of each anchor's positive among all processes' positives and negatives.

    Answers of other pairs that are positives of an anchor, too, are excluded: products that are related to it, and
    products with the text of the anchor or of its positive.

    Args:
        vectors: Vectors of the anchors, of their positives, and of each column of negatives, [pairs, d] each.
        labels: Product of each text, then a number that products of the same text share,
            int64 [pairs, 2 · columns].
        related: Return whether each of the anchors, int64 [m], is related to each of the answers, int64 [n]; bool
            [m, n]. An anchor's own negatives count as negatives anyway.
        scale: Factor of the cosines before the softmax.

    Returns:
        A scalar: the mean over this process's pairs.

    Example:
        >>> anchors, positives = torch.eye(2), torch.eye(2)
        >>> labels = torch.tensor([[0, 1, 0, 1], [2, 3, 2, 3]])
        >>> def related(anchors, answers):
        ...     return torch.zeros(len(anchors), len(answers), dtype=torch.bool)
        >>> round(ranking_loss([anchors, positives], labels, related, scale=1.0).item(), 4)
        0.3133
    """
    columns, pairs = len(vectors), len(labels)
    first = processes.rank() * pairs
    gathered = [_gather(functional.normalize(column.float(), dim=1)) for column in vectors]
    all_labels = _gather(labels)
    products, wordings = all_labels[:, :columns], all_labels[:, columns:]
    mine = torch.arange(first, first + pairs, device=labels.device)
    anchors, answers = gathered[0][mine], torch.cat(gathered[1:])
    scores = anchors @ answers.T * scale
    # One column after the other, in the order of `answers`.
    answer_products, answer_wordings = products[:, 1:].T.flatten(), wordings[:, 1:].T.flatten()
    # Whether an answer was mined for the anchor of this row.
    own = mine[:, None] == torch.arange(len(products), device=labels.device).repeat(columns - 1)
    same_text = answer_wordings == wordings[mine, 0, None]
    same_text |= answer_wordings == wordings[mine, 1, None]
    excluded = (related(products[mine, 0], answer_products) | same_text) & ~own
    return functional.cross_entropy(scores.masked_fill(excluded, -torch.inf), mine)


def _gather(tensor: Tensor) -> Tensor:
    if processes.count() == 1:
        return tensor
    from sentence_transformers.util import all_gather  # Heavy, and of use to several processes only.

    gathered: Tensor = all_gather(tensor, with_grad=tensor.requires_grad)
    return gathered
