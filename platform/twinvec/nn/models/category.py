"""Category embeddings whose cosine reproduces NPMI, by matrix factorisation (MERLIN 3.2, loss_cat)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CategoryEmbedding(nn.Module):
    """One vector for each category; the association of two categories is the cosine of their vectors.

    Args:
        categories: Number of categories.
        dimension: Length of a vector.
        generator: Random generator of the initial vectors.

    Example:
        >>> model = CategoryEmbedding(3, 2)
        >>> model(torch.tensor([0, 1]), torch.tensor([0, 2])).shape
        torch.Size([2])
    """

    def __init__(self, categories: int, dimension: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(categories, dimension, generator=generator))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the association AS(a, b) = cos(h_a, h_b), [pairs], of categories a and b, int64 [pairs] each."""
        return functional.cosine_similarity(self.weight[a], self.weight[b], dim=-1)

    def vectors(self) -> Tensor:
        """Return the embeddings at unit length, float32 [categories, dimension]."""
        return functional.normalize(self.weight.detach(), dim=-1)


def category_loss(association: Tensor, npmi: Tensor) -> Tensor:
    """Return loss_cat of MERLIN 3.2: Σ (cos(h_a, h_b) − NPMI(a, b))² over the observed pairs, a scalar.

    Args:
        association: cos(h_a, h_b), float32 [pairs].
        npmi: Observed NPMI(a, b), float32 [pairs].

    Example:
        >>> category_loss(torch.tensor([0.5, 1.0]), torch.tensor([0.0, 1.0])).item()
        0.25
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
    """Fit the embeddings to the observed pairs; each step reads all pairs.

    Args:
        a: First category of each observed pair, int64 [pairs].
        b: Second category of each observed pair, int64 [pairs].
        npmi: NPMI of each observed pair, float32 [pairs].
        categories: Number of categories, including those in no pair.
        dimension: Length of a vector.
        epochs: Number of steps.
        learning_rate: Initial learning rate of Adam; it falls to zero along a cosine.
        seed: Seed of the initial vectors.

    Returns:
        The fitted model, and the loss of each step.

    Example:
        >>> model, losses = fit(torch.tensor([0]), torch.tensor([1]), torch.tensor([0.5]), 2, 4, 100, 0.1, seed=0)
        >>> losses[-1] < 0.01
        True
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
