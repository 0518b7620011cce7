"""The fusion encoder: what is missing is not read, and is told from a zero."""

from __future__ import annotations

import torch

from twinvec.nn.models.product_sim import ProductSIM


def test_a_missing_modality_is_a_mask_and_not_a_zero() -> None:
    model = ProductSIM(text=5, image=3, hidden=7, dimension=4).eval()
    text, image = torch.randn(6, 5), torch.randn(6, 3)
    there, gone = torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.bool)
    whole = model(text, there, image, there)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(model(3 * text, there, 0.2 * image, there), whole)
    without = model(text, there, image, gone)
    torch.testing.assert_close(model(text, there, torch.randn(6, 3), gone), without)
    zero = model(text, there, torch.zeros(6, 3), there)
    assert (without - zero).abs().max() > 1e-3
    alone = model(torch.randn(6, 5), gone, image, there)
    torch.testing.assert_close(model(text, gone, image, there), alone)


def test_training_leaves_out_one_modality_at_most() -> None:
    model = ProductSIM(text=4, image=4, hidden=5, dimension=3, dropout=0.0, left_out=0.45)
    there = torch.ones(400, dtype=torch.bool)
    has_text, has_image = model._leave_out(there, there)
    assert (has_text | has_image).all()
    assert 0.3 < (~has_text).float().mean() < 0.6
    assert 0.3 < (~has_image).float().mean() < 0.6
    only = torch.arange(400) % 2 == 0
    has_text, has_image = model._leave_out(only, ~only)
    assert (has_text == only).all()
    assert (has_image == ~only).all()
