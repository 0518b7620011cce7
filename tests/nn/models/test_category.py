"""Category embeddings: the loss by hand, and a matrix of known cosines found again."""

from __future__ import annotations

import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from pipelines.category.pipeline import associations
from twinvec.nn.models.category import CategoryEmbedding, category_loss, fit


def known_cosines(
    categories: int, dimension: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = functional.normalize(torch.randn(categories, dimension, generator=generator), dim=1)
    a, b = torch.triu_indices(categories, categories, 1)
    return a, b, (vectors[a] * vectors[b]).sum(1)


def test_loss_by_hand() -> None:
    # (.5 − .2)² + (−.1 − .3)² + (1 − 1)² = .09 + .16 + 0
    loss = category_loss(torch.tensor([0.5, -0.1, 1.0]), torch.tensor([0.2, 0.3, 1.0]))
    assert loss.item() == pytest.approx(0.25)


def test_association_is_the_cosine() -> None:
    model = CategoryEmbedding(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0], [10.0, 0.0], [-4.0, 3.0]]))
    found = model(torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 2, 2]))
    torch.testing.assert_close(found, torch.tensor([0.6, 0.0, -0.8, 1.0]))
    torch.testing.assert_close(model.vectors().norm(dim=1), torch.ones(3))
    torch.testing.assert_close(model.vectors()[0], torch.tensor([0.6, 0.8]))


def test_fit_finds_realisable_associations_again() -> None:
    a, b, cosines = known_cosines(17, 4, seed=3)
    model, losses = fit(a, b, cosines, 17, dimension=6, epochs=1200, learning_rate=0.05, seed=1)
    assert len(losses) == 1200
    assert losses[-1] < 1e-3 < 1 < losses[0]
    assert (model(a, b) - cosines).abs().max() < 0.01


def test_fit_completes_what_was_not_observed() -> None:
    a, b, cosines = known_cosines(31, 3, seed=5)
    held_out = torch.rand(len(a), generator=torch.Generator().manual_seed(6)) < 0.15
    model, _ = fit(
        a[~held_out],
        b[~held_out],
        cosines[~held_out],
        31,
        dimension=3,
        epochs=600,
        learning_rate=0.05,
        seed=2,
    )
    error = (model(a, b) - cosines).abs()[held_out].mean()
    assert error < 0.05 < cosines[held_out].abs().mean()


def test_fit_is_repeated_by_its_seed() -> None:
    a, b, cosines = known_cosines(9, 3, seed=8)
    runs = [fit(a, b, cosines, 9, 5, 20, 0.05, seed) for seed in (4, 4, 5)]
    assert runs[0][1] == runs[1][1]
    assert torch.equal(runs[0][0].weight, runs[1][0].weight)
    assert runs[0][1] != runs[2][1]


def test_associations_are_cosines_and_unknown_for_unknown_categories() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    wanted = pa.table({"a": ["x", "y", "y"], "b": ["y", "z", "y"]})
    table = associations(["x", "y"], vectors, wanted)
    assert table["association"].to_pylist() == [pytest.approx(0.6), None, pytest.approx(1.0)]
    assert table.select(["a", "b"]).equals(wanted)
