from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from pipelines.versions.model import Aligner
from pipelines.versions.transform import Floats, Moments, Transform, fit_affine, fit_orthogonal

SEED = 20_264


def rotation(dimension: int, random: np.random.Generator) -> Floats:
    return np.linalg.qr(random.standard_normal((dimension, dimension)))[0].astype(np.float32)


def in_batches(x: Floats, y: Floats, rows: int) -> Moments:
    first, *others = [Moments.of(x[at : at + rows], y[at : at + rows]) for at in range(0, len(x), rows)]
    return sum(others, start=first)


def test_a_planted_rotation_is_recovered() -> None:
    random = np.random.default_rng(SEED)
    x, planted = random.standard_normal((203, 11)).astype(np.float32), rotation(11, random)
    found = fit_orthogonal(in_batches(x, x @ planted, 40))
    np.testing.assert_allclose(found.weight, planted, atol=1e-5)
    assert not found.bias.any()


def test_orthogonal_is_scipys_of_all_rows_at_once() -> None:
    random = np.random.default_rng(SEED)
    x = random.standard_normal((97, 7)).astype(np.float32)
    y = (x @ rotation(7, random) + 0.3 * random.standard_normal((97, 7))).astype(np.float32)
    expected, _ = orthogonal_procrustes(x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(fit_orthogonal(in_batches(x, y, 13)).weight, expected, atol=1e-9)
    with pytest.raises(ValueError, match="from 7 dimensions to 6"):
        fit_orthogonal(Moments.of(x, y[:, :6]))


def test_affine_is_numpys_least_squares_with_a_column_of_ones() -> None:
    random = np.random.default_rng(SEED)
    x = (random.standard_normal((151, 6)) * [1, 2, 3, 4, 5, 0.1] + 2).astype(np.float32)
    y = (np.tanh(x[:, :4]) + random.standard_normal((151, 4)) - 7).astype(np.float32)
    expected = np.linalg.lstsq(np.hstack([x, np.ones((151, 1))]).astype(np.float64), y.astype(np.float64))[0]
    found = fit_affine(in_batches(x, y, 32))
    np.testing.assert_allclose(found.weight, expected[:-1], atol=1e-8)
    np.testing.assert_allclose(found.bias, expected[-1], atol=1e-8)


def test_affine_gives_no_weight_to_what_does_not_vary() -> None:
    random = np.random.default_rng(SEED)
    x = random.standard_normal((50, 4)).astype(np.float32)
    x[:, 2] = 3.0
    found = fit_affine(Moments.of(x, x + 1))
    np.testing.assert_allclose(found.weight, np.diag([1.0, 1, 0, 1]), atol=1e-6)
    np.testing.assert_allclose(found.bias, [1, 1, 4, 1], atol=1e-5)


def test_the_model_computes_what_was_fitted() -> None:
    random = np.random.default_rng(SEED)
    transform = Transform(random.standard_normal((5, 3)), random.standard_normal(3))
    x = random.standard_normal((9, 5)).astype(np.float32)
    expected = x @ transform.weight + transform.bias
    one = Aligner([transform], unit_length=False)(torch.from_numpy(x))
    np.testing.assert_allclose(one.numpy(), expected, atol=1e-5)
    pair = Aligner([transform, transform], unit_length=True)(torch.from_numpy(x), torch.from_numpy(x))
    np.testing.assert_allclose(
        pair[1].numpy(), expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5
    )
