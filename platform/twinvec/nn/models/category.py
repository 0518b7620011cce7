"""Category embeddings whose cosine reproduces NPMI, by matrix factorisation (MERLIN 3.2, loss_cat)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CategoryEmbedding(nn.Module):
    """One vector a category; the association of two categories is the cosine of theirs.

    Args:
        categories: how many.
        dimension: length of a vector.
        generator: of the initial vectors.
    """

    def __init__(self, categories: int, dimension: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(categories, dimension, generator=generator))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Association AS(a, b) = cos(h_a, h_b), [pairs], of category indices a and b, int64 [pairs]."""
        return functional.cosine_similarity(self.weight[a], self.weight[b], dim=-1)

    def vectors(self) -> Tensor:
        """The embeddings at length one, float32 [categories, dimension]."""
        return functional.normalize(self.weight.detach(), dim=-1)


def category_loss(association: Tensor, npmi: Tensor) -> Tensor:
    """loss_cat of MERLIN 3.2: Σ (cos(h_a, h_b) − NPMI(a, b))² over the observed pairs.

    Args:
        association: cosines, float32 [pairs].
        npmi: observed scores, float32 [pairs].

    Returns:
        The sum, a scalar.
    """
    return (association - npmi).square().sum()


def fit(
    a: Tensor,
    b: Tensor,
    npmi: Tensor,
    categories: int,
    dimension: int,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> tuple[CategoryEmbedding, list[float]]:
    """Fit the embeddings to the observed pairs, all pairs in each step.

    Args:
        a, b: category indices of each observed pair, int64 [pairs].
        npmi: float32 [pairs].
        categories: how many there are, with those in no pair.
        dimension: length of a vector.
        epochs: steps.
        learning_rate: of Adam, at the start; it falls to zero along a cosine.
        seed: of the initial vectors.

    Returns:
        The fitted model and the loss after each step.
    """
    model = CategoryEmbedding(categories, dimension, torch.Generator().manual_seed(seed))
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    losses = []
    for _ in range(epochs):
        loss = category_loss(model(a, b), npmi)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return model, losses
