"""The best weights against a search of the whole history."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from twinvec.nn.training.best import BestWeights


@pytest.mark.parametrize("patience", [1, 3, None])
@pytest.mark.parametrize("before", [-np.inf, 0.5])
def test_the_first_of_the_best_epochs_is_restored_and_patience_ends_it(
    patience: int | None, before: float
) -> None:
    generator = np.random.default_rng()
    for _ in range(20):
        # With ties, and figures that are not numbers.
        figures = generator.integers(0, 6, 12) / 5
        figures[generator.random(12) < 0.1] = np.nan
        model = nn.Linear(1, 1)
        nn.init.constant_(model.weight, 0.0)
        best, over = BestWeights(model, patience, before), 0
        for number, figure in enumerate(figures, 1):
            nn.init.constant_(model.weight, float(number))
            over = number
            if best.is_over(float(figure)):
                break
        best.restore()
        history = np.array([before, *figures])
        expected = int(np.nanargmax(history[: over + 1]))
        assert model.weight.item() == expected, figures
        if patience is None:
            assert over == len(figures)
        else:
            ends = [
                number
                for number in range(patience, len(figures) + 1)
                if number - np.nanargmax(history[: number + 1]) >= patience
            ]
            assert over == min([*ends, len(figures)]), figures


def test_kept_weights_do_not_change_with_the_model() -> None:
    model = nn.BatchNorm1d(2)
    best = BestWeights(model, 1)
    assert not best.is_over(0.0)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(8, 2))
    assert best.is_over(0.0)
    best.restore()
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[name])
